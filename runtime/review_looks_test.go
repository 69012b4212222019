package runtime_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestSimulatedRestartKeepsDeliveries(t *testing.T) {
	s := simulate(t, newFakes(), strings.ReplaceAll(slowSubscriber, "DURABLE", "true"), tickSource)
	for range 5 {
		s.fire("source", "tick")
	}
	s.restart()
	s.fire("source", "tick")
	s.Advance(10 * time.Minute)
	if n := s.countOf("slow", "tick"); n != 6 {
		t.Errorf("%d events taken of 6", n)
	}
}

func TestA05OperatorsLeaveTheOthersTheirTurn(t *testing.T) {
	s := simulate(t, newFakes(), strings.ReplaceAll(slowSubscriber, "DURABLE", "true"), tickSource)
	for range 100 {
		s.fire("slow", "poke")
	}
	s.fire("source", "tick")
	s.Advance(time.Minute)
	if n := s.countOf("slow", "tick"); n != 1 {
		t.Errorf("an event still waits a minute after 100 of an operator's, at 1 a minute")
	}
}

func TestA05LooksInTheTurnAreThrottled(t *testing.T) {
	s := simulate(t, inlineNow(), `
format: 1
name: flap
version: 1.0.0
initial_state: a
max_rate: 1/s
states: {a: {home: true}}
transitions:
	- {name: on, from: [a], destination: b}
	- {name: off, from: [b], destination: a}
watchers:
	- {name: w1, type: now, state_match: [a], success_transition: on}
	- {name: w2, type: now, state_match: [b], success_transition: off}
`)
	s.Advance(10 * time.Second)
	if n := s.count("on") + s.count("off"); n < 10 || n > 12 {
		t.Errorf("%d transitions in 10 s at 1/s", n)
	}
}

// everyMinute plans as exec does: an interval from whenever it is asked.
type everyMinute struct{ never }

func (everyMinute) Plan(watchers.Planning) watchers.Due { return watchers.Due{After: time.Minute} }

func TestA04ClockThatIsSetOftenPostponesNothing(t *testing.T) {
	fakes := newFakes()
	fakes.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return everyMinute{} }})
	s := simulate(t, fakes, watchingWith("when: 'true'"))
	for range 3 {
		s.Advance(25 * time.Second)
		s.SetWall(s.clock.Now().Add(time.Second))
	}
	if len(s.looks["probe"]) != 1 {
		t.Error("no look within a minute of a watcher that looks every minute")
	}
}

func manifestText(text string) string {
	return strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\t", "  ")
}

// followFolder runs a host that follows a folder.
func followFolder(t *testing.T, files map[string]string) (h *host, f *runtime.Follower, folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(folder, name), manifestText(text))
	}
	h = runHost(t, runtime.Config{Catalogue: newFakes()})
	f = runtime.NewFollower(h.Host, []string{folder}, runtime.Unsigned, func(diag.List) {})
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, f, folder
}

func (h *host) names() string {
	var names []string
	for _, m := range h.Machines() {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

func TestFollowerKeepsAMachineWhoseManifestIsMoved(t *testing.T) {
	h, f, folder := followFolder(t, map[string]string{"a.yaml": named(toggler, "one")})
	if err := os.Rename(filepath.Join(folder, "a.yaml"), filepath.Join(folder, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	f.Look(t.Context())
	f.Look(t.Context())
	if got := h.names(); got != "one" {
		t.Errorf("runs %q", got)
	}
}

func TestFollowerLetsManifestsExchangeNames(t *testing.T) {
	h, f, folder := followFolder(t, map[string]string{"a.yaml": named(toggler, "one"), "b.yaml": named(toggler, "two"), "c.yaml": named(toggler, "three")})
	swap := func(file, name string) {
		writeFile(t, filepath.Join(folder, file), manifestText(strings.ReplaceAll(named(toggler, name), "1.0.0", "1.0.1")))
	}
	swap("a.yaml", "two")
	swap("b.yaml", "one")
	f.Look(t.Context())
	for _, m := range h.Machines() {
		if want := map[string]string{"one": "1.0.1", "two": "1.0.1", "three": "1.0.0"}[m.Name]; m.Version != want {
			t.Errorf("%s runs version %q, want %q", m.Name, m.Version, want)
		}
	}
	swap("a.yaml", "three")
	f.Look(t.Context())
	if got := h.names(); got != "one three two" {
		t.Errorf("a name that is taken: runs %q", got)
	}
	if err := os.Remove(filepath.Join(folder, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	f.Look(t.Context())
	if got := h.names(); got != "one three" {
		t.Errorf("a name that has become free: runs %q", got)
	}
}

func TestFollowerKeepsWhatItCannotRead(t *testing.T) {
	base := t.TempDir()
	machines := filepath.Join(base, "machines")
	writeFile(t, filepath.Join(machines, "a.yaml"), manifestText(named(toggler, "one")))
	h := runHost(t, runtime.Config{Catalogue: newFakes()})
	empty := filepath.Join(base, "empty")
	writeFile(t, filepath.Join(empty, "b.yaml"), manifestText(named(toggler, "two")))
	f := runtime.NewFollower(h.Host, []string{machines, empty}, runtime.Unsigned, func(diag.List) {})
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(empty); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(machines); err != nil {
		t.Fatal(err)
	}
	link(t, "machines", machines) // ELOOP: not that it is gone
	f.Look(t.Context())
	if got := h.names(); got != "one two" {
		t.Errorf("runs %q", got)
	}
}

func TestScratchFolderStaysInsideOfTheHosts(t *testing.T) {
	s := simulate(t, newFakes())
	def := load(t, newFakes(), watchingWith("interval: 1h"))
	names := []string{"plain", "a/b", "a%2Fb", "..", "../../etc"}
	for _, name := range names {
		if err := s.Deploy(t.Context(), runtime.Deployment{Definition: def, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle()
	seen, root := map[string]bool{}, ""
	for i, l := range s.looks["probe"] {
		dir := l.View().Scratch
		if i == 0 {
			root = filepath.Dir(dir)
		}
		if filepath.Dir(dir) != root || dir == root || seen[dir] {
			t.Errorf("%s has folder %s", l.Machine(), dir)
		}
		seen[dir] = true
	}
	if len(seen) != len(names) {
		t.Errorf("%d folders", len(seen))
	}
}

func TestGovernorDoesNotKeepOthersFromLooking(t *testing.T) {
	fakes := newFakes()
	looked := make(chan struct{}, 1)
	fakes.check("busy", func(ctx context.Context, _ *watchers.Look) watchers.Report {
		<-ctx.Done()
		return watchers.Failure("ended")
	})
	fakes.check("probe", func(context.Context, *watchers.Look) watchers.Report {
		select {
		case looked <- struct{}{}:
		default:
		}
		return watchers.Success()
	})
	h := runHost(t, runtime.Config{Catalogue: fakes, MaxLooks: 2})
	for i := range 3 {
		name := fmt.Sprintf("governed%d", i)
		src := strings.ReplaceAll(named(toggler, name), "type: probe", "governor: one, type: busy")
		h.deploy(src)
	}
	eventually(t, "all governed machines look or wait", func() bool {
		for i := range 3 {
			if d, err := h.Machine(t.Context(), fmt.Sprintf("governed%d", i)); err != nil || !d.Watchers[0].Running {
				return false
			}
		}
		return true
	})
	h.deploy(named(toggler, "free"))
	select {
	case <-looked:
	case <-time.After(5 * time.Second):
		t.Error("looks that wait for a governor take the places of others")
	}
}

// TestMachineThatBecomesDurable gives a machine a history in the log, takes it away and gives it back.
func TestMachineThatBecomesDurable(t *testing.T) {
	dir := t.TempDir()
	fakes := newFakes()
	text := func(version, durable string) string {
		return strings.ReplaceAll(strings.ReplaceAll(watchingWith("interval: 1h"), "1.0.0", version), "initial_state", "durable: "+durable+"\ninitial_state")
	}
	h := runHost(t, runtime.Config{Catalogue: fakes, StateDir: dir})
	touch := func(n int) {
		t.Helper()
		for range n {
			if _, err := h.Fire(t.Context(), "watching", "touch", nil, "op"); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(failures int) {
		t.Helper()
		eventually(t, fmt.Sprintf("there are %d failures", failures), func() bool {
			d, err := h.Machine(t.Context(), "watching")
			return err == nil && d.State == "a" && d.Data["failures"] == failures
		})
	}
	h.deploy(text("1.0.0", "true"))
	touch(2)
	h.deploy(text("1.0.1", "false"))
	want(0)
	touch(5)
	h.deploy(text("1.0.2", "true"))
	want(2)
	touch(1)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = runHost(t, runtime.Config{Catalogue: fakes, StateDir: dir})
	h.deploy(text("1.0.2", "true"))
	want(3)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = runHost(t, runtime.Config{Catalogue: fakes, StateDir: dir})
	h.deploy(text("1.0.3", "false"))
	want(0)
}

// stuck is a bus whose reader has stopped reading.
type stuck struct{ release chan struct{} }

func (s stuck) Publish(string, event.Event) error {
	<-s.release
	return nil
}

func TestA08HangingBusDoesNotKeepTheHost(t *testing.T) {
	bus := stuck{make(chan struct{})}
	h := runHost(t, runtime.Config{Catalogue: newFakes(), Bus: bus})
	h.deploy(watchingWith("interval: 1h"))
	if _, err := h.Fire(t.Context(), "watching", "leave", nil, "op"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.stop() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the host does not end")
	}
	close(bus.release)
}
