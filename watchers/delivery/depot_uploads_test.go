package delivery

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// send sends a part and returns how far the upload is, or the code of a denial.
func (s *takes) send(conn *nats.Conn, at, digest string, offset int, part []byte) (p UploadProgress, code string) {
	s.t.Helper()
	inbox := conn.Opts.InboxPrefix
	m, err := conn.RequestMsg(&nats.Msg{
		Subject: "node." + strings.TrimPrefix(inbox, "_INBOX.") + ".out.store." + at, Data: part,
		Header: nats.Header{HeaderUpload: {digest}, HeaderOffset: {strconv.Itoa(offset)}},
	}, archivePatience)
	if err != nil {
		s.t.Fatal(err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return p, code
	}
	if err := json.Unmarshal(m.Data, &p); err != nil {
		s.t.Fatal(err)
	}
	return p, ""
}

func random(t *testing.T, size int) (data []byte, digest string) {
	t.Helper()
	data = make([]byte, size)
	_, _ = rand.Read(data)
	return data, digestOf(data)
}

// ends waits until an upload is stored, or denied.
func (s *takes) ends(at, digest string, size int) (code string) {
	s.t.Helper()
	s.until("the upload ends", func() bool {
		p, denied := s.send(s.asker, at, digest, size, nil)
		code = denied
		return p.Stored || denied != ""
	})
	return code
}

// TestH68BundlesAreTakenOnlyOfThoseWhoSign and only whole: who has no key that may sign lists stores nothing at all.
func TestH68BundlesAreTakenOnlyOfThoseWhoSign(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications, ofUploads)
	data, digest := random(t, 600<<10)
	begin := func(envelope []byte, digest string, size int64) (a UploadAnswer, code string) {
		code, _ = s.query("store", UploadQuery{Digest: digest, Size: size, Envelope: envelope}, &a)
		return a, code
	}
	signed := s.sealed(s.list(1, digest), s.spec)
	if _, code := begin(signed, digest, 10); code != messaging.CodeRefused {
		t.Errorf("without a trust root: %q", code)
	}
	if code := s.put("root.1", s.sealed(s.root, s.anchor)); code != "" {
		t.Fatal(code)
	}
	_, unnamed := random(t, 10)
	for name, tt := range map[string]struct {
		envelope []byte
		digest   string
		size     int64
		code     string
	}{
		"signed by nobody":   {s.sealed(s.list(1, digest)), digest, 10, messaging.CodeRefused},
		"a stranger":         {s.sealed(s.list(1, digest), s.stranger), digest, 10, messaging.CodeRefused},
		"another bundle":     {signed, unnamed, 10, messaging.CodeRefused},
		"no digest":          {signed, "latest", 10, messaging.CodeUnreadable},
		"too large":          {signed, digest, 1 << 40, messaging.CodeUnreadable},
		"nothing":            {signed, digest, 0, messaging.CodeUnreadable},
		"more than is taken": {signed, digest, 9 << 20, messaging.CodeBusy},
	} {
		var a UploadAnswer
		body, _ := json.Marshal(UploadQuery{Digest: tt.digest, Size: tt.size, Envelope: tt.envelope})
		m, err := s.asker.Request("node.n1=example.out.store", body, archivePatience)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != tt.code {
			t.Errorf("%s: %v %+v %v, want %s", name, err, a, m.Header, tt.code)
		}
	}
	a, code := begin(signed, digest, int64(len(data)))
	if code != "" || a.There || a.At != "overlay1" || a.Part < 1 {
		t.Fatalf("%q %+v", code, a)
	}
	if _, code := s.send(s.asker, a.At, unnamed, 0, data[:10]); code != messaging.CodeNotFound {
		t.Errorf("a part of nothing: %q", code)
	}
	if p, _ := s.send(s.asker, a.At, digest, 1000, data[:10]); p.Next != 0 {
		t.Errorf("a part that is too early: %+v", p)
	}
	for from := 0; from < len(data); from += int(a.Part) {
		part := data[from:min(len(data), from+int(a.Part))]
		for range 2 { // the answer may not have come
			if p, code := s.send(s.asker, a.At, digest, from, part); code != "" || p.Next != int64(from+len(part)) {
				t.Fatalf("%q %+v", code, p)
			}
		}
		if b, _ := begin(signed, digest, int64(len(data))); !b.There && b.Next > 0 && b.Next != int64(from+len(part)) { // it is gone on with
			t.Errorf("begun again it is at %d", b.Next)
		}
	}
	if code := s.ends(a.At, digest, len(data)); code != "" {
		t.Fatalf("it is not stored: %q", code)
	}
	if got, err := s.bundles.GetBytes(t.Context(), digest); err != nil || digestOf(got) != digest {
		t.Errorf("the store has not what was sent: %v", err)
	}
	if b, code := begin(signed, digest, int64(len(data))); code != "" || !b.There {
		t.Errorf("a bundle that is there: %q %+v", code, b)
	}
	s.until("it is told", func() bool { return s.told(outcomeStored) && s.told(outcomeRefused) })
}

// TestH68AnUploadThatIsWrongOrStopsLeavesNothing: of a wrong digest, with too much, and of one who goes away.
func TestH68AnUploadThatIsWrongOrStopsLeavesNothing(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications, ofUploads)
	if code := s.put("root.1", s.sealed(s.root, s.anchor)); code != "" {
		t.Fatal(code)
	}
	data, digest := random(t, 100)
	_, second := random(t, 10)
	_, third := random(t, 10)
	signed := s.sealed(s.list(1, digest, second, third), s.spec)
	begin := func(digest string, size int) (a UploadAnswer) {
		t.Helper()
		if code, text := s.query("store", UploadQuery{Digest: digest, Size: int64(size), Envelope: signed}, &a); code != "" {
			t.Fatal(code, text)
		}
		return a
	}
	at := begin(digest, len(data)).At
	wrong := slices.Clone(data)
	wrong[7]++
	if _, code := s.send(s.asker, at, digest, 0, wrong); code != "" {
		t.Fatal(code)
	}
	if code := s.ends(at, digest, len(data)); code != messaging.CodeUnreadable {
		t.Errorf("other bytes than the digest says: %q", code)
	}
	begin(digest, len(data))
	if _, code := s.send(s.asker, at, digest, 0, append(slices.Clone(data), 1)); code != messaging.CodeUnreadable {
		t.Errorf("more than was said: %q", code)
	}
	if names, err := s.bundles.List(t.Context()); !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Errorf("the store has %v (%v)", names, err)
	}
	begin(second, 1<<20) // two that stop
	begin(third, 1<<20)
	body, _ := json.Marshal(UploadQuery{Digest: digest, Size: 100, Envelope: signed})
	m, err := s.asker.Request("node.n1=example.out.store", body, archivePatience)
	if err != nil || m.Header.Get(micro.ErrorCodeHeader) != messaging.CodeBusy || m.Header.Get("Retry-After") == "" {
		t.Errorf("a third at once: %v %v", err, m.Header)
	}
}

// TestUploadsThatNobodyGoesOnWithAreForgotten keeps those that are stored at this moment.
func TestUploadsThatNobodyGoesOnWithAreForgotten(t *testing.T) {
	s := &uploadShelf{besides: newBesides("BUNDLES", newDepotTest(t).log), uploads: map[uploadKey]*upload{}}
	now := time.Now()
	s.uploads[uploadKey{"a", "idle"}] = &upload{size: 1 << 20, touched: now.Add(-uploadIdle - time.Second)}
	s.uploads[uploadKey{"a", "alive"}] = &upload{size: 1 << 20, touched: now}
	s.uploads[uploadKey{"b", "stored"}] = &upload{size: 1 << 20, touched: now.Add(-time.Hour), storing: true}
	s.sweep(now)
	if len(s.uploads) != 2 || s.uploads[uploadKey{"a", "idle"}] != nil {
		t.Errorf("left are %v", s.uploads)
	}
}

// TestH68OverlappingUploadsAndFalseDigests has two who may publish send one bundle at once, one of them other bytes, in parts that overlap, with
// gaps, twice, and of another length than was said. Only what the digest says is stored, whoever sent it.
func TestH68OverlappingUploadsAndFalseDigests(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications, ofUploads)
	if code := s.put("root.1", s.sealed(s.root, s.anchor)); code != "" {
		t.Fatal(code)
	}
	liar, err := nats.Connect(s.asker.ConnectedUrl(), nats.CustomInboxPrefix("_INBOX.n2=example"))
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	data, digest := random(t, 1000)
	signed := s.sealed(s.list(1, digest), s.spec)
	at := ""
	begin := func(conn *nats.Conn, size int) {
		t.Helper()
		body, err := json.Marshal(UploadQuery{Digest: digest, Size: int64(size), Envelope: signed})
		if err != nil {
			t.Fatal(err)
		}
		var a UploadAnswer
		m, err := conn.Request("node."+strings.TrimPrefix(conn.Opts.InboxPrefix, "_INBOX.")+".out.store", body, archivePatience)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "" || json.Unmarshal(m.Data, &a) != nil || a.There || a.Next != 0 {
			t.Fatalf("%v %v %s", err, m.Header, m.Data)
		}
		at = a.At
	}
	sends := func(conn *nats.Conn, offset int, part []byte, next int64) {
		t.Helper()
		if p, code := s.send(conn, at, digest, offset, part); code != "" || p.Next != next || p.Stored {
			t.Errorf("%d bytes at %d: %+v %q, want %d", len(part), offset, p, code, next)
		}
	}
	wrong := slices.Clone(data)
	for i := range wrong {
		wrong[i]++
	}
	begin(liar, 400)
	begin(s.asker, len(data))
	sends(s.asker, 0, data[:400], 400)
	sends(liar, 0, wrong[:100], 100)
	sends(liar, 50, wrong[50:400], 100)   // over what has come
	sends(liar, 200, wrong[200:400], 100) // with a gap
	sends(s.asker, 0, wrong[:400], 400)   // other bytes for what has come: nothing is written over
	sends(s.asker, 300, wrong[300:500], 400)
	begin(liar, 500) // of another length: it begins anew
	sends(liar, 0, wrong[:499], 499)
	if p, code := s.send(liar, at, digest, 499, wrong[499:500]); code != "" || p.Stored {
		t.Errorf("the last of the false bytes: %+v %q", p, code)
	}
	sends(s.asker, 400, data[400:900], 900)
	var denied string
	s.until("the false one ends", func() bool {
		_, denied = s.send(liar, at, digest, 500, nil)
		return denied != ""
	})
	if denied != messaging.CodeUnreadable {
		t.Errorf("other bytes than the digest says: %q", denied)
	}
	if names, err := s.bundles.List(t.Context()); !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Errorf("the store has %v (%v)", names, err)
	}
	if _, code := s.send(liar, at, digest, 0, data); code != messaging.CodeNotFound {
		t.Errorf("a part of what was denied: %q", code)
	}
	sends(s.asker, 900, data[900:], 1000)
	if code := s.ends(at, digest, len(data)); code != "" {
		t.Fatalf("the true one is not stored: %q", code)
	}
	if got, err := s.bundles.GetBytes(t.Context(), digest); err != nil || !slices.Equal(got, data) {
		t.Errorf("the store has not what was sent: %v", err)
	}
}
