package main

import (
	"strings"
	"testing"
)

// A test that fails is counted with what it printed; a package counts by itself where none of its tests has failed, as where it does not build.
func TestFailuresAreCounted(t *testing.T) {
	all := tally{failed: map[string]int{}, said: map[string]string{}}
	for range 2 {
		failed, err := all.read(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"it does not build\n"}
{"Action":"fail","Package":"q"}
`))
		if err != nil || failed != 2 {
			t.Errorf("%d failed, %v", failed, err)
		}
	}
	if all.failed["p TestA"] != 2 || all.failed["q"] != 2 || len(all.failed) != 2 || all.said["p TestA"] != "why\n" || all.said["q"] != "it does not build\n" {
		t.Errorf("counted %v, %q", all.failed, all.said)
	}
	if _, err := all.read(strings.NewReader("no JSON")); err == nil {
		t.Error("what is no JSON is read")
	}
}
