package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestAHostIsFoundByTheFolderThatItWasStartedWith asks by the folder of node run and overlay run, whose host keeps its state inside.
func TestAHostIsFoundByTheFolderThatItWasStartedWith(t *testing.T) {
	outer := t.TempDir()
	for _, c := range []struct{ made, want string }{{"", ""}, {"state/journal", "state"}, {"journal", ""}} {
		if err := os.MkdirAll(filepath.Join(outer, c.made), 0o700); err != nil {
			t.Fatal(err)
		}
		dir, err := stateFlags{State: outer}.host()
		if err != nil || dir != filepath.Join(outer, c.want) {
			t.Errorf("with %q the host is looked for in %s, %v", c.made, dir, err)
		}
	}
}

// TestStatesCheckEndsAsTheHostIs holds the exit code of states --check; without it a degraded host is told, and the verb succeeds.
func TestStatesCheckEndsAsTheHostIs(t *testing.T) {
	bad := []string{"the log cannot be written"}
	for _, c := range []struct {
		check bool
		r     statesResult
		want  int
	}{
		{true, statesResult{Running: true}, exitOK}, {true, statesResult{Running: true, Degraded: bad}, exitPartial},
		{true, statesResult{}, exitUnreachable}, {false, statesResult{Running: true, Degraded: bad}, exitOK}, {false, statesResult{}, exitOK},
	} {
		inv := testInvocation(t.Context(), &quietBuffer{}, &quietBuffer{}, false)
		if code := inv.report((&statesVerb{Check: c.check}).verdict(c.r, "state")); code != c.want {
			t.Errorf("%+v ends with %d, want %d", c, code, c.want)
		}
	}
}

// TestAnEmulationThatNobodyJoinedTookNoTime has no last arrival, whose time is that of year 1.
func TestAnEmulationThatNobodyJoinedTookNoTime(t *testing.T) {
	if s := spanned(node.Standing{Nodes: 3, First: time.Now()}); s != 0 {
		t.Errorf("it took %f s", s)
	}
}

// TestANextStepFitsWhatWasAsked: the hint names the verb that starts the host of a folder.
func TestANextStepFitsWhatWasAsked(t *testing.T) {
	for made, want := range map[string]string{"overlay.yaml": "overlay run DIR starts", "identity": "node run --state DIR starts", "": "statecraft run --state DIR/state PATH starts"} {
		outer := t.TempDir()
		if err := os.MkdirAll(filepath.Join(outer, made), 0o700); err != nil {
			t.Fatal(err)
		}
		out := &quietBuffer{}
		testInvocation(t.Context(), out, out, false).report(hostError(control.ErrNoHost, filepath.Join(outer, "state")))
		if want = strings.ReplaceAll(want, "DIR", outer); !strings.Contains(out.String(), want) {
			t.Errorf("beside %q it says %s, not %s", made, out.String(), want)
		}
	}
}

// TestAKeyThatCannotHaveAPassphraseGetsNone: nobody is there to ask when a host starts, and the authority's key is of another form.
func TestAKeyThatCannotHaveAPassphraseGetsNone(t *testing.T) {
	dir := t.TempDir()
	if _, err := overlay.Init(overlay.InitOptions{Dir: dir, Cell: "main", Now: time.Now(), Hosts: []overlay.HostOptions{{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222, Cluster: 6222}}}); err != nil {
		t.Fatal(err)
	}
	answer(t, &keysPassphraseVerb{File: filepath.Join(dir, "authority", "ca.key")}, false).wants(t, exitUsage, "ca.key can have no passphrase")
	answer(t, &keysPassphraseVerb{File: filepath.Join(dir, "hosts", "o1", "host.key")}, false).wants(t, exitUsage, "hosts take plain keys only")
	answer(t, &keysPassphraseVerb{File: filepath.Join(dir, "hosts", "o1", "host.key"), Remove: true}, false).wants(t, exitOK, "")
}

// TestWhatACellCannotDoAtTheMomentIsTriedAgain: the 503 of a stream without a leader is not for who asked to mend.
func TestWhatACellCannotDoAtTheMomentIsTriedAgain(t *testing.T) {
	out := &quietBuffer{}
	m := &member{Conn: &nats.Conn{}, ctx: t.Context()}
	code := testInvocation(t.Context(), out, out, false).report(m.failed("asking", &jetstream.APIError{Code: 503, Description: "JetStream does not answer"}))
	if code != exitUnreachable || !strings.Contains(out.String(), "two of three hosts") {
		t.Errorf("it ends with %d and says %s", code, out.String())
	}
}

// TestWhoReplacesABuiltInMachineIsTold: of the machines that the channel overlay gains, those that come with the program are named.
func TestWhoReplacesABuiltInMachineIsTold(t *testing.T) {
	changes := []specChange{{Change: registry.Change{Name: "uplink", Kind: registry.Added}}, {Change: registry.Change{Name: "mine", Kind: registry.Added}}}
	if names := replacing(registry.OverlayChannel, changes); len(names) != 1 || names[0] != "uplink" || replacing("default", changes) != nil {
		t.Errorf("in place of built-in ones come %v", names)
	}
}
