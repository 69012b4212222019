package node_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// TestA03APipeInPlaceOfANodesFile puts a pipe where each file is that a node reads at its start. It starts, or says why it does not.
func TestA03APipeInPlaceOfANodesFile(t *testing.T) {
	for _, name := range []string{
		"identity/key", "identity/join", "identity/name", "identity/slots", "state/journal.mark", "state/journal/LOCK", "state/secrets.key",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		go func() {
			defer close(started)
			_, _, _ = node.Owner(dir)
			real, err := clock.NewReal()
			if err != nil {
				t.Error(err)
				return
			}
			defer real.Close()
			agent, err := node.New(node.Config{Identity: "n1.example", Dir: dir, Clock: real, Log: quiet()})
			if err != nil {
				return // it is said
			}
			if store, err := agent.OpenStore(); err == nil {
				_, _, _ = store.EnsureKey()
				_, _ = store.JoinToken()
				_, _ = store.Active()
			}
			if err := agent.Host().Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}()
		select {
		case <-started:
		case <-time.After(time.Minute):
			t.Fatalf("%s: the start waits for the other end of a pipe", name)
		}
	}
}
