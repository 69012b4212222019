package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

const payloadManifest = `format: 1
name: NAME
version: VERSION
KINDinitial_state: idle
durable: DURABLE
states:
  idle: {home: true}
  busy: {}
  lost: {final: failure}
transitions:
  - {name: work, from: [idle], destination: busy}
  - {name: rest, from: [busy], destination: idle}
  - {name: lose, from: [idle, busy], destination: lost}
watchers:
  - {name: look, type: probe, state_match: [busy], success_transition: rest, fail_transition: lose}
`

// payload writes a folder with a machine.
func payload(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.NewReplacer(append(pairs, "NAME", "web", "VERSION", "1.0.0", "KIND", "", "DURABLE", "true")...).Replace(payloadManifest)
	if err := os.WriteFile(filepath.Join(dir, "machine.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// deploying is a host with a deployer, in memory.
func deploying(t *testing.T, c *fakes) (*host, *runtime.Deployer) {
	t.Helper()
	h := runHost(t, runtime.Config{Catalogue: c})
	return h, runtime.NewDeployer(runtime.DeployerConfig{Host: func() *runtime.Host { return h.Host }, Reserved: func(name string) bool { return name == "enrollment" }})
}

func TestDeployerDeploys(t *testing.T) {
	h, d := deploying(t, newFakes())
	one, two := payload(t), payload(t, "VERSION", "1.1.0")
	order := watchers.DeployOrder{Identity: "n1.example.net", Directory: one, Name: "web", Version: "1.0.0"}
	for _, tt := range []struct {
		dir, version, content string
		changed               bool
	}{{one, "1.0.0", "", true}, {one, "1.0.0", "", false}, {two, "1.1.0", "", true}, {two, "", "c", true}, {two, "1.1.0", "c", false}, {one, "1.0.0", "d", true}} {
		order.Directory, order.Version, order.Content = tt.dir, tt.version, tt.content
		got, err := d.Deploy(t.Context(), order)
		if err != nil || got.Changed != tt.changed || tt.version != "" && got.Version != tt.version {
			t.Errorf("%+v: %+v, %v", tt, got, err)
		}
	}
	eventually(t, "the machine has started", func() bool { s, ok := d.Standing("n1.example.net", "web"); return ok && s.Started })
	s, _ := d.Standing("n1.example.net", "web")
	s.Digest = ""
	if diff := cmp.Diff(watchers.Standing{Version: "1.0.0", State: "idle", Home: true, Started: true}, s); diff != "" {
		t.Error(diff)
	}
	if _, err := h.Fire(t.Context(), "web", "lose", nil, "test"); err != nil {
		t.Fatal(err)
	}
	if s, _ := d.Standing("n1.example.net", "web"); s.Home || !s.Failed {
		t.Errorf("one that has failed is %+v", s)
	}
	for range 2 {
		if err := d.Remove(t.Context(), "n1.example.net", "web"); err != nil {
			t.Error(err)
		}
	}
	if _, ok := d.Standing("n1.example.net", "web"); ok {
		t.Error("it is still there")
	}
}

// TestDeployerRefuses holds that what cannot run leaves what runs.
func TestDeployerRefuses(t *testing.T) {
	h, d := deploying(t, newFakes())
	h.deploy(strings.NewReplacer("NAME", "builtin", "VERSION", "1.0.0", "KIND", "", "DURABLE", "true").Replace(payloadManifest))
	h.deploy(strings.NewReplacer("NAME", "pattern", "VERSION", "1.0.0", "KIND", "kind: template\n", "DURABLE", "true").Replace(payloadManifest))
	good := watchers.DeployOrder{Identity: "n1.example.net", Directory: payload(t), Name: "web"}
	if _, err := d.Deploy(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		order watchers.DeployOrder
		again bool // trying again may help
	}{
		"another name":       {watchers.DeployOrder{Directory: payload(t, "NAME", "other"), Name: "web"}, false},
		"another version":    {watchers.DeployOrder{Directory: payload(t), Name: "web", Version: "2.0.0"}, false},
		"a template":         {watchers.DeployOrder{Directory: payload(t, "KIND", "kind: template\n"), Name: "web"}, false},
		"a reserved name":    {watchers.DeployOrder{Directory: payload(t, "NAME", "enrollment"), Name: "enrollment"}, false},
		"a name that runs":   {watchers.DeployOrder{Directory: payload(t, "NAME", "builtin"), Name: "builtin"}, false},
		"a template's name":  {watchers.DeployOrder{Directory: payload(t, "NAME", "pattern"), Name: "pattern"}, false},
		"a later release's":  {watchers.DeployOrder{Directory: payload(t, "KIND", "requires: '>=999'\nlater: true\n"), Name: "web"}, false},
		"findings":           {watchers.DeployOrder{Directory: payload(t, "state_match: [busy]", "state_match: [nowhere]"), Name: "web"}, false},
		"no folder":          {watchers.DeployOrder{Directory: filepath.Join(t.TempDir(), "none"), Name: "web"}, true},
		"another manifest":   {watchers.DeployOrder{Directory: payload(t), Name: "web", Manifest: strings.Repeat("0", 64)}, true},
		"a new one, refused": {watchers.DeployOrder{Directory: payload(t), Name: "fresh"}, false},
	} {
		tt.order.Identity = "n1.example.net"
		_, err := d.Deploy(t.Context(), tt.order)
		var findings diag.List
		final := errors.Is(err, watchers.ErrUndeployable) || errors.As(err, &findings)
		if err == nil || final == tt.again {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, ok := d.Standing("n1.example.net", "web"); !ok || s.Version != "1.0.0" {
		t.Errorf("what ran before is %+v, %t", s, ok)
	}
	for _, name := range []string{"builtin", "enrollment"} {
		if err := d.Remove(t.Context(), "n1.example.net", name); err != nil {
			t.Error(err)
		}
	}
	var names []string
	for name := range d.Machines("n1.example.net") {
		names = append(names, name)
	}
	if len(names) != 2 || h.stateOf("builtin") != "idle" {
		t.Errorf("the machines are %v", names)
	}
	if _, err := d.Deploy(t.Context(), watchers.DeployOrder{Identity: "n1.example.net", Directory: payload(t, "NAME", "fresh"), Name: "fresh"}); err != nil {
		t.Errorf("a name that was refused once: %v", err)
	}
}

func (h *host) stateOf(name string) string {
	for _, m := range h.Machines() {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}

// TestDeployerOfManyIdentities deploys one machine as many identities at once, of which only the first compiles it.
func TestDeployerOfManyIdentities(t *testing.T) {
	const many = 200
	h, d := deploying(t, newFakes())
	dir := payload(t)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			if _, err := d.Deploy(t.Context(), watchers.DeployOrder{Identity: fmt.Sprintf("e%d", i), Directory: dir, Name: "web"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	first, _ := h.Definition("e0/web")
	for i := range many {
		if def, ok := h.Definition(fmt.Sprintf("e%d/web", i)); !ok || def != first {
			t.Fatalf("identity %d has a definition of its own", i)
		}
	}
	if got := len(d.Machines("e7")); got != 1 {
		t.Errorf("identity e7 has %d machines", got)
	}
	if err := d.Remove(t.Context(), "e7", "web"); err != nil {
		t.Error(err)
	}
	if _, ok := d.Standing("e8", "web"); !ok || len(d.Machines("e7")) != 0 {
		t.Error("removing one identity's machine is not that")
	}
}

// TestIntactIsAskedBeforeLooks holds that a look which may use the payload does not happen where the payload is not as it should be.
func TestIntactIsAskedBeforeLooks(t *testing.T) {
	c := newFakes()
	var looks atomic.Int64
	c.check("probe", func(context.Context, *watchers.Look) watchers.Report {
		looks.Add(1)
		return watchers.Success()
	})
	h, d := deploying(t, c)
	var state atomic.Value
	state.Store("intact")
	for name, want := range map[string]struct {
		looks          int64
		state, outcome string
	}{"intact": {1, "idle", "success"}, "tampered": {0, "lost", "fail"}, "panicking": {0, "lost", "panic"}} {
		state.Store(name)
		looks.Store(0)
		if err := d.Remove(t.Context(), "n1.example.net", "web"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Deploy(t.Context(), watchers.DeployOrder{Identity: "n1.example.net", Directory: payload(t, "DURABLE", "false"), Name: "web", Intact: intactOf(&state)}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Fire(t.Context(), "web", "work", nil, "test"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the look has ended", func() bool { return h.stateOf("web") == want.state && h.outcomeOf("web", "look") != "" })
		if got := h.outcomeOf("web", "look"); got != want.outcome || looks.Load() != want.looks {
			t.Errorf("%s: the outcome is %s after %d looks", name, got, looks.Load())
		}
	}
}

func intactOf(state *atomic.Value) func() error {
	return func() error {
		switch state.Load() {
		case "tampered":
			return errors.New("somebody was here")
		case "panicking":
			panic("broken")
		}
		return nil
	}
}

func (h *host) outcomeOf(name, watcher string) string {
	h.t.Helper()
	detail, err := h.Machine(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, w := range detail.Watchers {
		if w.Name == watcher {
			return w.Outcome
		}
	}
	return ""
}

// TestDeployerSignals gives instances of a template events, and lists them.
func TestDeployerSignals(t *testing.T) {
	h, d := deploying(t, newFakes())
	h.deploy(strings.NewReplacer("NAME", "job", "VERSION", "1.0.0", "KIND", "kind: template\n", "DURABLE", "true").Replace(payloadManifest))
	if there, err := d.Signal(t.Context(), "n1.example.net", "job", "a", "work", nil); there || err != nil {
		t.Errorf("an instance that is not there: %t, %v", there, err)
	}
	if _, err := h.Spawn(t.Context(), watchers.SpawnOrder{Identity: "n1.example.net", Template: "job", Key: "a", Input: map[string]any{"of": "test"}}); err != nil {
		t.Fatal(err)
	}
	if there, err := d.Signal(t.Context(), "n1.example.net", "job", "a", "rest", nil); !there || err == nil {
		t.Errorf("an event that it does not take: %t, %v", there, err)
	}
	if there, err := d.Signal(t.Context(), "n1.example.net", "job", "a", "work", map[string]any{"n": 1}); !there || err != nil {
		t.Errorf("%t, %v", there, err)
	}
	if diff := cmp.Diff(map[string]map[string]any{"a": {"of": "test"}}, d.Instances("n1.example.net", "job")); diff != "" {
		t.Error(diff)
	}
	if got := d.Instances("n2.example.net", "job"); len(got) > 0 || len(d.Machines("n1.example.net")) > 0 {
		t.Errorf("another identity has the instances %v", got)
	}
}
