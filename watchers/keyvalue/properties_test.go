package keyvalue

import (
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

func TestConformance(t *testing.T) {
	for name, c := range map[string]conformance.Case{
		"kv poll":  {Properties: "bucket: NODES\nkey: k"},
		"kv watch": {Properties: "bucket: NODES\nkey: k\nmode: watch"},
		"kv put":   {Properties: "bucket: NODES\nkey: k\nmode: put\nvalue: data.x ?? 1"},
		"streams":  {Properties: "buckets: [{name: NODES}]"},
		"election": {Properties: "name: adapter"},
		"governor": {Properties: "name: upgrades\ncapacity: 3"},
	} {
		typ, _, _ := strings.Cut(name, " ")
		for kind, connections := range map[string]Connections{"none": nil, "not connected": noPool{}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				c.Type = find(t, connections, typ)
				conformance.Run(t, c)
			})
		}
	}
}

// TestConformanceConnected holds the types to the contract where there is a broker.
func TestConformanceConnected(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keeps(t, l, "buckets: [{name: NODES}, {name: ELECTIONS}, {name: GOVERNORS}]", machine.OutcomeSuccess)
	for name, properties := range map[string]string{
		"kv poll":  "bucket: NODES\nkey: k",
		"kv watch": "bucket: NODES\nkey: k\nmode: watch",
		"kv claim": "bucket: NODES\nkey: k\nmode: claim\nvalue: '1'\nslots: '5'",
		"streams":  "buckets: [{name: NODES}]",
		"election": "name: adapter",
		"governor": "name: upgrades\ncapacity: 3",
	} {
		t.Run(name, func(t *testing.T) {
			typ, _, _ := strings.Cut(name, " ")
			conformance.Run(t, conformance.Case{Type: find(t, l, typ), Properties: properties})
		})
	}
}

// catalogue finds the package's types.
type catalogue struct{ t *testing.T }

func (c catalogue) Find(name string) (*machine.WatcherType, bool) {
	typ := find(c.t, nil, name)
	return &typ.WatcherType, true
}

func (catalogue) Names() []string { return []string{"kv", "streams", "election", "governor"} }

func TestCodes(t *testing.T) {
	codes := func(document string) (found []diag.Code) {
		_, list := machine.Load("machine.yaml", []byte(document), catalogue{t})
		for _, d := range list {
			found = append(found, d.Code)
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	tested := 0
	for _, e := range diag.Entries() {
		if e.Code < CodeMissing || e.Code > CodeOutOfPlace {
			continue
		}
		tested++
		if got := codes(e.Bad); !slices.Equal(got, []diag.Code{e.Code}) {
			t.Errorf("%s: the bad example gives %v", e.Code, got)
		}
		if got := codes(e.Good); len(got) > 0 {
			t.Errorf("%s: the good example gives %v", e.Code, got)
		}
	}
	if tested != 6 {
		t.Errorf("%d codes are documented", tested)
	}
}

func TestPropertiesThatAreRefused(t *testing.T) {
	for properties, want := range map[string]diag.Code{
		"kv|bucket: NODES\nkey: k\nmode: put":                                          CodeMissing,
		"kv|bucket: NODES\nkey: k\nmode: claim\nvalue: '1'":                            CodeMissing,
		"kv|bucket: NO.DES\nkey: k":                                                    CodeName,
		"kv|bucket: NODES\nkey: k\nvalue: '1'":                                         CodeOutOfPlace,
		"kv|bucket: NODES\nkey: k\nmode: put\nvalue: '1'\nrepublish_trigger: x":        CodeOutOfPlace,
		"kv|bucket: NODES\nkey: k\nmode: put\nvalue: '1'\nslots: '2'":                  CodeOutOfPlace,
		"election|name: x\nbucket: a b":                                                CodeName,
		"governor|name: x\ncapacity: 1\nbucket: a b":                                   CodeName,
		"streams|connection: fleet":                                                    CodeDeclared,
		"streams|buckets: [{name: A}]\nstreams: [{name: KV_A, subjects: [x]}]":         CodeDeclared,
		"streams|streams: [{name: A.B, subjects: [x]}]":                                CodeName,
		"streams|streams: [{name: A, subjects: ['x y']}]":                              CodeName,
		"streams|streams: [{name: A, subjects: [x.]}]":                                 CodeName,
		"streams|streams: [{name: A, subjects: [x], replicas: 0}]":                     CodeReplicas,
		"streams|streams: [{name: A, subjects: [x], replicas: all}]":                   CodeReplicas,
		"streams|streams: [{name: A, subjects: [x], replicas: 3, persist: async}]":     CodeReplicas,
		"streams|streams: [{name: A, subjects: [x], storage: memory, persist: async}]": CodeReplicas,
		"streams|streams: [{name: A, subjects: [x], discard_new_per_subject: true}]":   CodeMissing,
		"streams|streams: [{name: A, subjects: [x], max_bytes: 0}]":                    CodeSize,
		"streams|streams: [{name: A, subjects: [x], max_bytes: 9999999999TiB}]":        CodeSize,
		"streams|streams: [{name: A, subjects: [x], max_bytes: [1]}]":                  CodeSize,
		"governor|name: x\ncapacity: 1001":                                             strict.CodeRange,
	} {
		typ, text, _ := strings.Cut(properties, "|")
		n, list := strict.Parse("p.yaml", []byte(text))
		if list.HasErrors() {
			t.Fatal(list)
		}
		_, list = find(t, nil, typ).Prepare(&machine.WatcherSpec{Name: "w", Type: typ, Properties: n, Strict: true})
		if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == want && d.Severity == diag.Error && d.Hint != "" }) {
			t.Errorf("%q gives %v, not %s", properties, list, want)
		}
	}
}

// TestAHintIsOfTheManifestsFormat follows the hint: what it says to add is read.
func TestAHintIsOfTheManifestsFormat(t *testing.T) {
	for _, marked := range []bool{false, true} {
		text, hint := "name: x\ncapacity: 1\nlimit_for: 1\n", ""
		for range 2 {
			n, list := strict.Parse("p.yaml", []byte(text+hint))
			if list.HasErrors() {
				t.Fatal(list)
			}
			if _, list = find(t, nil, "governor").Prepare(&machine.WatcherSpec{Name: "w", Type: "governor", Properties: n, Strict: true, Marked: marked}); hint != "" {
				if list.HasErrors() {
					t.Errorf("marked %t: with %s it is %v", marked, hint, list)
				}
				break
			}
			var is bool
			if len(list) != 1 {
				t.Fatalf("marked %t: %v", marked, list)
			} else if _, hint, is = strings.Cut(list[0].Hint, "add for, such as "); !is {
				t.Fatalf("the hint is %q", list[0].Hint)
			}
		}
	}
}

func TestEveryOutcomeIsDocumented(t *testing.T) {
	for _, typ := range Types(nil) {
		if typ.Summary == "" {
			t.Errorf("%s has no summary", typ.Name)
		}
		for _, o := range typ.Outcomes {
			if o.Doc == "" {
				t.Errorf("%s: %s says nothing", typ.Name, o.Name)
			}
		}
	}
}
