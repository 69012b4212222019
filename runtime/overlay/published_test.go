package overlay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/publication"
	"github.com/statecraft-io/statecraft/watchers"
)

// press publishes for the hosts of a cell of one.
type press struct {
	*Host
	t       *testing.T
	dir     string // of the cell
	without bool   // start without what is published
	stop    func()
	signer  *identity.Key // has the role spec.overlay
	serial  uint64
}

// newPress makes a cell of one, starts its host, and lets a key sign for hosts. Its tests run side by side: most of their time is waiting for what
// is confirmed.
func newPress(t *testing.T) *press {
	t.Helper()
	t.Parallel()
	p := &press{t: t, dir: t.TempDir(), stop: func() {}}
	if _, err := Init(InitOptions{Dir: p.dir, Cell: "c1", Now: time.Now(), Hosts: []HostOptions{{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222}}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.signer, err = identity.NewKey(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop() })
	p.start()
	s := p.shelf()
	if _, err := s.PublishRoot(t.Context(), p.read("operator", FirstRootFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PublishRoot(t.Context(), p.nextRoot()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *press) read(parts ...string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{p.dir}, parts...)...))
	if err != nil {
		p.t.Fatal(err)
	}
	return []byte(strings.TrimSpace(string(data)))
}

// nextRoot gives the signer the role.
func (p *press) nextRoot() []byte {
	p.t.Helper()
	root, err := p.trust.Root()
	if err != nil || root == nil {
		p.t.Fatal(root, err)
	}
	next, err := root.Next(registry.RootChange{
		Role: registry.ChannelRole(registry.OverlayChannel), Add: []identity.PublicKey{p.signer.Public()}, Issued: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := identity.LoadKey(filepath.Join(p.dir, "authority", "root.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.signed(next, key)
}

func (p *press) signed(document any, keys ...registry.Signer) []byte {
	p.t.Helper()
	envelope, err := registry.Sign(document, keys...)
	if err != nil {
		p.t.Fatal(err)
	}
	return envelope
}

// start runs the host, anew where it ran before.
func (p *press) start() {
	p.t.Helper()
	p.stop()
	folder, cfg, err := Open(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	cfg.Listen.Fleet = "127.0.0.1:0"
	real, err := clock.NewReal()
	if err != nil {
		p.t.Fatal(err)
	}
	p.Host, err = NewHost(HostConfig{Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.DiscardHandler), WithoutPublished: p.without, Version: "1.2.3"})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("the host: %v", err)
		}
		_ = real.Close()
		p.stop = func() {}
	}
	inState(p.t, p.Host, "streams", "steady")
}

// shelf is what a client with every right publishes by: here the host itself, by its services.
func (p *press) shelf() *publication.Shelf {
	p.t.Helper()
	s, err := p.openShelf(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (p *press) openShelf(ctx context.Context) (*publication.Shelf, error) {
	nc, err := p.pool.Wait(ctx, p.cfg.Config.Host, fleetConnection)
	if err != nil {
		return nil, err
	}
	trust, err := registry.OpenStore("", func() ([]identity.PublicKey, error) { return p.wallet.Roots, nil })
	if err != nil {
		return nil, err
	}
	subject := func(service string) string { return broker.ServiceSubject(p.key.Public().NKey(), service) }
	return publication.Open(ctx, nc, subject, "c1", trust, time.Now)
}

// built makes the bundle of a built-in machine with changes to its manifest, under another version.
func (p *press) built(name, version string, changes ...string) *registry.Bundle {
	p.t.Helper()
	text, err := manifests.Files.ReadFile("overlay/" + name + ".yaml")
	if err != nil {
		p.t.Fatal(err)
	}
	changed := strings.NewReplacer(append([]string{"\nversion: 0.1.0\n", "\nversion: " + version + "\n"}, changes...)...).Replace(string(text))
	return p.bundle(changed)
}

func (p *press) bundle(manifest string) *registry.Bundle {
	p.t.Helper()
	dir := p.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "machine.yaml"), []byte(manifest), 0o600); err != nil {
		p.t.Fatal(err)
	}
	b, err := registry.Pack(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// list is the next list, of bundles.
func (p *press) list(bundles ...*registry.Bundle) *registry.Spec {
	p.serial++
	now := time.Now().UTC().Truncate(time.Second)
	s := &registry.Spec{
		Type: registry.SpecType, Channel: registry.OverlayChannel, Audience: "c1", Serial: p.serial, Issued: now, Expires: now.Add(time.Hour),
		Machines: []registry.Entry{},
	}
	for _, b := range bundles {
		s.Machines = append(s.Machines, registry.Entry{
			Name: b.Name, Version: b.Version, Source: publication.Source(b.Digest), Checksum: b.Digest, Verify: registry.SumsFile, VerifyChecksum: b.SumsDigest,
		})
	}
	return s
}

// publish publishes the next list, with its bundles.
func (p *press) publish(bundles ...*registry.Bundle) {
	p.t.Helper()
	envelope := p.signed(p.list(bundles...), p.signer)
	s := p.shelf()
	for _, b := range bundles {
		if _, err := s.PutBundle(p.t.Context(), b, envelope); err != nil {
			p.t.Fatal(err)
		}
	}
	over, err := s.Base(p.t.Context(), registry.OverlayChannel)
	if err != nil && !errors.Is(err, publication.ErrNoChannel) {
		p.t.Fatal(err)
	}
	if _, err := s.Publish(p.t.Context(), registry.OverlayChannel, envelope, over); err != nil {
		p.t.Fatal(err)
	}
}

// put writes a key of the bucket SPECS past the hosts' check.
func (p *press) put(key string, value []byte) {
	p.t.Helper()
	nc, err := p.pool.Wait(p.t.Context(), p.cfg.Config.Host, fleetConnection)
	if err != nil {
		p.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		p.t.Fatal(err)
	}
	kv, err := js.KeyValue(p.t.Context(), publication.SpecsBucket)
	if err == nil {
		_, err = kv.Put(p.t.Context(), key, value)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// datum is a text in a machine's data.
func (p *press) datum(machine, key string) string {
	_, data, _ := p.Host.Host().Glance(machine)
	text, _ := data[key].(string)
	return text
}

// degradedBy is the reason for which the host is degraded that has a word in it.
func (p *press) degradedBy(word string) string {
	for _, reason := range p.Host.Host().Health().Degraded {
		if strings.Contains(reason, word) {
			return reason
		}
	}
	return ""
}

// until waits for something.
func (p *press) until(what string, holds func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			d, err := p.Host.Host().Machine(p.t.Context(), "deployer")
			var all []string
			for _, m := range p.Host.Host().Machines() {
				all = append(all, m.Name+" "+m.Version+" "+m.State)
			}
			p.t.Fatalf("waiting for: %s; the deployer is %s: %v, %v, of %v", what, d.State, d.Data, err, all)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// runs waits until a machine runs in a version.
func (p *press) runs(name, version string) {
	p.t.Helper()
	p.until(name+" "+version, func() bool {
		for _, m := range p.Host.Host().Machines() {
			if m.Name == name {
				return m.Version == version && m.State != ""
			}
		}
		return version == ""
	})
}

// origin is by whose word a machine runs.
func (p *press) origin(name string) runtime.Origin {
	for _, r := range p.Host.Host().Runs() {
		if r.Name == name {
			return r.Origin
		}
	}
	return runtime.Origin{}
}

// beside is a machine that takes no other's place. It shows that it reads the same input as built-in ones.
const beside = `format: 1
name: beside
version: 1.0.0
initial_state: idle
states:
  idle: {}
  named: {home: true}
transitions:
  - {name: named, from: [idle], destination: named, when: input.cell == "c1"}
watchers:
  - {name: cell, type: expression, state_match: [idle], success_transition: named, properties: {success_when: "true"}}
`

// TestH77APublishedMachineRunsInPlaceOfABuiltInOne: it comes, comes back after a restart, and goes with its being retracted.
func TestH77APublishedMachineRunsInPlaceOfABuiltInOne(t *testing.T) {
	p := newPress(t)
	p.runs("names", "0.1.0")
	p.publish(p.built("names", "0.2.0"), p.bundle(beside))
	p.runs("names", "0.2.0")
	inState(t, p.Host, "bundle:beside", "running")
	inState(t, p.Host, "beside", "named")
	inState(t, p.Host, "bundle:names", "running")
	inState(t, p.Host, "deployer", "settled")

	want := runtime.Origin{Kind: runtime.OriginPublished, Channel: "overlay", Serial: 1, Signers: []string{p.signer.Public().String()}}
	if diff := cmp.Diff(want, p.origin("names")); diff != "" {
		t.Errorf("by whose word it runs (-want +got):\n%s", diff)
	}
	if got := p.origin("registry"); got.Kind != runtime.OriginBuiltIn || got.Release != "1.2.3" {
		t.Errorf("a built-in machine runs by the word of %+v", got)
	}

	p.start()
	p.runs("names", "0.2.0")
	inState(t, p.Host, "bundle:names", "running")

	p.publish()
	p.runs("names", "0.1.0")
	p.runs("beside", "")
	inState(t, p.Host, "names", "watching")
	p.start()
	inState(t, p.Host, "deployer", "settled")
	p.runs("names", "0.1.0")
}

// TestH77WhatIsNotSignedForHostsDoesNotRun: a list that only those have signed who sign for nodes, that is older than one before, or of which the bundle
// is another than was signed for; written into the bucket past the hosts' own check, as a host of an earlier release would.
func TestH77WhatIsNotSignedForHostsDoesNotRun(t *testing.T) {
	p := newPress(t)
	first := p.list(p.built("names", "0.2.0"))
	p.publish(p.built("names", "0.3.0"))
	p.runs("names", "0.3.0")
	publisher, err := identity.LoadKey(filepath.Join(p.dir, "operator", PublisherKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	next := p.list(p.built("names", "0.4.0"))
	elsewhere := p.list(p.built("names", "0.5.0"))
	elsewhere.Audience = "c2"
	for reason, envelope := range map[registry.Reason][]byte{
		registry.Unsigned: p.signed(next, publisher), registry.Rollback: p.signed(first, p.signer), registry.WrongPlace: p.signed(elsewhere, p.signer),
	} {
		s := p.shelf()
		over, err := s.Base(t.Context(), registry.OverlayChannel)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(t.Context(), registry.OverlayChannel, envelope, over); err == nil {
			t.Errorf("%s: a host stores it", reason)
		}
		p.put("spec.overlay", envelope)
		p.until("it is refused: "+string(reason), func() bool { return p.datum("deployer", "reason") == string(reason) })
		if got := p.degradedBy("overlay"); got == "" {
			t.Errorf("%s: nobody is told: %v", reason, p.Host.Host().Health().Degraded)
		}
	}
	p.put("spec.overlay", p.signed(p.list(p.built("names", "0.6.0")), stranger))
	p.until("it is refused", func() bool { return p.datum("deployer", "reason") == string(registry.Unsigned) })
	p.runs("names", "0.3.0")
	inState(t, p.Host, "bundle:names", "running")

	p.publish(p.built("names", "0.7.0"))
	p.runs("names", "0.7.0")
	p.until("nobody is told any more", func() bool { return p.degradedBy("overlay") == "" })
}

// TestH77ATamperedMachineGivesWayToTheBuiltInOne until it is deployed anew, also where it is the one by which machines come.
func TestH77ATamperedMachineGivesWayToTheBuiltInOne(t *testing.T) {
	p := newPress(t)
	p.publish(p.built("registry", "0.2.0"))
	p.runs("registry", "0.2.0")
	inState(t, p.Host, "bundle:registry", "running")
	file := filepath.Join(p.path(publishedDir), "registry", "machine.yaml")
	if err := os.WriteFile(file, []byte("name: registry\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.until("it was reverted and is deployed anew", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "version: 0.2.0") && p.datum("bundle:registry", "reason") == ""
	})
	inState(t, p.Host, "bundle:registry", "running")
	p.runs("registry", "0.2.0")
	p.shelf()
}

// mute is a registry, or another machine of a name, that is well and does nothing.
func mute(name string) string {
	return strings.Replace(beside, "name: beside", "name: "+name, 1)
}

// TestH77AReplacementOfWhatServesPublicationsDoesNotLockOut: a machine registry that answers nobody is well by its own word. A host that runs without
// what is published takes the next list, and the machine that had been replaced serves again.
func TestH77AReplacementOfWhatServesPublicationsDoesNotLockOut(t *testing.T) {
	p := newPress(t)
	p.publish(p.bundle(mute("registry")), p.bundle(mute("bundles")))
	p.runs("registry", "1.0.0")
	p.runs("bundles", "1.0.0")
	inState(t, p.Host, "bundle:registry", "running")
	within, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := p.openShelf(within); err == nil {
		t.Fatal("the registry answers: this test shows nothing")
	}

	p.without = true
	p.start()
	p.runs("registry", "0.1.0")
	p.runs("deployer", "")
	if p.degradedBy("--without-published") == "" {
		t.Errorf("it is not said: %v", p.Host.Host().Health().Degraded)
	}
	p.publish()

	p.without = false
	p.start()
	inState(t, p.Host, "deployer", "settled")
	p.until("the machines are gone", func() bool { return !p.has("bundle:registry") && !p.has("bundle:bundles") })
	p.runs("registry", "0.1.0")
	p.runs("bundles", "0.1.0")
	p.shelf()
}

func (p *press) has(name string) bool {
	for _, m := range p.Host.Host().Machines() {
		if m.Name == name {
			return true
		}
	}
	return false
}

// TestH77AReplacementThatIsNotWellGivesWay: to the built-in machine where there was none before, and to the version before where there was one. Those by
// which machines come are not replaced, and neither is one by a machine that is no template.
func TestH77AReplacementThatIsNotWellGivesWay(t *testing.T) {
	p := newPress(t)
	failing := strings.Replace(mute("bundles"), "named: {home: true}", "named: {final: failure}", 1)
	p.publish(p.bundle(failing), p.bundle(mute("join")), p.bundle(mute("deployer")), p.bundle(mute("bundle")), p.bundle(mute("enrollee")))
	for _, name := range []string{"bundles", "bundle", "enrollee"} {
		inState(t, p.Host, "bundle:"+name, "stopped")
	}
	inState(t, p.Host, "deployer", "holding")
	if p.datum("deployer", "reason") != "impossible" || p.degradedBy("bundles is stopped") == "" {
		t.Errorf("the deployer says %s, the host %v", p.datum("deployer", "detail"), p.Host.Host().Health().Degraded)
	}
	p.runs("bundles", "0.1.0")
	inState(t, p.Host, "bundles", "serving")

	p.publish(p.built("bundles", "0.2.0"))
	p.runs("bundles", "0.2.0")
	inState(t, p.Host, "bundle:bundles", "running")
	p.publish(p.bundle(failing))
	inState(t, p.Host, "bundle:bundles", "held")
	p.runs("bundles", "0.2.0")
	inState(t, p.Host, "bundles", "serving")
}

// TestH77ATemplateIsReplaced, of which instances begin with the published one while it is there.
func TestH77ATemplateIsReplaced(t *testing.T) {
	p := newPress(t)
	p.publish(p.built("revoked", "0.9.0", "\nversion: 0.1.0\n", "\nversion: 0.9.0\n", "after: {15s: silent}", "after: {1h: silent}", "timeout: 10s", "timeout: 1h",
		"bucket: REVOKED", "bucket: NOWHERE"))
	inState(t, p.Host, "bundle:revoked", "running")
	spawn := func(key string) string {
		t.Helper()
		if _, err := p.Host.Host().Spawn(t.Context(), watchers.SpawnOrder{Template: "revoked", Key: key, Input: map[string]any{"after": "", "reply": "nowhere"}}); err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Host.Host().Machines() {
			if m.Name == "revoked:"+key {
				return m.Version
			}
		}
		return ""
	}
	if v := spawn("a"); v != "0.9.0" {
		t.Errorf("an instance begins as %q", v)
	}
	p.start()
	inState(t, p.Host, "bundle:revoked", "running")
	p.until("the template is replaced again", func() bool { return spawn(time.Now().String()) == "0.9.0" })
	p.publish()
	p.until("the built-in one is back", func() bool { v := spawn(time.Now().String()); return v == "0.1.0" || v == "" })
}
