package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
)

// forge is a host that runs what it is told to, and has one machine.
type forge struct {
	yard
	order    watchers.DeployOrder
	deployed watchers.Deployed
	err      error
	removed  string
	moment   watchers.Moment // of looks
}

func (f *forge) Deploy(_ context.Context, o watchers.DeployOrder) (watchers.Deployed, error) {
	f.order = o
	return f.deployed, f.err
}

func (f *forge) Remove(_ context.Context, _, name string) error {
	f.removed = name
	return f.err
}

// look makes a look of a machine watcher, and says what it reports.
func (f *forge) look(t testing.TB, w watchers.Watcher, at time.Time) watchers.Report {
	t.Helper()
	return w.(watchers.Checker).Check(t.Context(), &watchers.Look{
		Identity: archiveNode, Log: slog.New(slog.DiscardHandler), At: at, Facts: new(watchers.Facts),
		Moment: f.moment, Data: map[string]any{"name": "web"},
	})
}

func (f *forge) watcher(t testing.TB, properties string, slots *registry.Slots) watchers.Watcher {
	t.Helper()
	n, list := strict.Parse("test.yaml", []byte(properties))
	if list.HasErrors() {
		t.Fatal(list)
	}
	prepared, list := machineType(Services{Deployer: f, Slots: func(string) (*registry.Slots, error) { return slots, nil }}).Prepare(
		&machine.WatcherSpec{Name: "w", Type: "machine", Strict: true, Properties: n})
	if list.HasErrors() {
		t.Fatal(list)
	}
	return prepared.New()
}

func TestMachineRuns(t *testing.T) {
	f, b := &forge{yard: *newYard()}, bundleOf(t, "1.0.0")
	a := newArchiveTest(t)
	dir, err := a.slots.Install("web", b.Digest, strings.NewReader(string(b.Data)), int64(len(b.Data)), nil, registry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	w := f.watcher(t, "action: run\nname: '{{ lookup \"data.name\" }}'\nversion: 1.0.0\ndirectory: "+dir+"\ncontent: c\nverify_checksum: "+b.SumsDigest, nil)
	for _, tt := range []struct {
		changed bool
		err     error
		outcome string
	}{
		{true, nil, machine.OutcomeSuccess}, {false, nil, watchers.OutcomeUnchanged}, {false, watchers.ErrUndeployable, outcomeRefused},
		{false, errors.New("no disk"), machine.OutcomeFail}, {false, diag.List{{Severity: diag.Error, Code: "SC101"}}, outcomeRefused},
		{false, fmt.Errorf("deploying: %w", diag.List{{Severity: diag.Error, Code: "SC119"}}), outcomeTooOld},
	} {
		f.deployed.Changed, f.err = tt.changed, tt.err
		r := f.look(t, w, time.Time{})
		if release, _ := r.Payload["release"].(string); r.Outcome != tt.outcome || (release == machine.Release) != (tt.outcome == outcomeTooOld) {
			t.Errorf("%+v: %+v", tt, r)
		}
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "machine.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if o := f.order; o.Identity != archiveNode || o.Name != "web" || o.Version != "1.0.0" || o.Directory != dir || o.Content != "c" || o.Manifest != digestOf(manifest) {
		t.Errorf("the order is %+v", f.order)
	}
	if err := f.order.Intact(); err != nil {
		t.Errorf("what is intact is not: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "check.sh"), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	var tampered *registry.Tampered
	if err := f.order.Intact(); !errors.As(err, &tampered) {
		t.Errorf("what was tampered with is intact: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, registry.SumsFile), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.order = watchers.DeployOrder{}
	if r := f.look(t, w, time.Time{}); r.Outcome != machine.OutcomeFail || f.order.Name != "" {
		t.Errorf("a folder with another checksum file: %+v", r)
	}
}

func TestMachineRunsNothingElse(t *testing.T) {
	f := &forge{yard: *newYard()}
	for _, properties := range []string{
		"action: run\nname: '{{ lookup \"data.none\" \"\" }}'\ndirectory: /x", "action: run\nname: ../web\ndirectory: /x", "action: run\nname: web\ndirectory: x",
		"action: run\nname: web\ndirectory: /nonexistent\nverify_checksum: " + strings.Repeat("0", 64), "action: remove\nname: '..'",
		"action: run\nname: web\ndirectory: /x\nverify: /etc/passwd\nverify_checksum: " + strings.Repeat("0", 64),
	} {
		if r := f.look(t, f.watcher(t, properties, nil), time.Time{}); r.Outcome != machine.OutcomeFail || r.Message == "" || f.order.Name != "" || f.removed != "" {
			t.Errorf("%s: %+v", properties, r)
		}
	}
}

func TestMachineRemoves(t *testing.T) {
	f, b, a := &forge{yard: *newYard()}, bundleOf(t, "1.0.0"), newArchiveTest(t)
	dir, err := a.slots.Install("web", b.Digest, strings.NewReader(string(b.Data)), int64(len(b.Data)), nil, registry.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if r := f.look(t, f.watcher(t, "action: remove\nname: web", a.slots), time.Time{}); r.Outcome != machine.OutcomeSuccess || f.removed != "web" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the payload is gone, which nobody asked for: %v", err)
	}
	f.err = errors.New("busy")
	w := f.watcher(t, "action: remove\nname: web\npayload: true", a.slots)
	if r := f.look(t, w, time.Time{}); r.Outcome != machine.OutcomeFail {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the payload of a machine that runs is gone: %v", err)
	}
	f.err = nil
	if r := f.look(t, w, time.Time{}); r.Outcome != machine.OutcomeSuccess {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the payload is still there: %v", err)
	}
}

func TestMachineIsConfirmed(t *testing.T) {
	f := &forge{yard: *newYard()}
	w := f.watcher(t, "action: confirm\nname: web\nfor: 5s", nil)
	began := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	home, away := watchers.Standing{State: "a", Home: true, Started: true}, watchers.Standing{State: "b", Started: true}
	for i, tt := range []struct {
		after   time.Duration
		s       *watchers.Standing
		outcome string
		pause   time.Duration
	}{
		{0, nil, outcomeAbsent, 0}, {0, &away, outcomeWaiting, 20 * time.Millisecond}, {time.Second, &home, outcomeWaiting, 40 * time.Millisecond},
		{4 * time.Second, &home, outcomeWaiting, 80 * time.Millisecond}, {5 * time.Second, &away, outcomeWaiting, 160 * time.Millisecond},
		{6 * time.Second, &home, outcomeWaiting, 320 * time.Millisecond}, {11 * time.Second, &home, machine.OutcomeSuccess, 0},
		{12 * time.Second, &watchers.Standing{State: "lost", Failed: true}, outcomeUnhealthy, 0},
	} {
		delete(f.standing, "web")
		if tt.s != nil {
			f.standing["web"] = *tt.s
		}
		r := f.look(t, w, began.Add(tt.after))
		if due := w.(watchers.Planner).Plan(watchers.Planning{Moment: watchers.Looked}); r.Outcome != tt.outcome || due.After != tt.pause {
			t.Errorf("step %d: %+v, then again after %s", i, r, due.After)
		}
	}
	f.standing["web"] = away
	for range 20 {
		f.look(t, w, began)
	}
	if due := w.(watchers.Planner).Plan(watchers.Planning{Moment: watchers.Looked}); due.After != lastConfirm {
		t.Errorf("after many looks it looks again after %s", due.After)
	}
	f.standing["web"] = home
	f.look(t, w, began)
	f.moment = watchers.Entered
	if r := f.look(t, w, began.Add(time.Hour)); r.Outcome != outcomeWaiting {
		t.Errorf("when its state is entered again, what was seen before counts: %+v", r)
	}
	if due := w.(watchers.Planner).Plan(watchers.Planning{Moment: watchers.Looked}); due.After != firstConfirm {
		t.Errorf("when its state is entered again it looks again after %s", due.After)
	}
}

func TestMachineIsFound(t *testing.T) {
	f := &forge{yard: *newYard()}
	w := f.watcher(t, "action: find\nname: web", nil)
	if r := f.look(t, w, time.Time{}); r.Outcome != outcomeAbsent {
		t.Errorf("%+v", r)
	}
	f.standing["web"] = watchers.Standing{State: "lost", Failed: true}
	if r := f.look(t, w, time.Time{}); r.Outcome != machine.OutcomeSuccess || r.Payload["state"] != "lost" {
		t.Errorf("%+v", r)
	}
}
