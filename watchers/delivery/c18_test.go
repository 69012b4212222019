package delivery

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// liar publishes to one node, in memory, and has some of the keys at times. The node's second root has taken a key away, and asks for two.
type liar struct {
	*listing
	dir                    string // what the node trusts
	second, revoked, thief *identity.Key
}

// newLiar is before a node that runs web 1.0.0 by a spec with the serial 7.
func newLiar(t testing.TB) *liar {
	t.Helper()
	l := &liar{listing: newListing(t, ofNode), dir: t.TempDir(), second: aKey(t), revoked: aKey(t), thief: aKey(t)}
	l.restart()
	first, next := l.root(1), l.root(2)
	first.Roles[registry.RoleSpec] = registry.Role{Keys: keysOf(l.key, l.revoked), Threshold: 1}
	next.Roles[registry.RoleSpec] = registry.Role{Keys: keysOf(l.key, l.second), Threshold: 2}
	l.look.Data["roots"] = []any{string(l.sign(first, l.anchor)), string(l.sign(next, l.anchor))}
	l.give(string(l.good(l.next(7, "1.0.0"))), outcomeChanged, "start web 1.0.0")
	l.look.Data["roots"] = []any{}
	return l
}

func keysOf(keys ...*identity.Key) []identity.PublicKey {
	var all []identity.PublicKey
	for _, k := range keys {
		all = append(all, k.Public())
	}
	return all
}

// restart has the node's process begin again, with what its folder holds.
func (l *liar) restart() {
	l.t.Helper()
	var err error
	if l.store, err = registry.OpenStore(l.dir, func() ([]identity.PublicKey, error) { return keysOf(l.anchor), nil }); err != nil {
		l.t.Fatal(err)
	}
	l.watch = l.watcher(ofNode)
}

// next is a spec with a version of the machine web.
func (l *liar) next(serial uint64, version string) *registry.Spec {
	return &registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: "lon1", Serial: serial, Issued: l.now, Expires: l.now.Add(24 * time.Hour),
		Machines: []registry.Entry{entry("web", version, "")},
	}
}

// good signs as those do who may.
func (l *liar) good(document any) []byte { return l.sign(document, l.key, l.second) }

// raw signs anything as a payload of a type, as those who may sign a spec would not.
func (l *liar) raw(payloadType, payload string) []byte {
	l.t.Helper()
	e := dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString([]byte(payload))}
	for _, k := range []*identity.Key{l.key, l.second} {
		sig := base64.StdEncoding.EncodeToString(k.Sign(dsse.PAE(payloadType, []byte(payload))))
		e.Signatures = append(e.Signatures, dsse.Signature{KeyID: k.Public().String(), Sig: sig})
	}
	return l.json(e)
}

func (l *liar) json(v any) []byte {
	l.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// changed is an envelope whose parts were changed after it was signed.
func (l *liar) changed(envelope []byte, change func(e *dsse.Envelope)) []byte {
	l.t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		l.t.Fatal(err)
	}
	change(&e)
	return l.json(e)
}

// with is the spec that would come next, of a version that nobody wants, changed.
func (l *liar) with(change func(s *registry.Spec)) *registry.Spec {
	s := l.next(8, "6.6.6")
	change(s)
	return s
}

// lie is an attack. Who writes the node's own files may bring back what was signed for it, whenever that was; nothing else.
type lie struct {
	name     string
	envelope func(l *liar) []byte
	reason   registry.Reason
	kept     bool // from the node's own disk it is taken
}

func lies() []lie {
	asItIs := func(*registry.Spec) {}
	signed := func(change func(s *registry.Spec)) func(l *liar) []byte {
		return func(l *liar) []byte { return l.good(l.with(change)) }
	}
	return []lie{
		{"arbitrary", func(l *liar) []byte { return l.sign(l.with(asItIs), l.thief) }, registry.Unsigned, false},
		{"signed by nobody", func(l *liar) []byte { return l.sign(l.with(asItIs)) }, registry.Unsigned, false},
		{"signed by too few", func(l *liar) []byte { return l.sign(l.with(asItIs), l.key) }, registry.Unsigned, false},
		{"signed by a revoked key", func(l *liar) []byte { return l.sign(l.with(asItIs), l.revoked, l.key) }, registry.Unsigned, false},
		{"signed by a root key", func(l *liar) []byte { return l.sign(l.with(asItIs), l.anchor, l.key) }, registry.Unsigned, false},
		{"one signature twice", func(l *liar) []byte {
			return l.changed(l.sign(l.with(asItIs), l.key), func(e *dsse.Envelope) { e.Signatures = slices.Repeat(e.Signatures, 2) })
		}, registry.Unsigned, false},
		{"the signatures of another", func(l *liar) []byte {
			return l.changed(l.good(l.next(8, "1.0.0")), func(e *dsse.Envelope) {
				_ = json.Unmarshal(l.sign(l.with(asItIs)), &struct{ Payload *string }{&e.Payload})
			})
		}, registry.Unsigned, false},
		{"rollback", signed(func(s *registry.Spec) { s.Serial = 6 }), registry.Rollback, true},
		{"mix", signed(func(s *registry.Spec) { s.Serial = 7 }), registry.Mixed, true},
		{"freeze", signed(func(s *registry.Spec) {
			s.Issued, s.Expires = s.Issued.Add(-48*time.Hour), s.Issued.Add(-24*time.Hour)
		}), registry.Expired, false},
		{"to come", signed(func(s *registry.Spec) { s.Issued = s.Issued.Add(time.Hour) }), registry.NotYet, true},
		{"another cell", signed(func(s *registry.Spec) { s.Audience = "par1" }), registry.WrongPlace, false},
		{"another channel", signed(func(s *registry.Spec) { s.Channel = "other" }), registry.WrongPlace, false},
		{"a root for a spec", func(l *liar) []byte { return l.good(l.root(3)) }, registry.WrongType, false},
		{"a token for a spec", func(l *liar) []byte { return l.raw("JWT", `{"sub":"alice"}`) }, registry.WrongType, false},
		{"a root's bytes as a spec", func(l *liar) []byte {
			return l.raw("application/vnd.statecraft.spec+json", `{"type":"statecraft.root.v1","version":3}`)
		}, registry.Malformed, false},
		{"endless", func(l *liar) []byte {
			return l.changed(l.good(l.with(asItIs)), func(e *dsse.Envelope) { e.Payload = strings.Repeat("A", registry.MaxEnvelope) })
		}, registry.TooLarge, false},
	}
}

// keyed is an entry of the bucket SPECS.
type keyed struct {
	jetstream.KeyValueEntry
	key   string
	value []byte
}

func (k keyed) Key() string                     { return k.key }
func (k keyed) Value() []byte                   { return k.value }
func (k keyed) Revision() uint64                { return 0 }
func (k keyed) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }

// byDepot puts documents into the bucket, and gives the node what the depot answers: texts.
func (l *liar) byDepot(spec []byte, roots ...[]byte) {
	l.t.Helper()
	shelf, stock := newSpecShelf("SPECS", l.look.Log), newSpecStock()
	for i, root := range roots {
		shelf.take(stock, keyed{key: rootKey + string(rune('3'+i)), value: root})
	}
	shelf.take(stock, keyed{key: specKey + "default", value: spec})
	shelf.take(stock, nil)
	found, err := shelf.find(specQuery{Channels: []string{"default"}, Root: 2})
	if err != nil {
		l.t.Fatal(err)
	}
	body := l.body(l.json(found))
	l.look.Data["roots"] = body["roots"]
	l.look.Data["specs"] = nil
	if text, ok := body["specs"].(map[string]any)["default"]; ok {
		l.look.Data["specs"] = []any{text}
	}
}

// byRepublish gives the node the bodies that a subscription hears: mappings.
func (l *liar) byRepublish(spec []byte, roots ...[]byte) {
	l.t.Helper()
	l.look.Data["specs"] = []any{l.body(spec)}
	heard := []any{}
	for _, root := range roots {
		heard = append(heard, l.body(root))
	}
	l.look.Data["roots"] = heard
}

// body is a message's body as machines see it.
func (l *liar) body(text []byte) map[string]any {
	l.t.Helper()
	v, err := watchers.ReadJSON(text, 32)
	body, ok := v.(map[string]any)
	if err != nil || !ok {
		l.t.Fatalf("%.100s is %T, %v", text, v, err)
	}
	return body
}

// byDisk writes a spec into the node's folder, as if it had been accepted under the present root, and starts the node again.
func (l *liar) byDisk(serial uint64, spec []byte) {
	l.t.Helper()
	file := l.json(map[string]any{"serial": serial, "under": 2, "envelope": spec})
	if err := os.WriteFile(filepath.Join(l.dir, "spec.default.json"), file, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.restart()
	l.look.Data["specs"], l.look.Data["roots"] = nil, nil
}

// checks looks at what the data holds.
func (l *liar) checks() watchers.Report { return l.watch.Check(l.t.Context(), l.look) }

// tells fails unless the instances were told this and no more.
func (l *liar) tells(said ...string) {
	l.t.Helper()
	if diff := cmp.Diff(said, l.yard.told()); diff != "" {
		l.t.Errorf("the instances are told (-want +got):\n%s", diff)
	}
}

// TestC18SpecsByTransport tries every lie by every way that a spec has to a node. It is refused with its reason, nothing is told to what runs, and
// the honest spec that comes after it is taken.
func TestC18SpecsByTransport(t *testing.T) {
	for _, lie := range lies() {
		for name, give := range map[string]func(l *liar, spec []byte){
			"depot":     func(l *liar, spec []byte) { l.byDepot(spec) },
			"republish": func(l *liar, spec []byte) { l.byRepublish(spec) },
		} {
			t.Run(lie.name+" by "+name, func(t *testing.T) {
				l := newLiar(t)
				give(l, lie.envelope(l))
				if name == "depot" && lie.reason == registry.TooLarge {
					if l.look.Data["specs"] != nil {
						t.Error("the depot passes it on")
					}
				} else if r := l.checks(); r.Outcome != outcomeRefused || r.Payload["reason"] != string(lie.reason) || r.Payload["serial"] != uint64(7) {
					t.Errorf("it is %s (%s), with %v; want refused for %s", r.Outcome, r.Message, r.Payload, lie.reason)
				}
				l.tells()
				give(l, l.good(l.next(9, "2.0.0")))
				if r := l.checks(); r.Outcome != outcomeChanged {
					t.Errorf("the honest spec is %s (%s)", r.Outcome, r.Message)
				}
				l.tells("changed web 2.0.0")
			})
		}
		t.Run(lie.name+" by disk", func(t *testing.T) {
			l := newLiar(t)
			spec := lie.envelope(l)
			serial := uint64(8)
			if lie.kept {
				serial = map[registry.Reason]uint64{registry.Rollback: 6, registry.Mixed: 7, registry.NotYet: 8}[lie.reason]
			}
			l.byDisk(serial, spec)
			r := l.checks()
			if lie.kept {
				l.tells("changed web 6.6.6")
			} else if l.tells(); r.Outcome != outcomeNothing && r.Outcome != outcomeRefused {
				t.Errorf("it is %s (%s)", r.Outcome, r.Message)
			}
			l.byDepot(l.good(l.next(9, "2.0.0")))
			if r := l.checks(); r.Outcome != outcomeChanged {
				t.Errorf("the honest spec is %s (%s)", r.Outcome, r.Message)
			}
			l.tells("changed web 2.0.0")
		})
	}
}

// TestC18RootsByTransport tries what somebody can do with trust roots who is not trusted to make them. The present one counts on.
func TestC18RootsByTransport(t *testing.T) {
	for _, lie := range []struct {
		name   string
		root   func(l *liar, by *identity.Key) []byte // gives the role spec to a key
		reason registry.Reason
	}{
		{"arbitrary", func(l *liar, by *identity.Key) []byte {
			r := l.rootFor(3, by)
			r.Roles[registry.RoleRoot] = registry.Role{Keys: keysOf(by), Threshold: 1}
			return l.sign(r, by)
		}, registry.Unsigned},
		{"signed by those who sign specs", func(l *liar, by *identity.Key) []byte { return l.good(l.rootFor(3, by)) }, registry.Unsigned},
		{"signed by too few of its own", func(l *liar, by *identity.Key) []byte {
			r := l.rootFor(3, by)
			r.Roles[registry.RoleRoot] = registry.Role{Keys: keysOf(l.anchor, l.second), Threshold: 2}
			return l.sign(r, l.anchor)
		}, registry.Unsigned},
		{"a version is left out", func(l *liar, by *identity.Key) []byte { return l.sign(l.rootFor(4, by), l.anchor) }, registry.Rollback},
		{"the present version again", func(l *liar, by *identity.Key) []byte { return l.sign(l.rootFor(2, by), l.anchor) }, registry.Rollback},
		{"the first again", func(l *liar, by *identity.Key) []byte { return l.sign(l.rootFor(1, by), l.anchor) }, registry.Rollback},
		{"to come", func(l *liar, by *identity.Key) []byte {
			r := l.rootFor(3, by)
			r.Issued = l.now.Add(time.Hour)
			return l.sign(r, l.anchor)
		}, registry.NotYet},
		{"a spec for a root", func(l *liar, _ *identity.Key) []byte { return l.good(l.next(8, "6.6.6")) }, registry.WrongType},
	} {
		for name, give := range map[string]func(l *liar, spec []byte, roots ...[]byte){"depot": (*liar).byDepot, "republish": (*liar).byRepublish} {
			t.Run(lie.name+" by "+name, func(t *testing.T) {
				l := newLiar(t)
				root := lie.root(l, l.thief)
				give(l, l.good(l.next(7, "1.0.0")), root)
				if r := l.checks(); r.Outcome != outcomeRefused || r.Payload["reason"] != string(lie.reason) || r.Payload["root"] != uint64(2) {
					t.Errorf("it is %s (%s), with %v; want refused for %s", r.Outcome, r.Message, r.Payload, lie.reason)
				}
				give(l, l.sign(l.next(8, "6.6.6"), l.thief))
				if r := l.checks(); r.Payload["reason"] != string(registry.Unsigned) {
					t.Errorf("the thief's spec is %s (%s)", r.Outcome, r.Message)
				}
				l.tells()
				give(l, l.good(l.next(9, "2.0.0")))
				if r := l.checks(); r.Outcome != outcomeChanged {
					t.Errorf("the honest spec is %s (%s)", r.Outcome, r.Message)
				}
				l.tells("changed web 2.0.0")
			})
		}
	}
}

// rootFor is a root by which a key may sign specs.
func (l *liar) rootFor(version uint64, by *identity.Key) *registry.Root {
	r := l.root(version)
	r.Roles[registry.RoleSpec] = registry.Role{Keys: keysOf(by), Threshold: 1}
	return r
}

// TestC18FastForwardByTransport has those whose keys were stolen publish a serial that none follows. Where the next root says from which serial to go
// on, the node comes back, by whatever way that root and the spec come, and although another root follows it.
func TestC18FastForwardByTransport(t *testing.T) {
	for name, give := range map[string]func(l *liar, spec []byte, roots ...[]byte){
		"depot":     (*liar).byDepot,
		"republish": (*liar).byRepublish,
		"depot after a restart": func(l *liar, spec []byte, roots ...[]byte) {
			l.restart()
			l.byDepot(spec, roots...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLiar(t)
			give(l, l.good(l.next(1<<60, "6.6.6")))
			if r := l.checks(); r.Outcome != outcomeChanged {
				t.Fatalf("what both keys have signed is %s (%s)", r.Outcome, r.Message)
			}
			l.yard.told()
			honest := l.good(l.next(8, "2.0.0"))
			give(l, honest)
			if r := l.checks(); r.Payload["reason"] != string(registry.Rollback) {
				t.Errorf("without a new root it is %s (%s)", r.Outcome, r.Message)
			}
			fresh := aKey(t)
			third, fourth := l.root(3), l.root(4)
			third.Serials = map[string]uint64{"default": 7}
			for _, root := range []*registry.Root{third, fourth} {
				root.Roles[registry.RoleSpec] = registry.Role{Keys: keysOf(fresh), Threshold: 1}
			}
			l.yard.told()
			give(l, l.sign(l.next(6, "0.9.0"), fresh), l.sign(third, l.anchor), l.sign(fourth, l.anchor))
			if r := l.checks(); r.Payload["reason"] != string(registry.Rollback) {
				t.Errorf("an old spec is %s (%s)", r.Outcome, r.Message)
			}
			l.yard.told()
			give(l, honest)
			if r := l.checks(); r.Payload["reason"] != string(registry.Unsigned) {
				t.Errorf("what the stolen keys have signed is %s (%s)", r.Outcome, r.Message)
			}
			l.yard.told()
			give(l, l.sign(l.next(8, "2.0.0"), fresh))
			if r := l.checks(); r.Outcome != outcomeChanged {
				t.Errorf("the honest spec is %s (%s)", r.Outcome, r.Message)
			}
			l.tells("changed web 2.0.0")
		})
	}
}
