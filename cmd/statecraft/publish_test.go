package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// registryCell is a cell whose host has all its machines, and somebody who publishes.
type registryCell struct {
	*fleetCell
	as string // who may publish
}

func newRegistryCell(t *testing.T) *registryCell {
	t.Helper()
	c := newHostedCell(t)
	r := &registryCell{fleetCell: c, as: c.client("alice", "registry_publish")}
	for _, name := range []string{overlay.PublisherKeyFile, overlay.FirstRootFile, overlay.AnchorsFile} {
		content := read(t, filepath.Join(c.dir, "operator", name))
		if err := os.WriteFile(filepath.Join(r.as, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *registryCell) flags() shelfFlags {
	return shelfFlags{contextFlags: contextFlags{As: r.as}, Channel: "default"}
}

func signing() signingFlags { return signingFlags{Expires: "1d"} }

// machine writes a folder with a machine of a version.
func (r *registryCell) machine(name, version, states string) string {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), name)
	manifest := strings.NewReplacer("NAME", name, "VERSION", version, "busy", states).Replace(`format: 1
name: NAME
version: VERSION
initial_state: idle
states: {idle: {home: true}}
transitions:
  - {name: go, from: [idle], destination: busy}
  - {name: done, from: [busy], destination: idle}
watchers:
  - {name: begin, type: timer, state_match: [idle], fail_transition: go, properties: {timer: 1h}}
  - {name: end, type: exec, state_match: [busy], success_transition: done, fail_transition: done, properties: {command: ./work}}
`)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	for file, content := range map[string]string{"machine.yaml": manifest, "work": "#!/bin/sh\nexit 0\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	return dir
}

func (r *registryCell) publish(dirs ...string) *publishVerb {
	return &publishVerb{shelfFlags: r.flags(), signingFlags: signing(), Paths: dirs}
}

// present is what the channel publishes, as a node would verify it.
func (r *registryCell) present() *registry.Spec {
	r.t.Helper()
	specs, err := r.streams().KeyValue(r.t.Context(), "SPECS")
	if err != nil {
		r.t.Fatal(err)
	}
	store, err := registry.OpenStore("", func() ([]identity.PublicKey, error) {
		return overlay.ReadAnchors(filepath.Join(r.dir, "operator", "roots"))
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for version := uint64(1); ; version++ {
		e, err := specs.Get(r.t.Context(), "root."+string(rune('0'+version)))
		if err != nil {
			break
		}
		if _, err := store.AcceptRoot(e.Value(), time.Now()); err != nil {
			r.t.Fatal(err)
		}
	}
	e, err := specs.Get(r.t.Context(), "spec.default")
	if err != nil {
		r.t.Fatal(err)
	}
	spec, _, err := store.Accept(e.Value(), registry.Want{Channel: "default", Cell: "main", Now: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	return spec
}

func TestPublish(t *testing.T) {
	r := newRegistryCell(t)
	first := r.machine("web", "1.0.0", "busy")
	a := answer(t, r.publish(first), false)
	a.wants(t, exitOK, "")
	if !strings.Contains(a.out, "+ web 1.0.0") || !strings.Contains(a.out, "published channel default, serial 1, 1 machine") {
		t.Errorf("publishing prints\n%s", a.out)
	}
	spec := r.present()
	if spec.Serial != 1 || len(spec.Machines) != 1 || spec.Machines[0].Name != "web" || spec.Audience != "main" {
		t.Errorf("published: %+v", spec)
	}
	bundles, err := r.streams().ObjectStore(t.Context(), "BUNDLES")
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundles.GetBytes(t.Context(), spec.Machines[0].Checksum)
	if err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(t.TempDir(), "into")
	if err := registry.Unpack(bytes.NewReader(data), int64(len(data)), spec.Machines[0].Checksum, into, registry.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if err := registry.Verify(filepath.Join(into, "web"), registry.SumsFile, spec.Machines[0].VerifyChecksum); err != nil {
		t.Error(err)
	}

	a = answer(t, r.publish(first), false)
	a.wants(t, exitOK, "nothing changes")
	if s := r.present().Serial; s != 1 {
		t.Errorf("publishing the same is serial %d", s)
	}
	renew := r.publish()
	renew.Renew = true
	answer(t, renew, false).wants(t, exitOK, "")
	if s := r.present().Serial; s != 2 {
		t.Errorf("renewing is serial %d", s)
	}

	a = answer(t, r.publish(r.machine("web", "1.1.0", "working")), false)
	a.wants(t, exitInvalid, "--allow-dropped-states")
	dropping := r.publish(r.machine("web", "1.1.0", "working"), r.machine("db", "2.0.0", "busy"))
	dropping.Dropped, dropping.DryRun = true, true
	a = answer(t, dropping, false)
	a.wants(t, exitOK, "")
	for _, want := range []string{"~ version: 1.0.0 -> 1.1.0", "a machine in busy starts again", "+ db 2.0.0", "would publish"} {
		if !strings.Contains(a.out, want) {
			t.Errorf("%q is not in\n%s", want, a.out)
		}
	}
	if s := r.present().Serial; s != 2 {
		t.Errorf("a dry run published serial %d", s)
	}
	dropping.DryRun = false
	answer(t, dropping, false).wants(t, exitOK, "")

	answer(t, &registryRetractVerb{shelfFlags: r.flags(), signingFlags: signing(), Machines: []string{"db"}}, false).wants(t, exitOK, "")
	answer(t, &registryRetractVerb{shelfFlags: r.flags(), signingFlags: signing(), To: 1}, false).wants(t, exitOK, "")
	spec = r.present()
	if spec.Serial != 5 || len(spec.Machines) != 1 || spec.Machines[0].Version != "1.0.0" {
		t.Errorf("going back gives %+v", spec)
	}
	r.shown(t)
}

// shown looks at what TestPublish has published with every verb that shows it.
func (r *registryCell) shown(t *testing.T) {
	t.Helper()
	for want, v := range map[string]any{
		"default  5       1":        &registryLsVerb{contextFlags{As: r.as}},
		"web      1.0.0":            &registryShowVerb{shelfFlags: r.flags()},
		"db       2.0.0":            &registryShowVerb{shelfFlags: r.flags(), Serial: 3},
		"3       ":                  &registryHistoryVerb{r.flags()},
		"~ version: 1.1.0 -> 1.0.0": &registryDiffVerb{shelfFlags: r.flags()},
		"+ db 2.0.0":                &registryDiffVerb{shelfFlags: r.flags(), From: 2, To: 3},
	} {
		a := answer(t, v.(interface{ Run(*invocation) error }), false)
		a.wants(t, exitOK, "")
		if !strings.Contains(a.out, want) {
			t.Errorf("%T prints no %q but\n%s", v, want, a.out)
		}
	}
	a := answer(t, &registryHistoryVerb{r.flags()}, true)
	var h historyResult
	if err := json.Unmarshal([]byte(a.out), &h); err != nil || len(h.Publications) != 5 || h.Publications[0].Serial != 5 {
		t.Errorf("history prints %s (%v)", a.out, err)
	}
	answer(t, &registryShowVerb{shelfFlags: shelfFlags{contextFlags: contextFlags{As: r.as}, Channel: "other"}}, false).wants(t, exitFailed, "registry ls")
	answer(t, &registryShowVerb{shelfFlags: r.flags(), Serial: 99}, false).wants(t, exitFailed, "registry history")
}

func TestPublishRefuses(t *testing.T) {
	r := newRegistryCell(t)
	broken := r.machine("web", "1.0.0", "busy")
	manifest := filepath.Join(broken, "machine.yaml")
	if err := os.WriteFile(manifest, []byte(strings.Replace(read(t, manifest), "type: timer", "type: timr", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	a := answer(t, r.publish(broken), false)
	a.wants(t, exitInvalid, "nothing is published")
	answer(t, r.publish(r.machine("enrollment", "1.0.0", "busy")), false).wants(t, exitInvalid, "give it another name")
	answer(t, r.publish(), false).wants(t, exitUsage, "say what to publish")
	stranger := filepath.Join(t.TempDir(), "stranger.key")
	answer(t, &keysNewVerb{File: stranger}, false).wants(t, exitOK, "")
	forged := r.publish(r.machine("web", "1.0.0", "busy"))
	forged.Key = []string{stranger}
	answer(t, forged, false).wants(t, exitRefused, "would be refused")
	viewer := r.publish(r.machine("web", "1.0.0", "busy"))
	viewer.As = r.client("viewer", "fleet_view")
	answer(t, viewer, false).wants(t, exitRefused, "registry_publish")
}

// TestPublishChoriasList takes Choria's plugin specification as it is.
func TestPublishChoriasList(t *testing.T) {
	r := newRegistryCell(t)
	list := filepath.Join(t.TempDir(), "plugins.json")
	sum := strings.Repeat("ab", 32)
	content := `[{"name": "metadata", "source": "https://example.net/metadata-machine-1.0.0.tgz", "verify": "SHA256SUMS",
		"verify_checksum": "` + sum + `", "checksum": "` + sum + `", "match": "has_command('facter')"}]`
	if err := os.WriteFile(list, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	v := r.publish()
	v.Spec = list
	answer(t, v, false).wants(t, exitOK, "")
	e := r.present().Machines[0]
	if e.Name != "metadata" || e.Source != "https://example.net/metadata-machine-1.0.0.tgz" || e.Match != "has_command('facter')" || e.VerifyChecksum != sum {
		t.Errorf("published %+v", e)
	}
}

// TestPublishRefusesEntries publishes nothing that has an expression which no node can answer, or a governor that cannot be: neither from a
// list, nor by flag, nor where others have signed it.
func TestPublishRefusesEntries(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	flag := r.publish(r.machine("web", "1.1.0", "busy"))
	flag.Match = "identity('^web'"
	answer(t, flag, false).wants(t, exitUsage, "of the expression")

	present := *r.present()
	present.Serial++
	present.Machines = slices.Clone(present.Machines)
	present.Machines[0].Match = "has_comand('x')"
	signer, err := (&invocation{ctx: t.Context()}).loadKey(filepath.Join(r.as, overlay.PublisherKeyFile), "")
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := registry.Sign(&present, signer)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(present.Machines)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"match.spec": envelope, "match.json": list, "governor.json": bytes.Replace(list, []byte(`"match":"has_comand('x')"`), []byte(`"governor":"a b"`), 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		v := r.publish()
		v.Spec = filepath.Join(dir, name)
		want := []string{name, `machine "web"`, "match: ", "has_comand"}
		switch name {
		case "match.spec":
			v.Spec, v.Envelope = "", v.Spec
		case "governor.json":
			want = []string{name, `machine "web"`, `governor: "a b"`}
		}
		a := answer(t, v, false)
		for _, text := range want {
			a.wants(t, exitInvalid, text)
		}
	}
	if s := r.present().Serial; s != 1 {
		t.Errorf("serial %d is published", s)
	}
}

// TestC18FastForward has a thief publish the highest serial that there is. The key is taken away and the channel goes on from its own serial,
// although another root follows before anything is published.
func TestC18FastForward(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	spec := *r.present()
	spec.Serial, spec.Machines = math.MaxInt64, []registry.Entry{}
	stolen := filepath.Join(r.as, overlay.PublisherKeyFile)
	thief, err := (&invocation{ctx: t.Context()}).loadKey(stolen, "")
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := registry.Sign(&spec, thief)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "evil.spec")
	if err := os.WriteFile(file, envelope, 0o644); err != nil {
		t.Fatal(err)
	}
	answer(t, &publishVerb{shelfFlags: r.flags(), Envelope: file}, false).wants(t, exitOK, "")
	answer(t, r.publish(r.machine("web", "1.1.0", "busy")), false).wants(t, exitRefused, "keys rotate --serial default=N")

	fresh := filepath.Join(t.TempDir(), "fresh.key")
	a := answer(t, &keysNewVerb{File: fresh}, true)
	var key keyResult
	if err := json.Unmarshal([]byte(a.out), &key); err != nil {
		t.Fatal(err)
	}
	rotate := &keysRotateVerb{
		contextFlags: contextFlags{As: r.as}, Role: "spec", Expires: "1y", Key: []string{filepath.Join(r.dir, "authority", "root.key")},
		Add: []string{key.PublicKey}, Remove: []string{thief.Public().String()}, Serial: map[string]uint64{"default": 1},
	}
	answer(t, rotate, false).wants(t, exitOK, "")
	// What a key signed that was taken away since is shown, with a mark.
	a = answer(t, &registryHistoryVerb{r.flags()}, false)
	if a.wants(t, exitOK, ""); !strings.Contains(a.out, "9223372036854775807") || !strings.Contains(a.out, notVouchedFor+" web 1.0.0") {
		t.Errorf("history prints\n%s", a.out)
	}
	rotate.Add, rotate.Remove, rotate.Serial = nil, nil, nil
	answer(t, rotate, false).wants(t, exitOK, "")
	again := r.publish(r.machine("web", "1.1.0", "busy"))
	again.Key = []string{fresh}
	answer(t, again, false).wants(t, exitOK, "not vouched for any more")
	if spec := r.present(); spec.Serial != 2 || len(spec.Machines) != 1 || spec.Machines[0].Version != "1.1.0" {
		t.Errorf("published %+v", spec)
	}
}

// TestC22RotateKeys takes the publishing key away, and lets two people sign from then on.
func TestC22RotateKeys(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	var keys, files []string
	for _, name := range []string{"bob", "carol"} {
		file := filepath.Join(t.TempDir(), name+".key")
		a := answer(t, &keysNewVerb{File: file}, true)
		var k keyResult
		if err := json.Unmarshal([]byte(a.out), &k); err != nil {
			t.Fatal(err)
		}
		keys, files = append(keys, k.PublicKey), append(files, file)
	}
	old := answer(t, &keysShowVerb{File: filepath.Join(r.as, "publisher.key")}, true)
	var was keyResult
	if err := json.Unmarshal([]byte(old.out), &was); err != nil {
		t.Fatal(err)
	}
	rotate := &keysRotateVerb{
		contextFlags: contextFlags{As: r.as}, Role: "spec", Add: keys, Remove: []string{was.PublicKey}, Threshold: 2,
		Key: []string{filepath.Join(r.dir, "authority", "root.key")}, Expires: "1y",
	}
	answer(t, rotate, false).wants(t, exitOK, "")

	renew := r.publish()
	renew.Renew = true
	answer(t, renew, false).wants(t, exitRefused, "")
	prepared := filepath.Join(t.TempDir(), "spec.json")
	again := r.publish(r.machine("web", "1.1.0", "busy"))
	again.Key, again.Prepare = files[:1], prepared
	answer(t, again, false).wants(t, exitOK, "statecraft sign")
	answer(t, &publishVerb{shelfFlags: r.flags(), Envelope: prepared}, false).wants(t, exitRefused, "statecraft sign")
	// Whoever is to sign sees what, and that it does not count yet.
	answer(t, &verifyVerb{shelfFlags: r.flags(), Path: prepared}, false).wants(t, exitRefused, "web", "1.1.0", "1 of the 2 keys")
	answer(t, &verifyVerb{shelfFlags: r.flags(), Path: prepared}, true).wants(t, exitRefused, `"version": "1.1.0"`, `"refused": "refused (unsigned)`)
	answer(t, &signVerb{Key: files[1:], File: prepared}, false).wants(t, exitOK, "")
	answer(t, &verifyVerb{shelfFlags: r.flags(), Path: prepared}, false).wants(t, exitOK, "")
	answer(t, &publishVerb{shelfFlags: r.flags(), Envelope: prepared}, false).wants(t, exitOK, "")
	if spec := r.present(); spec.Serial != 2 || spec.Machines[0].Version != "1.1.0" {
		t.Errorf("published %+v", spec)
	}
}

// TestVerifyDirectory finds a changed script in a folder that a node has deployed.
func TestVerifyDirectory(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	e := r.present().Machines[0]
	bundles, err := r.streams().ObjectStore(t.Context(), "BUNDLES")
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundles.GetBytes(t.Context(), e.Checksum)
	if err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(t.TempDir(), "into")
	if err := registry.Unpack(bytes.NewReader(data), int64(len(data)), e.Checksum, into, registry.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	v := &verifyVerb{shelfFlags: r.flags(), Path: filepath.Join(into, "web")}
	answer(t, v, false).wants(t, exitOK, "")
	if err := os.WriteFile(filepath.Join(into, "web", "work"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	answer(t, v, false).wants(t, exitRefused, "is not web 1.0.0 as published")
}

// TestPublishAtOnce has two people publish to one channel: none overwrites the other.
func TestPublishAtOnce(t *testing.T) {
	r := newRegistryCell(t)
	var done [2]verbAnswer
	dirs := []string{r.machine("web", "1.0.0", "busy"), r.machine("db", "1.0.0", "busy")}
	ended := make(chan int, len(dirs))
	for i := range dirs {
		go func() {
			done[i] = answer(t, r.publish(dirs[i]), false)
			ended <- i
		}()
	}
	published := 0
	for range dirs {
		if a := done[<-ended]; a.code == exitOK {
			published++
		} else {
			a.wants(t, exitFailed, "run the command again")
		}
	}
	if spec := r.present(); len(spec.Machines) != published {
		t.Errorf("%d publications left %d machines", published, len(spec.Machines))
	}
}
