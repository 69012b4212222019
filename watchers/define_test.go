package watchers

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

type innerSpec struct {
	Text Text `yaml:"text"`
}

type sampleSpec struct {
	Name   string               `yaml:"name" alias:"title" default:"sample"`
	Text   Text                 `yaml:"text"`
	List   []Text               `yaml:"list"`
	Map    map[string]Text      `yaml:"map"`
	One    *innerSpec           `yaml:"one"`
	Many   []innerSpec          `yaml:"many"`
	Keyed  map[string]innerSpec `yaml:"keyed"`
	Inside innerInline          `yaml:",inline"`
	Plain  string               `yaml:"plain"`
	seen   bool
}

type innerInline struct {
	Below Text `yaml:"below" alias:"beneath"`
}

// Validate implements Validator.
func (s *sampleSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	s.seen = true
	if s.Plain == "bad" {
		list.Add(diag.Error, "SC299", w.Properties.Get("plain").Pos, "", "plain is bad")
	}
	return list
}

func sampleType(prepared **sampleSpec) Type {
	return Define(Type{WatcherType: machine.WatcherType{Name: "sample"}}, func(s *sampleSpec, _ *machine.WatcherSpec) *Prepared {
		*prepared = s
		return &Prepared{Governor: s.Name}
	})
}

func watcherOf(t *testing.T, properties string, isStrict bool) *machine.WatcherSpec {
	t.Helper()
	n, list := strict.Parse("m.yaml", []byte(properties))
	if list.HasErrors() {
		t.Fatal(list)
	}
	return &machine.WatcherSpec{Name: "w", Properties: n, Strict: isStrict, Pos: diag.Position{File: "m.yaml", Line: 100, Column: 1}}
}

func TestDefineFindsProblems(t *testing.T) {
	tests := []struct {
		name, properties string
		strict           bool
		want             []string
	}{
		{"good", "name: a\ntext: '{{ lookup \"facts.a\" \"\" }}'\nplain: '{{ not a template'", true, nil},
		{"unknown, strict", "txet: a", true, []string{`m.yaml:1:1: SC020 unknown key "txet"`}},
		{"unknown, Choria", "txet: a", false, []string{`m.yaml:1:1: SC020 warning: unknown key "txet"`}},
		{"templates", `text: '{{ lokup "a" }}'
list: [ok, '{{ end }}']
map: {k: '{{'}
one: {text: '{{ x }}'}
many: [{text: fine}, {text: '{{ y }}'}]
keyed: {k: {text: '{{ z }}'}}
beneath: '{{ u }}'`, false, []string{
			`m.yaml:1:7: SC250 text: the template cannot be read: function "lokup" not defined`,
			`m.yaml:2:12: SC250 list: the template cannot be read: unexpected {{end}}`,
			`m.yaml:3:10: SC250 k: the template cannot be read: unclosed action`,
			`m.yaml:4:13: SC250 text: the template cannot be read: function "x" not defined`,
			`m.yaml:5:29: SC250 text: the template cannot be read: function "y" not defined`,
			`m.yaml:6:19: SC250 text: the template cannot be read: function "z" not defined`,
			`m.yaml:7:10: SC250 below: the template cannot be read: function "u" not defined`,
		}},
		{"a template that is refused", `text: '{{ define "x" }}{{ end }}'`, true, []string{
			`m.yaml:1:7: SC250 text: reading a template: define and block are not available here`}},
		{"validated", "plain: bad", false, []string{`m.yaml:1:8: SC299 plain is bad`}},
		{"not validated where the keys are wrong", "plain: bad\nlist: x", false, []string{`m.yaml:2:7: SC023 list: expected a list of texts, found a single value`}},
		{"no mapping", "[]", false, []string{`m.yaml:1:1: SC023 the value: expected a mapping, found a list`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var spec *sampleSpec
			typ := sampleType(&spec)
			w := watcherOf(t, tt.properties, tt.strict)
			prepared, list := typ.Prepare(w)
			var got []string
			for _, d := range list {
				got = append(got, d.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(list, typ.Check(w)); diff != "" {
				t.Errorf("Prepare and Check differ:\n%s", diff)
			}
			if (prepared == nil) != list.HasErrors() {
				t.Errorf("prepared %v with %v", prepared, list)
			}
		})
	}
}

func TestDefineWithoutProperties(t *testing.T) {
	for _, n := range []*strict.Node{nil, {Kind: strict.Null}} {
		var spec *sampleSpec
		prepared, list := sampleType(&spec).Prepare(&machine.WatcherSpec{Properties: n, Strict: true})
		if len(list) > 0 || prepared.Governor != "sample" || !spec.seen {
			t.Errorf("%v: prepared %v, %v", n, prepared, list)
		}
	}
	_, list := Timer().Prepare(&machine.WatcherSpec{Pos: diag.Position{File: "m.yaml", Line: 7, Column: 5}})
	if got := list.Error(); got != "m.yaml:7:5: SC021 the key \"timer\" is missing\n  hint: add \"timer: ...\"" {
		t.Errorf("a missing key of missing properties: %s", got)
	}
}

func TestDefineKeepsTheSpec(t *testing.T) {
	var spec *sampleSpec
	if _, ok := sampleType(&spec).Spec.(sampleSpec); !ok {
		t.Errorf("Spec is %T", sampleType(&spec).Spec)
	}
}
