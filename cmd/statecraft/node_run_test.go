package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// TestH71ANodeKeepsItsName: a node that was assigned to a cell is who its assignment says, whatever its command line says now: without --identity it
// goes on under its name, and under another one it does not start.
func TestH71ANodeKeepsItsName(t *testing.T) {
	dir, _ := nodeFolder(t, assigned)
	for _, given := range []string{"", "n1.example"} {
		if id, err := nodeIdentity(given, dir); err != nil || id != "n1.example" {
			t.Errorf("--identity %q: the node runs as %q, %v", given, id, err)
		}
	}
	answer(t, &nodeRunVerb{stateFlags: stateFlags{State: dir}, Identity: "n2.example"}, false).wants(t, exitUsage,
		"the node in "+dir+" is n1.example, as its assignment says, and not n2.example", "--state")

	waiting, _ := nodeFolder(t, func(s *identity.Store, _ *identity.Key) error { return s.SetName("typo.example") })
	for given, want := range map[string]string{"": "typo.example", "n3.example": "n3.example"} {
		if id, err := nodeIdentity(given, waiting); err != nil || id != want {
			t.Errorf("a node that waits, --identity %q: it runs as %q, %v", given, id, err)
		}
	}
	if id, err := nodeIdentity("", filepath.Join(t.TempDir(), "none")); err != nil || id == "" || id != strings.ToLower(id) {
		t.Errorf("a node without a folder runs as %q, %v", id, err)
	}
}

// TestANodesNameIsKept: what the first start is told, the next one knows.
func TestANodesNameIsKept(t *testing.T) {
	dir := t.TempDir()
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	agent, err := node.New(node.Config{Identity: "n1.example", Dir: dir, Clock: real, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (&nodeRunVerb{}).store(testInvocation(t.Context(), &quietBuffer{}, &quietBuffer{}, false), agent, "n1.example"); err == nil {
		t.Error("a node without a join token starts")
	}
	if err := agent.Host().Close(); err != nil {
		t.Fatal(err)
	}
	if id, err := nodeIdentity("", dir); err != nil || id != "n1.example" {
		t.Errorf("the next start runs as %q, %v", id, err)
	}
}
