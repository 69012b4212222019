package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A cell of three works for two minutes under the faults of two fixed seeds, a minute each, and nothing that was acknowledged is lost, doubled,
// out of order or stuck when all is quiet. Where it fails, go run ./testdata/chaos -seed N -for 1m does the same again.
func TestChaosOfTwoMinutes(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "statecraft")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/statecraft").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	for _, seed := range []uint64{2, 7} {
		// Elsewhere thirty seconds are enough; a machine that runs other tests as well may take longer for what it does in the end.
		found, err := chaos(t.Context(), options{
			seed: seed, length: time.Minute, quiet: 3 * time.Minute, faults: allFaults(), nodes: 1, binary: binary, out: t.Output(),
		})
		if err != nil || len(found) > 0 {
			t.Errorf("seed %d: %v, %v", seed, found, err)
		}
	}
}
