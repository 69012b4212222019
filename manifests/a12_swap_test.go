package manifests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
)

// TestA12DowngradeThatIsNotWell goes back to the newer version.
func TestA12DowngradeThatIsNotWell(t *testing.T) {
	s, n := begin(t)
	n.becomes(t, s, pack(t, webOf("2.0.0", "b"), "true"), "running")
	n.becomes(t, s, pack(t, webOf("1.0.0", "a"), "false"), "held")
	if got := n.version("web"); got != "2.0.0" || n.reason(t) == "" {
		t.Errorf("%s runs, want 2.0.0; the reason is %q", got, n.reason(t))
	}
	if got := n.state("web"); got != "b_good" {
		t.Errorf("the machine is %s", got)
	}
}

// TestA12UpgradeWhileACheckRuns has a look of the version before in progress when it is replaced. What that look comes to is no transition of the
// version that has taken its place.
func TestA12UpgradeWhileACheckRuns(t *testing.T) {
	s, n := begin(t)
	file := func(name string) string { return filepath.Join(s.dir, name) }
	// The first look is well. The second goes on until it is told to end, and fails then.
	work := fmt.Sprintf("mkdir %s 2>/dev/null && exit 0\ntouch %s\nwhile ! test -e %s; do sleep 0.02; done\nexit 1", file("first"), file("looking"), file("end"))
	n.becomes(t, s, pack(t, webOf("1.0.0", "a"), work), "running")
	eventually(t, "a look is in progress", func() bool { _, err := os.Stat(file("looking")); return err == nil })
	two := pack(t, webOf("2.0.0", "a"), "touch "+file("two"))
	if err := s.store(two); err != nil {
		t.Fatal(err)
	}
	if err := n.want(two); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new version takes its place", func() bool { return n.version("web") == "2.0.0" })
	if err := os.WriteFile(file("end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new version looks", func() bool { _, err := os.Stat(file("two")); return err == nil })
	n.settles(t, "running", "2.0.0")
	if events := n.fired(t, "web"); slices.Contains(events, "broke") {
		t.Errorf("the look of the version before counts: %v", events)
	}
	if got, want := n.entered(t), "received fetching starting confirming running fetching starting confirming running"; got != want {
		t.Errorf("it was %s, want %s", got, want)
	}
}

// fired are the events that a machine has taken, in order.
func (n *node) fired(t *testing.T, name string) []string {
	t.Helper()
	var events []string
	if err := n.host.History(t.Context(), name, func(e runtime.HistoryEntry) error {
		if e.Record != nil {
			events = append(events, e.Record.Event)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return events
}

// TestA12KilledBetweenSwapAndConfirmation has the new version itself kill the host, at the first look of it: it runs, and is not confirmed yet. Then
// it is well, or is not; and the version before is well or kills the host once more on the way back, before it is confirmed again.
func TestA12KilledBetweenSwapAndConfirmation(t *testing.T) {
	for name, tt := range map[string]struct {
		works, kills   bool // of the new version; of the one before when it comes back
		state, version string
		lives          int // that end early
	}{
		"the new version is well":     {true, false, "running", "2.0.0", 1},
		"the new version is not well": {false, false, "held", "1.0.0", 1},
		"and again on the way back":   {false, true, "held", "1.0.0", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{dir: t.TempDir()}
			flag := func(name string) string { return filepath.Join(s.dir, name) }
			killing := func(once string) string { return fmt.Sprintf("mkdir %s 2>/dev/null && kill -9 $PPID\n", flag(once)) }
			before := "true"
			if tt.kills {
				before = "test -e " + flag("swapped") + " || exit 0\n" + killing("back") + "true"
			}
			n := restart(t, s)
			n.becomes(t, s, pack(t, webOf("1.0.0", "a"), before), "running")
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
			saveBundle(t, s, "two", pack(t, webOf("2.0.0", "b"), killing("swapped")+fmt.Sprint(tt.works)))
			ended := 0
			for range tt.lives + 1 {
				if killed(t, s, "never", 1) {
					ended++
				}
			}
			if ended != tt.lives {
				t.Fatalf("the host was killed %d times, want %d", ended, tt.lives) // it would be this process else
			}
			restart(t, s).settles(t, tt.state, tt.version)
		})
	}
}

// settles waits until the instance rests in a state and a version runs: where the host has just restarted, that one is found to be absent first.
func (n *node) settles(t *testing.T, state, version string) {
	t.Helper()
	eventually(t, "the bundle is "+state+" and "+version+" runs", func() bool { return n.bundle("web") == state && n.version("web") == version })
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it never comes that %s", what)
		}
	}
}
