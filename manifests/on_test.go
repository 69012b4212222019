package manifests_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestManifestsCanWorkWhereTheyRun holds that every built-in machine has what it needs, the examples on any host.
func TestManifestsCanWorkWhereTheyRun(t *testing.T) {
	places := map[string]machine.Place{"node": machine.OnNode, "overlay": machine.OnOverlay, "examples": machine.OnHost}
	for _, path := range files(t) {
		if strings.HasSuffix(path, scenario.Suffix) || filepath.Ext(path) != ".yaml" {
			continue
		}
		src, err := manifests.Files.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		catalogue := all.New(all.Services{})
		d, _ := machine.Load(path, src, catalogue)
		first, _, _ := strings.Cut(path, "/")
		for _, f := range machine.CheckOn(d, places[first], catalogue) {
			t.Error(f)
		}
	}
}
