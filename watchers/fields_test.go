package watchers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/strict"
)

const eventFields = `
- {name: id, type: text, max_size: 8, pattern: "[a-z]+"}
- {name: n, type: integer, optional: true}
- {name: x, type: number, optional: true}
- {name: on, type: boolean, optional: true}
- {name: list, type: list, max_size: 8, optional: true}
- {name: data, type: object}
- {name: data.identity, type: text, max_size: 8}
- {name: data.more, type: object, open: true, max_size: 32, optional: true}
- {name: data.more.kind, type: text, max_size: 8}`

func fieldsOf(t *testing.T, text string) (Fields, []string) {
	t.Helper()
	node, problems := strict.Parse("machine.yaml", []byte(text))
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	var list []Field
	found := strict.Decode(node, &list, strict.Options{})
	f, more := CompileFields(list, node)
	var codes []string
	for _, d := range append(found, more...) {
		codes = append(codes, fmt.Sprintf("%s %d", d.Code, d.Line))
	}
	return f, codes
}

// TestD23FieldsOfABody holds what is kept of a body, and what is refused with the name of the field.
func TestD23FieldsOfABody(t *testing.T) {
	f, problems := fieldsOf(t, eventFields)
	if problems != nil {
		t.Fatal(problems)
	}
	good := map[string]any{"id": "a", "data": map[string]any{"identity": "n1"}}
	for body, want := range map[string]any{
		`{"id": "a", "data": {"identity": "n1"}}`: good,
		`{"id": "a", "data": {"identity": "n1", "data_base64": "eA=="}, "data_base64": "eA==", "other": {"a": [1]}}`: good,
		`{"id": "a", "n": null, "data": {"identity": "n1"}}`:                                                         good,
		`{"id": "a", "n": 7, "x": 1.5, "on": false, "list": [1, 2], "data": {"identity": "n1", "more": {"kind": "k", "any": [1.5]}}}`: map[string]any{
			"id": "a", "n": 7, "x": 1.5, "on": false, "list": []any{1, 2}, "data": map[string]any{"identity": "n1", "more": map[string]any{"kind": "k", "any": []any{1.5}}},
		},
		`[]`:                        "no JSON object",
		`"id"`:                      "no JSON object",
		`{"data": {}}`:              "id is not there",
		`{"id": 1, "data": {}}`:     "id is no text",
		`{"id": "A", "data": {}}`:   "id does not match",
		`{"id": "a\n", "data": {}}`: "id does not match",
		`{"id": "` + strings.Repeat("a", 9) + `", "data": {}}`:                                                     "id has 9 bytes, 8 are allowed",
		`{"id": "a", "data": []}`:                                                                                  "data is no object",
		`{"id": "a", "data": {}}`:                                                                                  "data.identity is not there",
		`{"id": "a", "n": 1.5, "data": {"identity": "n1"}}`:                                                        "n is no integer",
		`{"id": "a", "n": 1e400, "data": {"identity": "n1"}}`:                                                      "n is no integer",
		`{"id": "a", "x": 1e400, "data": {"identity": "n1"}}`:                                                      "x is no number",
		`{"id": "a", "n": "7", "data": {"identity": "n1"}}`:                                                        "n is no integer",
		`{"id": "a", "on": 1, "data": {"identity": "n1"}}`:                                                         "on is no boolean",
		`{"id": "a", "list": {}, "data": {"identity": "n1"}}`:                                                      "list is no list",
		`{"id": "a", "list": [1,2,3,4,5], "data": {"identity": "n1"}}`:                                             "list has 11 bytes",
		`{"id": "a", "data": {"identity": "n1", "more": {}}}`:                                                      "data.more.kind is not there",
		`{"id": "a", "data": {"identity": "n1", "more": {"kind": "k", "any": "` + strings.Repeat("x", 32) + `"}}}`: "data.more has",
	} {
		v, err := ReadJSON([]byte(body), 60)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Read(v)
		if reason, refused := want.(string); refused {
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v, %v", body, got, err)
			}
		} else if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v %s", body, err, d)
		}
	}
	if got, err := (Fields{}).Read("text"); got != "text" || err != nil {
		t.Errorf("where nothing is declared: %v, %v", got, err)
	}
}

// TestD23NamesTimesAndIntegersOfABody: a consumer is not given a time that is none, an integer that readers of JSON read differently, or a name that is
// empty or steers a terminal.
func TestD23NamesTimesAndIntegersOfABody(t *testing.T) {
	f, problems := fieldsOf(t, `
- {name: n, type: integer, optional: true}
- {name: id, type: name, max_size: 8, optional: true}
- {name: at, type: time, optional: true}`)
	if problems != nil {
		t.Fatal(problems)
	}
	for body, want := range map[string]string{
		`{"n": 9007199254740992, "id": "ä b", "at": "2026-01-05T10:00:00.123456789+01:00"}`: "",
		`{"n": -9007199254740992, "at": "2026-01-05T10:00:00Z"}`:                            "",
		`{"n": 9007199254740993}`:          "n is no integer",
		`{"n": -9007199254740993}`:         "n is no integer",
		`{"n": 99999999999999999999}`:      "n is no integer",
		`{"n": 1e20}`:                      "n is no integer",
		`{"id": ""}`:                       "id is no name",
		`{"id": 1}`:                        "id is no name",
		`{"id": "a\u0000"}`:                "id is no name",
		`{"id": "a\u001b[2J"}`:             "id is no name",
		`{"id": "a\u009b"}`:                "id is no name",
		`{"id": "a\n"}`:                    "id is no name",
		`{"id": "aaaaaaaaa"}`:              "id has 9 bytes, 8 are allowed",
		`{"at": ":::"}`:                    "at is no time",
		`{"at": ""}`:                       "at is no time",
		`{"at": 1767607200}`:               "at is no time",
		`{"at": "2026-99-99T99:99:99Z"}`:   "at is no time",
		`{"at": "2026-01-05T1:00:00Z"}`:    "at is no time",
		`{"at": "2026-01-05T10:00:00,5Z"}`: "at is no time",
		`{"at": "2026-01-05T10:00:00.` + strings.Repeat("0", 30) + `Z"}`: "at is no time",
	} {
		v, err := ReadJSON([]byte(body), 60)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(v); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, where %q is expected", body, err, want)
		}
	}
}

func TestFieldsThatAreDeclaredWrong(t *testing.T) {
	for text, want := range map[string]string{
		`[{name: a, type: text}]`: "SC259 1", `[{name: a, type: list}]`: "SC259 1", `[{name: a, type: object, open: true}]`: "SC259 1",
		`[{name: a, type: integer, max_size: 3}]`: "SC259 1", `[{name: a.b, type: integer}]`: "SC259 1", `[{name: a, type: integer}, {name: a.b, type: integer}]`: "SC259 1",
		`[{name: a, type: integer}, {name: a, type: integer}]`: "SC259 1", `[{name: "", type: integer}]`: "SC028 1, SC259 1", `[{name: a., type: integer}]`: "SC259 1",
		`[{name: a, type: name}]`: "SC259 1", `[{name: a, type: time, max_size: 40}]`: "SC259 1", `[{name: a, type: time, pattern: x}]`: "SC259 1",
		`[{name: a, type: text, max_size: 3, pattern: "["}]`: "SC259 1", `[{name: a, type: integer, pattern: x}]`: "SC259 1",
		`[{name: a, type: text, open: true, max_size: 3}]`: "SC259 1", `[{name: a, type: object}, {name: a.b, type: boolean}]`: "",
	} {
		if _, problems := fieldsOf(t, text); strings.Join(problems, ", ") != want {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

// TestALineIsForOneLineOfATerminal holds which texts a field of the type line takes, and that a name is one that is not empty.
func TestALineIsForOneLineOfATerminal(t *testing.T) {
	f, problems := fieldsOf(t, `[{name: reason, type: line, max_size: 64}, {name: name, type: name, max_size: 64, optional: true}]`)
	if problems != nil {
		t.Fatal(problems)
	}
	for text, good := range map[string]bool{
		"": true, "stolen, grüße": true, "a\tb": false, "a\nb": false, "a\rb": false, "\x1b[31mred": false, "\x00": false, "\x7f": false, "\u009b31m": false, "a\u2028b": false, "a\u2029b": false,
		"a\u202eb": false, "a\u2066b": false, "\u05d0\u200fb": true,
	} {
		if _, err := f.Read(map[string]any{"reason": text}); (err == nil) != good {
			t.Errorf("the line %q: %v", text, err)
		}
		if _, err := f.Read(map[string]any{"reason": "", "name": text}); (err == nil) != (good && text != "") {
			t.Errorf("the name %q: %v", text, err)
		}
	}
}
