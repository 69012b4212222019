package node

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestANodeWithoutAKeyThatCanBeReadIsDegraded: it stayed active, was connected to nobody, and said nothing of it.
func TestANodeWithoutAKeyThatCanBeReadIsDegraded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	store, err := identity.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{cfg: Config{Identity: "n1.example"}, wallets: map[string]*identity.Wallet{"n1.example": {Store: store}}}
	a.shipment = newShipment(a)
	if got := a.degraded(); len(got) != 0 {
		t.Errorf("before it has a key: %v", got)
	}
	if _, _, err := store.EnsureKey(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := a.degraded(); len(got) != 1 || !strings.Contains(got[0], "no regular file") {
		t.Errorf("with a pipe in its place: %v", got)
	}
}
