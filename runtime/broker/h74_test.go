package broker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestH74CorpusOfRevocationsIsRead walks the revocations that each release has left, and what a later one might write: what is not known beside a revocation
// takes nothing from it, and a kind that is not known is named.
func TestH74CorpusOfRevocationsIsRead(t *testing.T) {
	files, err := filepath.Glob("../../testdata/corpus/[0-9]*/revocations.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		var all []struct {
			Key   string
			Value json.RawMessage
		}
		if err == nil {
			err = json.Unmarshal(text, &all)
		}
		if err != nil || len(all) < 5 {
			t.Fatalf("%s: %d revocations, %v", file, len(all), err)
		}
		for _, one := range all {
			r, err := readRevocation(one.Key, one.Value)
			if err != nil || r.By != "alice" || r.Key() != one.Key {
				t.Errorf("%s: %+v, %v", one.Key, r, err)
			}
			more := strings.Replace(string(one.Value), `{`, `{"until":"2030-01-01T00:00:00Z","cells":["lon1"],`, 1)
			if later, err := readRevocation(one.Key, []byte(more)); err != nil || later != r {
				t.Errorf("%s, with more: %+v, %v", one.Key, later, err)
			}
		}
		set := NewRevocations()
		for _, one := range all {
			if r, err := readRevocation(one.Key, one.Value); err == nil {
				set.Add(r)
			}
		}
		if !set.Ban(Bearer{Identity: "overlay1", Purpose: identity.PurposeService}) || set.Ban(Bearer{Identity: "overlay1", Purpose: identity.PurposeNode}) {
			t.Errorf("%s: a host is not banned as one", file)
		}
	}
	if _, err := readRevocation("cell.lon1", []byte(`{"by":"alice","at":"2026-06-01T12:00:00Z"}`)); err == nil || !strings.Contains(err.Error(), "cell.lon1") {
		t.Errorf("a kind of a later release: %v", err)
	}
}
