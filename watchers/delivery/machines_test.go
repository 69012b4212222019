package delivery

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// yard is a host that only notes what it is asked for.
type yard struct {
	instances map[string]map[string]any
	standing  map[string]watchers.Standing
	said      []string
	fails     error
}

func newYard() *yard {
	return &yard{instances: map[string]map[string]any{}, standing: map[string]watchers.Standing{}}
}

func (y *yard) Spawn(_ context.Context, o watchers.SpawnOrder) (bool, error) {
	if y.fails != nil {
		return false, y.fails
	}
	if _, there := y.instances[o.Key]; there {
		return false, nil
	}
	y.instances[o.Key] = o.Input
	y.said = append(y.said, "start "+o.Key+" "+versionIn(o.Input))
	return true, nil
}

func (y *yard) Signal(_ context.Context, _, _, key, event string, payload map[string]any) (bool, error) {
	if _, there := y.instances[key]; !there || y.fails != nil {
		return there, y.fails
	}
	y.said = append(y.said, strings.TrimSpace(event+" "+key+" "+versionIn(payload)))
	if event == eventUnwanted {
		delete(y.instances, key)
	}
	return true, nil
}

func versionIn(input map[string]any) string {
	entry, _ := input["machine"].(map[string]any)
	version, _ := entry["version"].(string)
	return version
}

func (y *yard) Instances(string, string) map[string]map[string]any { return maps.Clone(y.instances) }

func (y *yard) Standing(_, name string) (watchers.Standing, bool) {
	s, ok := y.standing[name]
	return s, ok
}

func (y *yard) Deploy(context.Context, watchers.DeployOrder) (watchers.Deployed, error) {
	return watchers.Deployed{}, errors.ErrUnsupported
}
func (y *yard) Remove(context.Context, string, string) error { return errors.ErrUnsupported }
func (y *yard) Machines(string) map[string]watchers.Standing { return nil }

// told is what was asked for since it was asked last.
func (y *yard) told() []string {
	said := y.said
	y.said = nil
	return said
}

// listing is a machines watcher with a trust store and who signs for it.
type listing struct {
	t      testing.TB
	yard   *yard
	store  *registry.Store
	anchor *identity.Key
	key    *identity.Key
	now    time.Time
	serial uint64
	watch  *machines
	look   *watchers.Look
}

func newListing(t testing.TB, properties string) *listing {
	t.Helper()
	l := &listing{t: t, yard: newYard(), anchor: aKey(t), key: aKey(t), now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	var err error
	l.store, err = registry.OpenStore("", func() ([]identity.PublicKey, error) { return []identity.PublicKey{l.anchor.Public()}, nil })
	if err != nil {
		t.Fatal(err)
	}
	l.watch = l.watcher(properties)
	facts, err := watchers.NewFacts([]byte(`{"os": {"family": "debian"}}`))
	if err != nil {
		t.Fatal(err)
	}
	l.look = &watchers.Look{
		Machine: "deployer", Watcher: "deploy", Identity: "web1.example", Facts: facts, At: l.now, Log: slog.New(slog.DiscardHandler),
		Data: map[string]any{"roots": string(l.sign(l.root(1), l.anchor))},
	}
	return l
}

// watcher is one as a process that has just begun has it.
func (l *listing) watcher(properties string) *machines {
	l.t.Helper()
	n, list := strict.Parse("test.yaml", []byte(properties))
	if list.HasErrors() {
		l.t.Fatal(list)
	}
	prepared, list := machinesType(Services{
		Deployer: l.yard, Spawner: l.yard, Stores: func(string) (*registry.Store, error) { return l.store, nil },
		Cell: func(string) (string, error) { return "lon1", nil },
	}).Prepare(&machine.WatcherSpec{Name: "deploy", Type: "machines", Strict: true, Properties: n})
	if list.HasErrors() {
		l.t.Fatal(list)
	}
	return prepared.New().(*machines)
}

func aKey(t testing.TB) *identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (l *listing) root(version uint64) *registry.Root {
	return &registry.Root{
		Type: registry.RootType, Version: version, Issued: l.now, Expires: l.now.Add(1000 * 24 * time.Hour),
		Roles: map[string]registry.Role{
			registry.RoleRoot: {Keys: []identity.PublicKey{l.anchor.Public()}, Threshold: 1},
			registry.RoleSpec: {Keys: []identity.PublicKey{l.key.Public()}, Threshold: 1},
		},
	}
}

func (l *listing) sign(document any, keys ...registry.Signer) []byte {
	l.t.Helper()
	envelope, err := registry.Sign(document, keys...)
	if err != nil {
		l.t.Fatal(err)
	}
	return envelope
}

// spec signs the next spec.
func (l *listing) spec(entries ...registry.Entry) string {
	l.t.Helper()
	l.serial++
	return string(l.sign(&registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: "lon1", Serial: l.serial, Issued: l.now, Expires: l.now.Add(24 * time.Hour),
		Machines: append([]registry.Entry{}, entries...),
	}, l.key))
}

func entry(name, version, match string) registry.Entry {
	return registry.Entry{
		Name: name, Version: version, Source: "object://BUNDLES/" + name, Checksum: strings.Repeat("1", 64), Verify: "SHA256SUMS",
		VerifyChecksum: strings.Repeat("2", 64), Match: match,
	}
}

// give has the watcher look at what the data holds then.
func (l *listing) give(item any, outcome string, said ...string) watchers.Report {
	l.t.Helper()
	l.look.Data["specs"] = item
	r := l.watch.Check(l.t.Context(), l.look)
	if r.Outcome != outcome {
		l.t.Errorf("the outcome is %s (%s), want %s", r.Outcome, r.Message, outcome)
	}
	if diff := cmp.Diff(said, l.yard.told()); diff != "" {
		l.t.Errorf("the instances are told (-want +got):\n%s", diff)
	}
	return r
}

const ofNode = "data_item: specs\nroots_item: roots\npurge_unknown: true"

func TestMachinesKeepsInstances(t *testing.T) {
	l := newListing(t, ofNode)
	l.give(nil, outcomeNothing)
	web, db := entry("web", "1.0.0", "identity('^web')"), entry("db", "1.0.0", "identity('^db')")
	r := l.give(l.spec(web, db), outcomeChanged, "start web 1.0.0")
	if diff := cmp.Diff(map[string]any{"serial": uint64(1), "root": uint64(1), "names": []any{"web"}, "unknown": []any{}, "reason": "", "detail": ""}, r.Payload); diff != "" {
		t.Error(diff)
	}
	input := l.yard.instances["web"]
	if input["manager"] != "deployer/deploy" || input["password"] != "" || input["machine"].(map[string]any)["checksum"] != web.Checksum {
		t.Errorf("the instance is given %v", input)
	}
	l.give(nil, watchers.OutcomeUnchanged)
	web.Version = "1.1.0"
	l.give([]any{l.spec(web)}, outcomeChanged, "changed web 1.1.0")
	l.give(l.spec(web, entry("extra", "1.0.0", "")), outcomeChanged, "start extra 1.0.0")
	delete(l.yard.instances, "extra") // somebody has removed it
	l.give(nil, outcomeChanged, "start extra 1.0.0")
	l.give(l.spec(entry("extra", "1.0.0", "")), outcomeChanged, "unwanted web")
}

// TestMachinesUnknownChangesNothing holds that a machine of which it cannot be said whether it is for this node neither comes nor goes.
func TestMachinesUnknownChangesNothing(t *testing.T) {
	l := newListing(t, ofNode)
	l.give(l.spec(entry("web", "1.0.0", "")), outcomeChanged, "start web 1.0.0")
	for _, match := range []string{`get_fact("role") == "web"`, `facts.role == "web"`, `identity("(")`, `of_a_later_version("x")`} {
		r := l.give(l.spec(entry("web", "2.0.0", match), entry("db", "2.0.0", match)), watchers.OutcomeUnchanged)
		if diff := cmp.Diff([]any{"db", "web"}, r.Payload["unknown"]); diff != "" {
			t.Error(diff)
		}
	}
	facts, err := watchers.NewFacts([]byte(`{"role": "db"}`))
	if err != nil {
		t.Fatal(err)
	}
	l.look.Facts = facts
	l.give(l.spec(entry("web", "2.0.0", `facts.role == "web"`), entry("db", "2.0.0", `facts.role == "db"`)), outcomeChanged, "start db 2.0.0", "unwanted web")
}

// TestMachinesPurge leaves what this watcher has not deployed, and everything without purge_unknown.
func TestMachinesPurge(t *testing.T) {
	l := newListing(t, ofNode)
	l.yard.instances["foreign"] = map[string]any{"manager": "somebody/else"}
	l.yard.instances["left"] = map[string]any{"manager": "deployer/deploy"} // by an earlier process
	l.give(l.spec(entry("web", "1.0.0", "")), outcomeChanged, "start web 1.0.0", "unwanted left")
	r := l.give(l.spec(entry("foreign", "1.0.0", "")), outcomeRefused, "unwanted web")
	if !strings.Contains(r.Payload["detail"].(string), "foreign") {
		t.Errorf("it says %v", r.Payload)
	}
	l.watch = l.watcher("data_item: specs\nroots_item: roots")
	l.yard.instances = map[string]map[string]any{"left": {"manager": "deployer/deploy"}}
	l.give(l.spec(), watchers.OutcomeUnchanged)
}

// TestMachinesAfterARestart tells the instances of an earlier process of their entries again.
func TestMachinesAfterARestart(t *testing.T) {
	l := newListing(t, ofNode)
	l.give(l.spec(entry("web", "1.0.0", "")), outcomeChanged, "start web 1.0.0")
	l.yard.standing["web"] = watchers.Standing{Version: "1.0.0"}
	l.watch = l.watcher(ofNode)
	l.give(nil, outcomeChanged, "changed web 1.0.0")
	l.give(nil, watchers.OutcomeUnchanged)
}

// TestMachinesTakesNoOtherName refuses a machine that has the name of one that was not deployed so, and brings the others.
func TestMachinesTakesNoOtherName(t *testing.T) {
	l := newListing(t, ofNode)
	l.yard.standing["heartbeat"] = watchers.Standing{Version: "1.0.0"}
	r := l.give(l.spec(entry("heartbeat", "6.6.6", ""), entry("web", "1.0.0", "")), outcomeRefused, "start web 1.0.0")
	if r.Payload["reason"] != string(reasonImpossible) || !strings.Contains(r.Message, "heartbeat") {
		t.Errorf("it says %v", r.Payload)
	}
}

// TestMachinesKeepsTheLastGood refuses what it must, says why, and goes by what was good.
func TestMachinesKeepsTheLastGood(t *testing.T) {
	l := newListing(t, ofNode)
	good := l.spec(entry("web", "1.0.0", ""))
	l.give(good, outcomeChanged, "start web 1.0.0")
	thief := aKey(t)
	bad := &registry.Spec{
		Type: registry.SpecType, Channel: "default", Serial: 9, Issued: l.now, Expires: l.now.Add(time.Hour), Machines: []registry.Entry{entry("evil", "6.6.6", "")},
	}
	for item, reason := range map[string]registry.Reason{
		string(l.sign(bad, thief)):                   registry.Unsigned,
		"nonsense":                                   registry.Malformed,
		string(l.sign(l.root(2), l.anchor)):          registry.WrongType,
		strings.Repeat("x", registry.MaxEnvelope+10): registry.TooLarge,
	} {
		delete(l.yard.instances, "web")
		r := l.give(item, outcomeRefused, "start web 1.0.0")
		if r.Payload["reason"] != string(reason) || r.Payload["detail"] == "" || r.Payload["serial"] != uint64(1) {
			t.Errorf("%.30s: it says %v, want %s", item, r.Payload, reason)
		}
	}
	r := l.give(3, outcomeRefused)
	if r.Payload["reason"] != string(registry.Malformed) {
		t.Errorf("a number: it says %v", r.Payload)
	}
	l.give([]any{l.spec(entry("web", "1.1.0", "")), good}, outcomeRefused, "changed web 1.1.0") // the older one came late
}

// TestMachinesEndedSpec runs on with a spec that has ended, and changes nothing by it.
func TestMachinesEndedSpec(t *testing.T) {
	l := newListing(t, ofNode)
	l.give(l.spec(entry("web", "1.0.0", "")), outcomeChanged, "start web 1.0.0")
	l.look.At = l.now.Add(24*time.Hour + 4*time.Minute) // within what clocks may be apart
	l.give(nil, watchers.OutcomeUnchanged)
	l.look.At = l.now.Add(90 * 24 * time.Hour)
	delete(l.yard.instances, "web")
	r := l.give(nil, outcomeRefused)
	if r.Payload["reason"] != string(registry.Expired) {
		t.Errorf("it says %v", r.Payload)
	}
	l.now = l.look.At
	l.give(l.spec(entry("web", "1.1.0", ""), entry("db", "1.0.0", "")), machine.OutcomeFail, "start db 1.0.0") // web's instance is just gone
	l.give(nil, outcomeChanged, "start web 1.1.0")
}

// TestMachinesSameRootByTwoWays gives a root as the text that it was published as, and as the mapping that a message has.
func TestMachinesSameRootByTwoWays(t *testing.T) {
	l := newListing(t, ofNode)
	l.give(l.spec(entry("web", "1.0.0", "")), outcomeChanged, "start web 1.0.0")
	mapping := func(text string) (m map[string]any) {
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	l.look.Data["roots"] = []any{mapping(l.look.Data["roots"].(string))}
	l.give(nil, watchers.OutcomeUnchanged)
	spec := l.spec(entry("web", "1.1.0", ""))
	l.give([]any{mapping(spec), spec}, outcomeChanged, "changed web 1.1.0")
	l.look.Data["roots"] = "nonsense"
	l.give(nil, outcomeRefused)
}

// TestMachinesFailsAndTriesAgain loses nothing where the host fails for a moment.
func TestMachinesFailsAndTriesAgain(t *testing.T) {
	l := newListing(t, ofNode)
	spec := l.spec(entry("web", "1.0.0", ""))
	l.yard.fails = errors.New("no room")
	l.give(spec, machine.OutcomeFail)
	l.yard.fails = nil
	l.give(spec, outcomeChanged, "start web 1.0.0")
	l.yard.fails = errors.New("no room")
	l.give(l.spec(), machine.OutcomeFail)
	l.yard.fails = nil
	l.give(nil, outcomeChanged, "unwanted web")
}

// TestMachinesTakesChoriaLists reads what Choria signs, by its key.
func TestMachinesTakesChoriaLists(t *testing.T) {
	l := newListing(t, ofNode)
	l.watch = l.watcher(fmt.Sprintf("data_item: specs\npublic_key: %s\npurge_unknown: true\nplugins_directory: /srv/machines\nmachine_manage_interval: 30s", l.key.Public()))
	item := func(key *identity.Key, entries ...registry.Entry) map[string]any {
		list, err := json.Marshal(append([]registry.Entry{}, entries...))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"plugins": base64.StdEncoding.EncodeToString(list), "signature": hex.EncodeToString(key.Sign(list))}
	}
	secret := entry("web", "1.0.0", "")
	secret.Username, secret.Password = "u", "p"
	l.give(nil, outcomeNothing)
	l.give(item(l.key, secret), outcomeChanged, "start web 1.0.0")
	input := l.yard.instances["web"]
	if input["password"] != "p" || input["target"] != "/srv/machines" || strings.Contains(fmt.Sprint(input["machine"]), "password") {
		t.Errorf("the instance is given %v", input)
	}
	r := l.give(item(aKey(t), entry("evil", "6.6.6", "")), outcomeRefused)
	if r.Payload["reason"] != string(registry.Unsigned) || !slices.Contains(r.Payload["names"].([]any), any("web")) {
		t.Errorf("it says %v", r.Payload)
	}
	l.give(item(l.key), outcomeChanged, "unwanted web")
}
