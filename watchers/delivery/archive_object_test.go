package delivery

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry/archivetest"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestC19AttacksByObject(t *testing.T) {
	a, old := newArchiveTest(t), bundleOf(t, "1.0.0")
	r := &ranges{object: old.Data}
	a.broker(r)
	a.check(a.object(old), watchers.Started, outcomeDeployed)
	for _, attack := range archivetest.Attacks() {
		r.mu.Lock()
		r.object = attack.Archive
		r.mu.Unlock()
		a.fails(a.object(attacked(attack.Archive)), attack.Because)
		a.runs(old)
	}
}

// largeArchive does not compress, and so takes many ranges.
func largeArchive(size int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	body := make([]byte, size)
	_, _ = random.Read(body)
	return archivetest.TarGz(archivetest.Entry{Name: "web/data", Body: string(body)})
}

func TestObjectByRanges(t *testing.T) {
	a := newArchiveTest(t)
	data := largeArchive(3 << 20)
	r := &ranges{object: data}
	a.broker(r)
	w := a.object(attacked(data))
	w.spec.VerifyChecksum = watchers.PlainText("")
	a.check(w, watchers.Started, outcomeDeployed)
	want, longest := int64(0), int64(0)
	queries := r.asked()
	slices.SortFunc(queries, func(x, y ObjectQuery) int { return int(x.Offset - y.Offset) })
	for _, q := range queries {
		if q.Bucket != "BUNDLES" || q.Name != archivetest.Digest(data) || q.Offset != want || q.Length > min(objectRange, int64(len(data))-want) {
			t.Errorf("asks for %+v, want offset %d", q, want)
		}
		want += q.Length
		longest = max(longest, q.Length)
	}
	if longest != objectRange {
		t.Errorf("where answers come at once the longest range has %d bytes", longest)
	}
	if want != int64(len(data)) {
		t.Errorf("asks for %d bytes of %d", want, len(data))
	}
}

// TestAnObjectComesByASlowLine has a line on which ranges of full length come too late, one of them or all that are on their way; late answers are
// on the line like any other.
func TestAnObjectComesByASlowLine(t *testing.T) {
	const perSecond, wait = 1 << 20, 200 * time.Millisecond
	a := newArchiveTest(t)
	data := largeArchive(2 << 20)
	r := &ranges{object: data, answer: func(_ ObjectQuery, m *nats.Msg) *nats.Msg {
		<-time.After(time.Duration(len(m.Data)) * time.Second / perSecond)
		return m
	}}
	a.broker(r)
	w := a.object(attacked(data))
	w.spec.VerifyChecksum, w.spec.Timeout = watchers.Text{}, strict.Duration(wait)
	a.check(w, watchers.Started, outcomeDeployed)
	sent := 0
	for _, q := range r.asked() {
		sent += int(min(q.Length, int64(len(data))-q.Offset))
	}
	if sent > 2*len(data) {
		t.Errorf("%d bytes were sent for an object of %d", sent, len(data))
	}
}

// TestObjectGoesOnWhereItStopped has answers that are lost and short ones: what came is not asked for again.
func TestObjectGoesOnWhereItStopped(t *testing.T) {
	a := newArchiveTest(t)
	data := largeArchive(1 << 20)
	lost := map[int64]int{}
	r := &ranges{object: data, answer: func(q ObjectQuery, m *nats.Msg) *nats.Msg {
		if lost[q.Offset]++; q.Offset%3 == 0 && lost[q.Offset] < objectAttempts {
			return nil
		}
		m.Data = m.Data[:min(len(m.Data), 100_001)]
		return m
	}}
	a.broker(r)
	w := a.object(attacked(data))
	w.spec.VerifyChecksum, w.spec.Timeout = watchers.PlainText(""), strict.Duration(300*time.Millisecond)
	a.check(w, watchers.Started, outcomeDeployed)
	for at, n := range lost {
		if n > objectAttempts {
			t.Errorf("offset %d is asked for %d times", at, n)
		}
	}
}

func TestC18ObjectsThatAttack(t *testing.T) {
	large := attacked(largeArchive(1 << 20))
	change := func(key, value string) func(ObjectQuery, *nats.Msg) *nats.Msg {
		return func(_ ObjectQuery, m *nats.Msg) *nats.Msg {
			m.Header.Set(key, value)
			return m
		}
	}
	later := func(f func(m *nats.Msg)) func(ObjectQuery, *nats.Msg) *nats.Msg {
		return func(q ObjectQuery, m *nats.Msg) *nats.Msg {
			if q.Offset > 0 {
				f(m)
			}
			return m
		}
	}
	for _, tt := range []struct {
		name    string
		answer  func(q ObjectQuery, m *nats.Msg) *nats.Msg
		because string
	}{
		{"endless", change(headerObjectSize, "9223372036854775807"), "67108864 are allowed"},
		{"too large", change(headerObjectSize, "67108865"), "beyond the limit"},
		{"swapped for one of another size", later(func(m *nats.Msg) { m.Header.Set(headerObjectSize, "20000000") }), "replaced while"},
		{"swapped for one of the same size", later(func(m *nats.Msg) { m.Data = bytes.Repeat([]byte("x"), len(m.Data)) }), "the digest is another"},
		{"other offset", change(headerObjectOffset, "7"), "not what was asked for"},
		{"no headers", func(_ ObjectQuery, m *nats.Msg) *nats.Msg { return &nats.Msg{Data: m.Data} }, "not what was asked for"},
		{"negative size", change(headerObjectSize, "-1"), "not what was asked for"},
		{"more than asked for", func(q ObjectQuery, m *nats.Msg) *nats.Msg {
			if q.Offset == 0 {
				m.Data = make([]byte, objectRange+1)
			}
			return m
		}, "not what was asked for"},
		{"more than there is", change(headerObjectSize, "7"), "not what was asked for"},
		{"nothing, again and again", func(_ ObjectQuery, m *nats.Msg) *nats.Msg {
			m.Data = nil
			return m
		}, "not what was asked for"},
		{"empty", func(_ ObjectQuery, m *nats.Msg) *nats.Msg {
			m.Data = nil
			m.Header.Set(headerObjectSize, "0")
			return m
		}, "it is empty"},
		{"refused", func(ObjectQuery, *nats.Msg) *nats.Msg { return refusal("404", "no such object") }, `it answers "404": "no such object"`},
		{"refused later", func(q ObjectQuery, m *nats.Msg) *nats.Msg {
			if q.Offset > objectRange {
				return refusal("503", "restarting")
			}
			return m
		}, "restarting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchiveTest(t)
			a.broker(&ranges{object: large.Data, answer: tt.answer})
			a.fails(a.object(large), tt.because)
		})
	}
}

func TestObjectThatNobodyServes(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	a.fails(a.object(b), "no connections")
	silent := &ranges{answer: func(ObjectQuery, *nats.Msg) *nats.Msg { return nil }}
	a.broker(silent)
	w := a.object(b)
	w.spec.Timeout = strict.Duration(50 * time.Millisecond)
	a.fails(w, "no answer in 50ms")
	if n := len(silent.asked()); n != objectAttempts {
		t.Errorf("asks %d times", n)
	}
	other := a.look(watchers.Started)
	other.Identity = "n2.example"
	if r := w.Check(t.Context(), other); r.Outcome != "fail" || !strings.Contains(r.Message, "not connected") {
		t.Errorf("another identity's look reports %s: %s", r.Outcome, r.Message)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := a.object(b).Check(ctx, a.look(watchers.Started)); r.Outcome != "fail" || !strings.Contains(r.Message, "canceled") {
		t.Errorf("a cancelled look reports %s: %s", r.Outcome, r.Message)
	}
}
