package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func TestBucket(t *testing.T) {
	b := newBucket(2, 3)
	now := noon
	took := func(n int) int {
		got := 0
		for range n {
			if b.take(now) {
				got++
			}
		}
		return got
	}
	if got := took(10); got != 3 {
		t.Errorf("%d at once, want the burst", got)
	}
	now = now.Add(time.Second)
	if got := took(10); got != 2 {
		t.Errorf("%d after a second, want the rate", got)
	}
	now = now.Add(-time.Hour)
	if got := took(1); got != 0 {
		t.Error("a clock that is set back gives some")
	}
	now = now.Add(time.Hour)
	if got := took(10); got != 3 {
		t.Errorf("%d after long, want the burst", got)
	}
}

func TestParseRevocation(t *testing.T) {
	k := newKey(t).Public().String()
	for _, key := range []string{"id.ABC", "key." + k, "identity.n1=example"} {
		r, err := ParseRevocation(key)
		if err != nil || r.Key() != key {
			t.Errorf("%s is %+v, %v", key, r, err)
		}
	}
	if r, err := ParseRevocation("key." + strings.ToUpper(k)); err != nil || r.Value != k {
		t.Errorf("a key in upper case is %+v, %v", r, err)
	}
	for _, key := range []string{"", "id", "id.", ".x", "key.abc", "name.x", "identity.n1.example", "key." + strings.Repeat("0", 64)} {
		if r, err := ParseRevocation(key); err == nil {
			t.Errorf("%q is %+v", key, r)
		}
	}
}

func TestReadRevocation(t *testing.T) {
	whole := Revocation{Kind: RevokedToken, Value: "t1", Reason: "stolen", By: "operator", At: noon}
	value, err := whole.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := readRevocation(whole.Key(), value); err != nil || r != whole {
		t.Errorf("%s comes back as %+v, %v", value, r, err)
	}
	if _, err := (Revocation{Kind: RevokedToken, Value: "t1"}).Encode(); err == nil {
		t.Error("a revocation by nobody is written")
	}
	// What services and JetStream answer, which who asks can lead to any key.
	for _, value := range []string{
		"", "true", "[]", `{"token":"x","confirmed":true}`, `{"reason":"not known"}`, `{"by":"x"}`, `{"at":"2030-01-01T12:00:00Z"}`,
		`{"stream":"KV_REVOKED","seq":1}`, `{"by":"x","at":"now"}`,
	} {
		if r, err := readRevocation("id.t1", []byte(value)); err == nil {
			t.Errorf("%s is %+v", value, r)
		}
	}
}

func TestRevocationsNeverShrink(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		set := NewRevocations()
		var banned []Bearer
		for _, v := range rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,3}`), 1, 50).Draw(r, "values") {
			kind := rapid.SampledFrom([]RevocationKind{RevokedToken, RevokedIdentity}).Draw(r, "kind")
			bearer := Bearer{TokenID: v}
			if kind == RevokedIdentity {
				bearer = Bearer{Identity: v}
			}
			was := set.Ban(bearer)
			if grew := len(set.Add(Revocation{Kind: kind, Value: v})) > 0; grew == was {
				r.Fatalf("%s.%s: banned before %t, grew %t", kind, v, was, grew)
			}
			banned = append(banned, bearer)
			for _, b := range banned {
				if !set.Ban(b) {
					r.Fatalf("%+v is not banned any more", b)
				}
			}
		}
		set.Add(Revocation{Kind: RevokedToken}, Revocation{Kind: RevokedIdentity}, Revocation{Kind: RevokedKey})
		if set.Ban(Bearer{}) || set.Ban(Bearer{Identity: "ABC", TokenID: "ABC"}) {
			r.Fatal("somebody else is banned")
		}
	})
}

func FuzzReadRevocation(f *testing.F) {
	f.Add("id.x", []byte(`{"reason":"r","by":"b","at":"2030-01-01T12:00:00Z"}`))
	f.Add("key.00", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r, err := readRevocation(key, value)
		if err != nil {
			return
		}
		again, err := ParseRevocation(r.Key())
		if err != nil || again.Kind != r.Kind || again.Value != r.Value {
			t.Errorf("%q is %+v, and again %+v, %v", key, r, again, err)
		}
	})
}

func TestVigil(t *testing.T) {
	made := streamState{created: noon, last: 10}
	for name, tt := range map[string]struct {
		seen  []uint64      // by the watch, before each check
		found []streamState // at each check
		want  []bool
	}{
		"nothing happens":        {[]uint64{10, 10}, []streamState{made, made}, []bool{false, false}},
		"a change is seen":       {[]uint64{10, 11}, []streamState{{noon, 11}, {noon, 11}}, []bool{false, false}},
		"a change is not seen":   {[]uint64{10, 10}, []streamState{{noon, 11}, {noon, 11}}, []bool{false, true}},
		"another stream":         {[]uint64{10}, []streamState{{noon.Add(time.Second), 10}}, []bool{true}},
		"nothing seen from then": {[]uint64{3}, []streamState{made}, []bool{true}},
	} {
		v := &vigil{created: made.created, last: made.last}
		for i, now := range tt.found {
			v.seen = tt.seen[i]
			if got := v.dead(now); got != tt.want[i] {
				t.Errorf("%s: at check %d it is dead: %t", name, i+1, got)
			}
		}
	}
}

func TestSessionsForgetWhatEnded(t *testing.T) {
	alive := map[uint64]bool{}
	s := newSessions(func(id uint64) bool { return alive[id] })
	for id := range uint64(50_000) {
		alive[id] = true
		delete(alive, id-100) // a hundred are connected at a time
		if _, refused := s.open(id, session{Bearer{Purpose: identity.PurposeNode}}, 1000, true); refused != "" {
			t.Fatal("a new connection had a session")
		}
		if len(s.book) > 2*100+2*fewSessions {
			t.Fatalf("%d sessions are remembered of 100", len(s.book))
		}
	}
	if n := s.count()[identity.PurposeNode]; n != 100 {
		t.Errorf("%d sessions, want 100", n)
	}
	if _, refused := s.open(49_999, session{}, 1000, true); refused != ReasonAgain {
		t.Error("a connection has two sessions")
	}
}

func TestQuietSaysWhatItLeftOut(t *testing.T) {
	var text bytes.Buffer
	now := noon
	q := newQuiet(slog.New(slog.NewTextHandler(&text, nil)), func() time.Time { return now })
	for range 1000 {
		q.warn("knock")
	}
	if n := strings.Count(text.String(), "knock"); n != linesBurst {
		t.Errorf("%d lines, want %d", n, linesBurst)
	}
	now = now.Add(time.Second)
	q.warn("knock")
	if !strings.Contains(text.String(), "left_out=950") {
		t.Errorf("the last line does not say what was left out:\n%s", text.String())
	}
}

func TestServerLog(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := &serverLog{log: log, quiet: newQuiet(log, time.Now)}
	l.Noticef("notice")
	l.Debugf("debug")
	l.Tracef("trace")
	l.Errorf("127.0.0.1 - %s", "authentication error - Nkey")
	if text.Len() > 0 {
		t.Errorf("logged:\n%s", text.String())
	}
	l.Warnf("a %s", "warning")
	l.Errorf("an error")
	if !strings.Contains(text.String(), "a warning") || !strings.Contains(text.String(), "an error") {
		t.Errorf("logged:\n%s", text.String())
	}
	l.Fatalf("cannot %s", "listen")
	l.Fatalf("later")
	if err := l.failure(); err == nil || err.Error() != "cannot listen" {
		t.Errorf("the failure is %v", err)
	}
	l.debug = true
	l.Noticef("starting")
	if !strings.Contains(text.String(), "starting") {
		t.Error("who debugs sees no notices")
	}
}
