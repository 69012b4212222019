package manifests_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
)

// begin runs a host on a new site until the test ends.
func begin(t *testing.T) (*site, *node) {
	t.Helper()
	s := &site{dir: t.TempDir()}
	return s, restart(t, s)
}

func restart(t *testing.T, s *site) *node {
	t.Helper()
	n, err := s.start(nil)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := n.stop, false
	n.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		return stop()
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// becomes has a bundle stored and wanted, and waits until its instance rests in a state.
func (n *node) becomes(t *testing.T, s *site, b *registry.Bundle, state string) {
	t.Helper()
	if err := s.store(b); err != nil {
		t.Fatal(err)
	}
	if err := n.want(b); err != nil {
		t.Fatal(err)
	}
	if err := n.rests("web", state); err != nil {
		t.Fatal(err)
	}
}

// entered are the states that the instance of a machine has come to, in order.
func (n *node) entered(t *testing.T) string {
	t.Helper()
	var states []string
	if err := n.host.History(t.Context(), "bundle:web", func(e runtime.HistoryEntry) error {
		if r := e.Record; r != nil && r.To != r.From {
			states = append(states, r.To)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(states, " ")
}

func (n *node) reason(t *testing.T) string {
	t.Helper()
	d, err := n.host.Machine(t.Context(), "bundle:web")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(d.Data["reason"])
}

// TestA12UpgradeAndDowngrade changes versions of a machine that is well, while a look of it runs.
func TestA12UpgradeAndDowngrade(t *testing.T) {
	s, n := begin(t)
	one, two := pack(t, webOf("1.0.0", "a"), "sleep 0.2"), pack(t, webOf("1.1.0", "a"), "sleep 0.2")
	for _, b := range []*registry.Bundle{one, two, one} {
		n.becomes(t, s, b, "running")
		if got := n.version("web"); got != b.Version {
			t.Errorf("%s runs, want %s", got, b.Version)
		}
	}
	if got, want := n.entered(t), strings.TrimSpace("received "+strings.Repeat("fetching starting confirming running ", 3)); got != want {
		t.Errorf("it was %s, want %s", got, want)
	}
}

// TestA12UnhealthyVersionGoesBack has a new version that never comes to a home state, one that fails, and ones that cannot run.
func TestA12UnhealthyVersionGoesBack(t *testing.T) {
	failed := strings.Replace(webOf("2.0.0", "b"), "fail_transition: broke", "fail_transition: lost", 1)
	for name, tt := range map[string]struct{ manifest, work, reason string }{
		"is never well":                     {webOf("2.0.0", "b"), "false", "no home state"},
		"fails":                             {failed, "false", "has ended as b_lost"},
		"is of another version":             {webOf("3.0.0", "b"), "true", "its manifest is of version 3.0.0"},
		"has a type of watcher that is not": {strings.Replace(webOf("2.0.0", "b"), "type: exec", "type: homekit", 1), "true", "SC202"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, n := begin(t)
			n.becomes(t, s, pack(t, webOf("1.0.0", "a"), "true"), "running")
			two := pack(t, tt.manifest, tt.work)
			two.Version = "2.0.0"
			n.becomes(t, s, two, "held")
			if got := n.version("web"); got != "1.0.0" || !strings.Contains(n.reason(t), tt.reason) {
				t.Errorf("%s runs, want 1.0.0; the reason is %q", got, n.reason(t))
			}
			n.becomes(t, s, pack(t, webOf("2.1.0", "a"), "true"), "running")
			if got := n.version("web"); got != "2.1.0" || n.reason(t) != "" {
				t.Errorf("%s runs, want 2.1.0; the reason is %q", got, n.reason(t))
			}
		})
	}
}

// TestA12NeitherIsWell has the version before broken by the new one. It stops, and says so.
func TestA12NeitherIsWell(t *testing.T) {
	s, n := begin(t)
	flag := filepath.Join(s.dir, "broken")
	n.becomes(t, s, pack(t, webOf("1.0.0", "a"), "test ! -e "+flag), "running")
	n.becomes(t, s, pack(t, webOf("2.0.0", "b"), "touch "+flag+"; false"), "stopped")
	if _, runs := n.deployer.Standing(nodeName, "web"); runs || !strings.Contains(n.reason(t), "neither") {
		t.Errorf("something runs: %t; the reason is %q", runs, n.reason(t))
	}
	if got := n.entered(t); !strings.HasSuffix(got, "confirming rolling_back starting confirming failing stopped") {
		t.Errorf("it was %s", got)
	}
	n.becomes(t, s, pack(t, webOf("3.0.0", "a"), "true"), "running")
}

// TestA12FirstVersionIsNotWell has nothing to go back to.
func TestA12FirstVersionIsNotWell(t *testing.T) {
	s, n := begin(t)
	n.becomes(t, s, pack(t, webOf("1.0.0", "a"), "false"), "stopped")
	if _, runs := n.deployer.Standing(nodeName, "web"); runs || n.reason(t) == "" {
		t.Errorf("something runs: %t; the reason is %q", runs, n.reason(t))
	}
}

// crashEnv makes the test binary the host that is killed: "folder point n digest...". Its bundles are in the folder.
const crashEnv = "STATECRAFT_BUNDLE_CRASH"

// crashChild upgrades a machine and ends when the instance rests, unless it is killed before, at the n-th time of a point.
func crashChild() int {
	var dir, point, name string
	var at int
	if _, err := fmt.Sscan(os.Getenv(crashEnv), &dir, &point, &at, &name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := upgrade(&site{dir}, point, at, name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// upgrade wants a bundle of the folder; its points count from then on.
func upgrade(s *site, point string, at int, name string) error {
	counting, count := make(chan struct{}), make(chan struct{}, 1)
	count <- struct{}{}
	seen := 0
	n, err := s.start(func(p string) {
		select {
		case <-counting:
		default:
			return
		}
		if p != point {
			return
		}
		<-count
		if seen++; seen == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		count <- struct{}{}
	})
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	if err := n.rests("web", "running", "held", "confirming", "starting", "fetching", "rolling_back"); err != nil {
		return err
	}
	close(counting)
	b, err := readBundle(data)
	if err != nil {
		return err
	}
	if err := n.want(b); err != nil {
		return err
	}
	if err := n.rests("web", "running", "held", "stopped"); err != nil {
		return err
	}
	return n.stop()
}

// readBundle reads what saveBundle wrote.
func readBundle(data []byte) (*registry.Bundle, error) {
	b := &registry.Bundle{}
	_, err := fmt.Sscan(string(data), &b.Name, &b.Version, &b.Digest, &b.SumsDigest)
	return b, err
}

func saveBundle(t *testing.T, s *site, name string, b *registry.Bundle) {
	t.Helper()
	if err := s.store(b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), fmt.Appendln(nil, b.Name, b.Version, b.Digest, b.SumsDigest), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestA12KilledOnTheWay kills a host again and again while it upgrades a machine, between swap and confirmation and everywhere else, and lets
// it go on. It ends with the new version where that is well, and with the one before where not.
func TestA12KilledOnTheWay(t *testing.T) {
	for name, tt := range map[string]struct{ work, state, version string }{
		"to a version that is well":     {"true", "running", "2.0.0"},
		"to a version that is not well": {"false", "held", "1.0.0"},
	} {
		for _, point := range []string{runtime.HookRecord, runtime.HookCommit, runtime.HookOutcome} {
			t.Run(name+" at "+point, func(t *testing.T) {
				t.Parallel()
				s := &site{dir: t.TempDir()}
				n := restart(t, s)
				one := pack(t, webOf("1.0.0", "a"), "true")
				n.becomes(t, s, one, "running")
				if err := n.stop(); err != nil {
					t.Fatal(err)
				}
				saveBundle(t, s, "two", pack(t, webOf("2.0.0", "b"), tt.work))
				kills := 0
				for at := 1; at <= 4; at++ { // each life goes on where the one before was killed
					if killed(t, s, point, at) {
						kills++
					}
				}
				if kills < 3 {
					t.Errorf("the host was killed %d times only", kills)
				}
				restart(t, s).settles(t, tt.state, tt.version)
			})
		}
	}
}

// killed runs a host that upgrades, and reports whether it was killed before it was done.
func killed(t *testing.T, s *site, point string, at int) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d two", crashEnv, s.dir, point, at))
	out, err := cmd.CombinedOutput()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err != nil && (!ok || status.Signal() != syscall.SIGKILL) {
		t.Fatalf("the host ended with %v: %s", err, out)
	}
	return err != nil
}
