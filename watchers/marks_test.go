package watchers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
)

// markedSpec has a property of each kind.
type markedSpec struct {
	Text    Text            `yaml:"text"`
	Texts   []Text          `yaml:"texts"`
	Map     map[string]Text `yaml:"map"`
	Value   *Formula        `yaml:"value"`
	Named   *Formula        `yaml:"named" gives:"text"`
	Object  *Formula        `yaml:"object" gives:"mapping"`
	Where   *Condition      `yaml:"where" gives:"boolean"`
	Command Command         `yaml:"command"`
	Plain   string          `yaml:"plain"`
	Count   int             `yaml:"count"`
}

func readMarked(t *testing.T, properties string) (*markedSpec, []string) {
	t.Helper()
	var got *markedSpec
	kind := Define(Type{}, func(s *markedSpec, _ *machine.WatcherSpec) *Prepared { got = s; return &Prepared{} })
	w := watcherOf(t, properties, true)
	w.Marked, w.Data = true, map[string]machine.ValueType{"note": machine.String, "count": machine.Integer, "list": machine.Array, "any": machine.Any}
	_, list := kind.Prepare(w)
	var found []string
	for _, d := range list {
		found = append(found, d.String())
		if d.Hint == "" {
			t.Errorf("%s has no hint", d)
		}
	}
	return got, found
}

func TestMarkedPropertiesAreFilledIn(t *testing.T) {
	spec, found := readMarked(t, `
text: ${ data.note }-${ data.count }-${ data.any }$${HOME}
texts: [8080, '${ token }', '{x}']
map: {a: '${ upper(data.note) }'}
value: {n: '${ data.count + 0.5 }', same: '${ data.count == 3.0 }', list: [plain, '${ data.list }'], whole: 1}
named: node.${ message.word }
object: '${ {"a": "}"} }'
where: data.count == 3.0 && input.on
`)
	if found != nil {
		t.Fatal(found)
	}
	look := &Look{
		Identity: "web1.example", Input: map[string]any{"on": true},
		Data: map[string]any{"note": "a b", "count": 3, "list": []any{"x"}},
	}
	text := func(of Text) string {
		s, err := look.Expand(of)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	value, errValue := spec.Value.Value(look, nil)
	named, errNamed := spec.Named.Text(look, map[string]any{"word": "up"})
	object, errObject := spec.Object.Object(look, nil)
	holds, errHolds := spec.Where.Holds(look, nil)
	got := []any{text(spec.Text), text(spec.Texts[0]), text(spec.Texts[1]), text(spec.Texts[2]), text(spec.Map["a"]), value, named, object, holds}
	want := []any{
		"a b-3-${HOME}", "8080", "web1=example", "{x}", "A B",
		map[string]any{"n": 3.5, "same": true, "list": []any{"plain", []any{"x"}}, "whole": 1}, "node.up", map[string]any{"a": "}"}, true,
	}
	if diff := cmp.Diff(want, got); diff != "" || errValue != nil || errNamed != nil || errObject != nil || errHolds != nil {
		t.Errorf("%v %v %v %v (-want +got):\n%s", errValue, errNamed, errObject, errHolds, diff)
	}
}

// TestWordsOfCommandsThatLookLikeExpressions holds that each is told of where its command stands, and what was a template only once.
func TestWordsOfCommandsThatLookLikeExpressions(t *testing.T) {
	for command, want := range map[string][]string{
		"get data.v data.w ok": {
			"m.yaml:1:10: SC309 warning: command: data.v looks like an expression: write ${ data.v }",
			"m.yaml:1:10: SC309 warning: command: data.w looks like an expression: write ${ data.w }",
		},
		`get {{ lookup "data.v" "" }}`:            {`m.yaml:1:10: SC308 "get {{ lookup \"data.v\" \"\" }}": format 2 has no templates`},
		`get {{ lookup "data.v" "" }} ${ data. }`: {"m.yaml:1:10: SC257", "m.yaml:1:10: SC308"},
	} {
		w := watcherOf(t, "command: "+command, true)
		w.Marked, w.Data = true, map[string]machine.ValueType{"v": machine.String, "w": machine.String}
		list := Exec().Check(w)
		if len(list) != len(want) {
			t.Errorf("%s: %v, want %q", command, list, want)
			continue
		}
		for i, d := range list {
			if !strings.HasPrefix(d.String(), want[i]) {
				t.Errorf("%s: %v, want %q", command, d, want[i])
			}
		}
	}
}

func TestMarkedPropertiesThatCannotBe(t *testing.T) {
	for properties, want := range map[string]string{
		"text: ${ data.noet }":            "SC257 text: expression data.noet: unknown field noet",
		"text: ${ data.list }":            "SC257 text: the expression gives a list, and a text is needed",
		"text: ${ data.note":              "SC306",
		"text: '{{ lookup \"data.x\" }}'": "SC308",
		"text: data.note":                 "SC309 warning: text: data.note looks like an expression: write ${ data.note }",
		"value: [data.count]":             "SC309 warning: value: data.count looks like an expression",
		"map: {'${ data.note }': x}":      "SC307 the key",
		"where: ${ data.count == 1 }":     "SC307 a condition is an expression and has no mark",
		"plain: a ${ data.note }":         "SC307 plain is read with the manifest",
		"named: 5":                        "SC257 named: the value is a number, and a text is needed",
		"named: ${ data.count }":          "SC257 named: the expression gives a number, never a text",
		"object: word":                    "SC257 object: the value is a text, and a mapping is needed",
		"texts: ['${ HOME }']":            "SC257 texts: expression HOME: unknown name HOME",
	} {
		_, found := readMarked(t, properties)
		if len(found) != 1 || !strings.Contains(found[0], want) || !strings.HasPrefix(found[0], "m.yaml:") {
			t.Errorf("%s: %q, want %q", properties, found, want)
		}
	}
}

// TestMarkedCommandsKeepTheirRules holds that the rules of ADR 36 are those of templates.
func TestMarkedCommandsKeepTheirRules(t *testing.T) {
	look := &Look{Data: map[string]any{"v": "a b; reboot", "dash": "-rf"}}
	words, err := look.ExpandWords(commandOf(t, `run ${ data.v } --v=${ data.v } 'x ${ upper("y }") }' \${data.v} '$${A}'`, true), false)
	if diff := cmp.Diff([]string{"run", "a b; reboot", "--v=a b; reboot", "x Y }", "${data.v}", "${A}"}, words); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := look.ExpandWords(commandOf(t, "rm ${ data.dash }", true), false); err == nil || !strings.Contains(err.Error(), "would be an option") {
		t.Errorf("a value that is an option: %v", err)
	}
	for properties, want := range map[string]string{
		"command: sh -c ${ data.v }":                              "SC350",
		"command: python3 -c '${ data.v }'":                       "SC350",
		"shell: true\ncommand: echo ${ data.v }":                  "SC350",
		"shell: true\ncommand: echo ${HOME} '{{.State}}'":         "",
		"command: run ${":                                         "SC306",
		"command: run\nenvironment: ['${ data.v }=x']":            "SC351",
		"command: run\nenvironment: ['BASH_ENV=${ data.v }']":     "SC350",
		"command: run\nenvironment: ['A=${ data.v }', 'B=$${C}']": "",
	} {
		w := watcherOf(t, properties, true)
		w.Marked = true
		list := Exec().Check(w)
		if want == "" && len(list) > 0 || want != "" && (len(list) != 1 || string(list[0].Code) != want) {
			t.Errorf("%s: %v, want %q", properties, list, want)
		}
	}
}
