package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/node"
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
