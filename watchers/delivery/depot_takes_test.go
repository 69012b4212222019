package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

const (
	ofRevisions    = "name: registry\nsubject: node.*.out.registry\nserves: revisions\nbucket: SPECS"
	ofPublications = "name: publish\nsubject: node.*.out.publish\nserves: publications\nbucket: SPECS\nmax_size: 96KiB"
	ofUploads      = "name: store\nsubject: node.*.out.store\nparts: 'node.*.out.store.{{ lookup \"token\" \"\" }}'\nserves: uploads\nbucket: BUNDLES\nroots: SPECS\nmemory: 8"
)

// takes is a host that takes what is published, and the keys of those who publish.
type takes struct {
	*depotTest
	anchor, spec, stranger *identity.Key
	root                   *registry.Root
	kv                     jetstream.KeyValue
	bundles                jetstream.ObjectStore
}

func newTakes(t *testing.T, properties ...string) *takes {
	t.Helper()
	s := &takes{depotTest: newDepotTest(t)}
	for _, key := range []**identity.Key{&s.anchor, &s.spec, &s.stranger} {
		var err error
		if *key, err = identity.NewKey(); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	s.root = &registry.Root{
		Type: registry.RootType, Version: 1, Issued: now, Expires: now.Add(24 * time.Hour),
		Roles: map[string]registry.Role{
			registry.RoleRoot: {Keys: []identity.PublicKey{s.anchor.Public()}, Threshold: 1},
			registry.RoleSpec: {Keys: []identity.PublicKey{s.spec.Public()}, Threshold: 1},
		},
	}
	s.restarts(t.TempDir())
	s.kv = s.bucket()
	var err error
	if s.bundles, err = s.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "BUNDLES"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range properties {
		s.serve(p)
	}
	if len(properties) > 0 {
		s.until("all serve", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return strings.Count(strings.Join(s.outcomes, " "), machine.OutcomeSuccess) == len(properties)
		})
	}
	return s
}

// restarts opens the trust of a folder, as a host does that starts.
func (s *takes) restarts(dir string) {
	s.t.Helper()
	trust, err := registry.OpenStore(dir, func() ([]identity.PublicKey, error) { return []identity.PublicKey{s.anchor.Public()}, nil })
	if err != nil {
		s.t.Fatal(err)
	}
	s.services.Stores = func(string) (*registry.Store, error) { return trust, nil }
	s.services.Cell = func(string) (string, error) { return "main", nil }
}

// query asks a service and reads its answer; it returns the code and the text of a denial.
func (s *takes) query(service string, q, a any) (code, text string) {
	s.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		s.t.Fatal(err)
	}
	for tries := 0; ; tries++ {
		m, err := s.asker.Request("node.n1=example.out."+service, body, 5*time.Second)
		if errors.Is(err, nats.ErrTimeout) && tries < 12 { // a service that is stopping at this moment heard it
			continue
		}
		if errors.Is(err, nats.ErrNoResponders) && tries < 300 { // or one that is starting has not subscribed yet
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if code = m.Header.Get(micro.ErrorCodeHeader); code == "" {
			if err := json.Unmarshal(m.Data, a); err != nil {
				s.t.Fatal(err)
			}
			return "", ""
		}
		if code != messaging.CodeBusy {
			return code, m.Header.Get(micro.ErrorHeader)
		}
	}
}

func (s *takes) sealed(document any, keys ...*identity.Key) []byte {
	s.t.Helper()
	var signers []registry.Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	envelope, err := registry.Sign(document, signers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return envelope
}

// list is a spec of a serial that names bundles by their digests.
func (s *takes) list(serial uint64, digests ...string) *registry.Spec {
	now := time.Now().UTC().Truncate(time.Second)
	spec := &registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: "main", Serial: serial, Issued: now, Expires: now.Add(time.Hour), Machines: []registry.Entry{},
	}
	for i, digest := range digests {
		spec.Machines = append(spec.Machines, registry.Entry{Name: "m" + strconv.Itoa(i), Version: "1.0.0", Source: "object://BUNDLES/" + digest, Checksum: digest})
	}
	return spec
}

// put publishes, over what is there, and returns the code of a denial.
func (s *takes) put(key string, envelope []byte) string {
	s.t.Helper()
	var have RevisionsAnswer
	if code, text := s.query("registry", RevisionsQuery{Key: key}, &have); code != "" {
		s.t.Fatal(text)
	}
	q := PublicationQuery{Key: key, Envelope: envelope}
	if len(have.Entries) > 0 {
		q.Revision = have.Entries[0].Revision
	}
	code, _ := s.query("publish", q, &PublicationAnswer{})
	return code
}

func (s *takes) told(outcome string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.outcomes, outcome)
}

// TestH68AHostStoresOnlyWhatItsTrustVouchesFor sends what nodes would refuse, in every way, by hand: nothing of it is stored.
func TestH68AHostStoresOnlyWhatItsTrustVouchesFor(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications)
	if code := s.put("spec.default", s.sealed(s.list(1), s.spec)); code != messaging.CodeRefused {
		t.Errorf("a list without a root: %q", code)
	}
	if code := s.put("root.1", s.sealed(s.root, s.stranger)); code != messaging.CodeRefused {
		t.Errorf("a root of a stranger: %q", code)
	}
	for key, envelope := range map[string][]byte{"root.1": s.sealed(s.root, s.anchor), "spec.default": nil} {
		if envelope != nil {
			if code := s.put(key, envelope); code != "" {
				t.Fatalf("the first root: %s", code)
			}
		}
	}
	third := s.sealed(s.list(3), s.spec)
	if code := s.put("spec.default", third); code != "" {
		t.Fatalf("a good list: %s", code)
	}
	elsewhere, other, ended, next := s.list(4), s.list(4), s.list(4), *s.root
	elsewhere.Audience, other.Channel = "other", "other"
	ended.Issued, ended.Expires = ended.Issued.Add(-2*time.Hour), ended.Issued.Add(-time.Hour)
	next.Version = 3
	forged := []byte(strings.Replace(string(s.sealed(s.list(4), s.stranger)), s.stranger.Public().String(), s.spec.Public().String(), 1))
	for name, tt := range map[string]struct {
		key      string
		envelope []byte
		code     string
	}{
		"an unknown key":                   {"spec.default", s.sealed(s.list(4), s.stranger), messaging.CodeRefused},
		"a signature of another":           {"spec.default", forged, messaging.CodeRefused},
		"the key of roots":                 {"spec.default", s.sealed(s.list(4), s.anchor), messaging.CodeRefused},
		"an older serial":                  {"spec.default", s.sealed(s.list(2), s.spec), messaging.CodeRefused},
		"the same serial, other content":   {"spec.default", s.sealed(s.list(3, strings.Repeat("ab", 32)), s.spec), messaging.CodeRefused},
		"another cell":                     {"spec.default", s.sealed(elsewhere, s.spec), messaging.CodeRefused},
		"another channel":                  {"spec.default", s.sealed(other, s.spec), messaging.CodeRefused},
		"what has ended":                   {"spec.default", s.sealed(ended, s.spec), messaging.CodeRefused},
		"a root as a list":                 {"spec.default", s.sealed(s.root, s.anchor), messaging.CodeRefused},
		"a list as a root":                 {"root.2", s.sealed(s.list(4), s.spec), messaging.CodeRefused},
		"a root that skips one":            {"root.3", s.sealed(&next, s.anchor), messaging.CodeRefused},
		"the first root as the second":     {"root.2", s.sealed(s.root, s.anchor), messaging.CodeUnreadable},
		"garbage":                          {"spec.default", []byte(strings.Repeat("x", 50<<10)), messaging.CodeRefused},
		"no channel":                       {"spec.", third, messaging.CodeUnreadable},
		"a key of another kind":            {"scratch", third, messaging.CodeUnreadable},
		"a wildcard":                       {"spec.*", third, messaging.CodeUnreadable},
		"more words":                       {"spec.default.x", third, messaging.CodeUnreadable},
		"more than a signed list may have": {"spec.default", make([]byte, MaxPublished+1), messaging.CodeTooLarge},
	} {
		q := PublicationQuery{Key: tt.key, Envelope: tt.envelope}
		if e, err := s.kv.Get(t.Context(), tt.key); err == nil {
			q.Revision = e.Revision()
		}
		if code, text := s.query("publish", q, &PublicationAnswer{}); code != tt.code {
			t.Errorf("%s: %q %s, want %s", name, code, text, tt.code)
		}
	}
	huge, _ := json.Marshal(PublicationQuery{Key: "spec.default", Envelope: make([]byte, 700<<10)})
	if m, err := s.asker.Request("node.n1=example.out.publish", huge, archivePatience); err != nil || m.Header.Get(micro.ErrorCodeHeader) != messaging.CodeTooLarge {
		t.Errorf("1 MiB of garbage: %v %v", m, err)
	}
	s.until("refusals are told", func() bool { return s.told(outcomeRefused) && s.told(outcomePublished) })
	keys, err := s.kv.Keys(t.Context())
	if e, failed := s.kv.Get(t.Context(), "spec.default"); err != nil || failed != nil || len(keys) != 2 || string(e.Value()) != string(third) {
		t.Errorf("the bucket has %v (%v, %v)", keys, err, failed)
	}
}

// TestH68AHostThatStartsKnowsWhatItHadTaken has a restored bucket: the host knows the serial and the roots that there were, also after it has started anew.
func TestH68AHostThatStartsKnowsWhatItHadTaken(t *testing.T) {
	s := newTakes(t)
	dir := t.TempDir()
	s.restarts(dir)
	stops := []func(){s.serve(ofRevisions), s.serve(ofPublications)}
	s.says(machine.OutcomeSuccess)
	first := s.sealed(s.root, s.anchor)
	next := *s.root
	next.Version, next.Roles = 2, map[string]registry.Role{registry.RoleRoot: s.root.Roles[registry.RoleRoot], registry.RoleSpec: {
		Keys: []identity.PublicKey{s.stranger.Public()}, Threshold: 1,
	}}
	second := s.sealed(&next, s.anchor)
	older := s.sealed(s.list(1), s.spec)
	for _, p := range []struct {
		key      string
		envelope []byte
	}{{"root.1", first}, {"spec.default", older}, {"root.2", second}, {"spec.default", s.sealed(s.list(2), s.stranger)}} {
		s.until(p.key+" is taken", func() bool { return s.put(p.key, p.envelope) == "" })
	}
	for _, stop := range stops {
		stop()
	}
	if err := errors.Join(s.kv.Purge(t.Context(), "root.2"), s.kv.Purge(t.Context(), "spec.default")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.kv.Put(t.Context(), "spec.default", older); err != nil { // as a copy had it
		t.Fatal(err)
	}
	s.restarts(dir)
	s.serve(ofRevisions)
	s.serve(ofPublications)
	if code := s.put("spec.default", s.sealed(s.list(9), s.spec)); code != messaging.CodeRefused {
		t.Errorf("a list by a key that was rotated out: %q", code)
	}
	if code := s.put("spec.default", s.sealed(s.list(2, strings.Repeat("ab", 32)), s.stranger)); code != messaging.CodeRefused {
		t.Errorf("a serial that was there: %q", code)
	}
	if code := s.put("root.2", second); code != "" {
		t.Errorf("the root is not put back: %q", code)
	}
	if code := s.put("spec.default", s.sealed(s.list(3), s.stranger)); code != "" {
		t.Errorf("a serial above: %q", code)
	}
	fork := next
	fork.Expires = fork.Expires.Add(time.Hour)
	if code := s.put("root.2", s.sealed(&fork, s.anchor)); code != messaging.CodeRefused {
		t.Errorf("another root of the version: %q", code)
	}
}

// TestH75AHostTakesAListOverWhatIsDeletedOrSpoiled goes on above the newest list that is kept, and no lower.
func TestH75AHostTakesAListOverWhatIsDeletedOrSpoiled(t *testing.T) {
	for name, spoil := range map[string]func(kv jetstream.KeyValue) error{
		"deleted": func(kv jetstream.KeyValue) error { return kv.Delete(t.Context(), "spec.default") },
		"spoiled": func(kv jetstream.KeyValue) error {
			_, err := kv.Put(t.Context(), "spec.default", make([]byte, 900<<10))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTakes(t, ofRevisions, ofPublications)
			for _, p := range [][2]any{{"root.1", s.sealed(s.root, s.anchor)}, {"spec.default", s.sealed(s.list(5), s.spec)}} {
				if code := s.put(p[0].(string), p[1].([]byte)); code != "" {
					t.Fatal(code)
				}
			}
			if err := spoil(s.kv); err != nil {
				t.Fatal(err)
			}
			s.restarts(t.TempDir()) // a host that remembers nothing
			if code := s.put("spec.default", s.sealed(s.list(4), s.spec)); code != messaging.CodeRefused {
				t.Errorf("a lower serial: %q", code)
			}
			if code := s.put("spec.default", s.sealed(s.list(6), s.spec)); code != "" {
				t.Errorf("the next serial: %q", code)
			}
		})
	}
}

// TestH68TwoWhoPublishAtOnceDoNotOverwriteEachOther over one revision: one of them is told.
func TestH68TwoWhoPublishAtOnceDoNotOverwriteEachOther(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications)
	if code := s.put("root.1", s.sealed(s.root, s.anchor)); code != "" {
		t.Fatal(code)
	}
	lists := [][]byte{s.sealed(s.list(1, strings.Repeat("ab", 32)), s.spec), s.sealed(s.list(2, strings.Repeat("cd", 32)), s.spec)}
	var codes [2]string
	var both sync.WaitGroup
	for i := range lists {
		both.Go(func() {
			codes[i], _ = s.query("publish", PublicationQuery{Key: "spec.default", Envelope: lists[i]}, &PublicationAnswer{})
		})
	}
	both.Wait()
	won := slices.Index(codes[:], "")
	if won < 0 || codes[1-won] == "" || codes[1-won] != messaging.CodeConflict && codes[1-won] != messaging.CodeRefused {
		t.Fatalf("the codes are %q", codes)
	}
	if e, err := s.kv.Get(t.Context(), "spec.default"); err != nil || string(e.Value()) != string(lists[won]) {
		t.Errorf("it is not the list of the one who was told so: %v", err)
	}
	if code, _ := s.query("publish", PublicationQuery{Key: "spec.default", Envelope: lists[won]}, &PublicationAnswer{}); code != "" {
		t.Errorf("who did not hear that it was stored, and asks again: %q", code)
	}
}

// TestRevisionsComeInPages of a bounded size, deletions among them.
func TestRevisionsComeInPages(t *testing.T) {
	s := newTakes(t, ofRevisions)
	for i := range 12 {
		if _, err := s.kv.Put(t.Context(), "spec.default", []byte(strings.Repeat(string(rune('a'+i)), 60<<10))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.kv.Delete(t.Context(), "spec.default"); err != nil {
		t.Fatal(err)
	}
	var all []Revision
	pages := 0
	for q := (RevisionsQuery{Key: "spec.default", History: true}); ; pages++ {
		var a RevisionsAnswer
		if code, text := s.query("registry", q, &a); code != "" {
			t.Fatal(text)
		}
		all = append(all, a.Entries...)
		if !a.More {
			break
		}
		q.Revision = all[len(all)-1].Revision
	}
	if len(all) != 13 || pages == 0 || !all[12].Deleted || string(all[11].Value[:1]) != "l" {
		t.Errorf("%d revisions in %d pages", len(all), pages+1)
	}
	var last, keys, none RevisionsAnswer
	s.query("registry", RevisionsQuery{Key: "spec.default"}, &last)
	s.query("registry", RevisionsQuery{Prefix: "spec."}, &keys)
	s.query("registry", RevisionsQuery{Key: "spec.none"}, &none)
	if len(last.Entries) != 1 || !last.Entries[0].Deleted || last.Entries[0].Revision != all[12].Revision || len(keys.Keys) != 0 || len(none.Entries) != 0 {
		t.Errorf("%+v %+v %+v", last, keys, none)
	}
	for _, q := range []string{"nonsense", "{}", `{"key": "*"}`, `{"key": "a", "prefix": "b."}`, `{"prefix": "spec.>"}`, `{"prefix": "spec"}`, `{"key": "` + strings.Repeat("a", 300) + `"}`} {
		m, err := s.asker.Request("node.n1=example.out.registry", []byte(q), archivePatience)
		if err != nil || m.Header.Get(micro.ErrorCodeHeader) != messaging.CodeUnreadable {
			t.Errorf("%.40s: %v %v", q, m, err)
		}
	}
	if err := s.js.DeleteKeyValue(context.Background(), "SPECS"); err != nil {
		t.Fatal(err)
	}
	if code, text := s.query("registry", RevisionsQuery{Key: "root.1"}, &none); code != messaging.CodeNotFound || !strings.Contains(text, "SPECS") {
		t.Errorf("without the bucket: %s %s", code, text)
	}
}

// FuzzPublicationQueries holds that what is read of a question is bounded, and has no key that could be a subject of another kind.
func FuzzPublicationQueries(f *testing.F) {
	for _, seed := range []string{
		`{"key": "spec.default", "revision": 0, "envelope": "e30="}`, `{"key": "root.1", "envelope": "e30="}`, `{"key": "spec.>", "envelope": "e30="}`,
		`{"prefix": "spec."}`, `{"key": "spec.default", "history": true, "revision": 1e3}`, `{"digest": "` + strings.Repeat("ab", 32) + `", "size": 7, "envelope": "e30="}`, "", "[]",
		`{"size": 9223372036854775807}`, `{"key": "root.99999999999999999999"}`, `{"key": "spec.a\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bad := func(subject string) bool {
			return strings.ContainsAny(subject, "*> \r\n\t\x00") || len(subject) > maxKey
		}
		if q, ok := readPublicationQuery(data); ok && (bad(q.Key) || !strings.HasPrefix(q.Key, specKey) && !strings.HasPrefix(q.Key, rootKey)) {
			t.Errorf("the key is %q", q.Key)
		}
		if q, ok := readRevisionsQuery(data); ok && (bad(q.Key) || bad(q.Prefix)) {
			t.Errorf("%+v is looked up", q)
		}
		if q, ok := readUploadQuery(data); ok && (len(q.Digest) != 64 || q.Size < 1 || q.Size > registry.DefaultLimits().Compressed || len(q.Envelope) > MaxPublished) {
			t.Errorf("an upload of %d bytes, %q", q.Size, q.Digest)
		}
	})
}

// A host whose trust root asks for what only a later release knows stores no list: it cannot say whether nodes would take it.
func TestH74AHostStoresNoListThatItCannotJudge(t *testing.T) {
	s := newTakes(t, ofRevisions, ofPublications)
	gated, err := s.root.Next(registry.RootChange{Role: registry.RoleSpec, Issued: time.Now(), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	role := gated.Roles[registry.RoleSpec]
	role.Requires = []string{"gate"}
	gated.Roles[registry.RoleSpec] = role
	fifth := s.sealed(s.list(5), s.spec)
	for _, p := range [][2]any{{"root.1", s.sealed(s.root, s.anchor)}, {"spec.default", fifth}, {"root.2", s.sealed(gated, s.anchor)}} {
		if code := s.put(p[0].(string), p[1].([]byte)); code != "" {
			t.Fatal(p[0], code)
		}
	}
	if code := s.put("spec.default", s.sealed(s.list(6), s.spec)); code != messaging.CodeRefused {
		t.Errorf("a list that the gate has not signed: %q", code)
	}
	if e, err := s.kv.Get(t.Context(), "spec.default"); err != nil || string(e.Value()) != string(fifth) {
		t.Errorf("it is stored all the same: %v", err)
	}
}
