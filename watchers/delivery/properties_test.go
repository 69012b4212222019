package delivery

import (
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// ownCatalogue is the types of this package.
type ownCatalogue []watchers.Type

func (c ownCatalogue) Find(name string) (*machine.WatcherType, bool) {
	for i := range c {
		if c[i].Name == name {
			return &c[i].WatcherType, true
		}
	}
	return nil, false
}

func (c ownCatalogue) Names() []string { return []string{"archive", "depot", "machine", "machines"} }

// TestCodes holds the documented examples against the types.
func TestCodes(t *testing.T) {
	tested := 0
	for _, e := range diag.Entries() {
		if e.Code < "SC440" || e.Code > "SC445" {
			continue
		}
		tested++
		_, list := machine.Load("machine.yaml", []byte(e.Bad), ownCatalogue(Types(Services{})))
		if len(list) != 1 || list[0].Code != e.Code || list[0].Hint == "" {
			t.Errorf("%s: the bad example gives %v", e.Code, list)
		}
		if _, list := machine.Load("machine.yaml", []byte(e.Good), ownCatalogue(Types(Services{}))); len(list) > 0 {
			t.Errorf("%s: the good example gives %v", e.Code, list)
		}
	}
	if tested != 6 {
		t.Errorf("%d codes are documented, want 6", tested)
	}
}

func TestMachineProperties(t *testing.T) {
	head := "format: 1\nname: m\nversion: 1.0.0\ninitial_state: a\ntransitions: [{name: x, from: [a], destination: a}]\nwatchers:\n" +
		"  - {name: w, success_transition: x, type: machine, properties: "
	for properties, findings := range map[string]int{
		"{action: confirm, name: web, for: 5s}":                                           0,
		"{action: remove, name: web, payload: true}":                                      0,
		"{action: find, name: web}":                                                       0,
		"{action: run, name: web, directory: /a, verify: SUMS, content: x, version: 1.0}": 1,
		"{action: find, name: web, for: 5s}":                                              1,
		"{action: confirm, name: web, directory: /a, version: '1', content: x}":           3,
		"{action: remove, name: web, for: 1s}":                                            1,
		"{action: stop, name: web}":                                                       1,
		"{action: run}":                                                                   1,
	} {
		_, list := machine.Load("machine.yaml", []byte(head+properties+"}\n"), ownCatalogue(Types(Services{})))
		if len(list) != findings {
			t.Errorf("%s: %v", properties, list)
		}
	}
}
