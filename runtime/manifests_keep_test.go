package runtime

import (
	"crypto/sha256"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// TestMachinesThatAreAboutToRunKeepTheirManifests keeps more texts at once than are kept of versions that nothing runs, as a start and a reload
// of many machines do before the first of them runs.
func TestMachinesThatAreAboutToRunKeepTheirManifests(t *testing.T) {
	const machines = keepManifests + 2*dropManifests
	m := newManifests(t.TempDir(), time.Now, func() map[string]bool { return nil })
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for i := range machines {
		text := fmt.Appendf(nil, "machine %d", i)
		texts[machine.Digest(sha256.Sum256(text)).String()] = text
	}
	if err := m.keep(texts); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(m.dir); err != nil || len(files) != machines {
		t.Errorf("%d files of %d are there: each of the others would be written again when its machine starts (%v)", len(files), machines, err)
	}
}
