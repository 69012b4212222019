package watchers

import (
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// TestExecReadsTruthAsItsPropertiesDo holds that what check asks of a command reads true in every form in which the properties take it.
func TestExecReadsTruthAsItsPropertiesDo(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "True": true, "TRUE": true, `"true"`: true, "false": false, "False": false} {
		n, list := strict.Parse("m.yaml", []byte("command: ./run\nparse_as_data: "+text+"\nshell: "+text))
		if list.HasErrors() {
			t.Fatal(list)
		}
		w := &machine.WatcherSpec{Properties: n}
		if sets := len(execSets(w)) > 0; sets != want {
			t.Errorf("parse_as_data: %s: sets keys: %t", text, sets)
		}
		if shell := len(execPrograms(w)) == 0; shell != want {
			t.Errorf("shell: %s: a shell looks for the program: %t", text, shell)
		}
	}
}
