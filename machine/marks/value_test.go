package marks

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/strict"
)

func read(t *testing.T, text string) (*Value, []string) {
	t.Helper()
	n, list := strict.Parse("m.yaml", []byte(text))
	if list.HasErrors() {
		t.Fatal(list)
	}
	v, list := Read(n.Get("v"))
	var found []string
	for _, d := range list {
		found = append(found, d.String())
		if d.Hint == "" {
			t.Errorf("%s has no hint", d)
		}
	}
	return v, found
}

// values are what expressions give in these tests, by their text.
var values = map[string]any{
	"n": 3, "f": 1.5, "b": true, "s": "text", "nil": nil, "l": []any{"a", 1}, "m": map[string]any{"k": 1},
	"at": time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600)), "big": 1e21,
}

func evaluate(v *Value) (any, error) {
	expressions := v.Expressions()
	return v.Evaluate(func(i int) (any, error) {
		got, known := values[expressions[i].Expr]
		if !known {
			return nil, errors.New("unknown " + expressions[i].Expr)
		}
		return got, nil
	})
}

func TestValues(t *testing.T) {
	for text, want := range map[string]any{
		"v: denied":                        "denied",
		"v: 0":                             0,
		"v: 1.5":                           1.5,
		"v: true":                          true,
		"v: '0'":                           "0",
		"v: null":                          nil,
		"v: ''":                            "",
		"v: [1, a]":                        []any{1, "a"},
		"v: {}":                            map[string]any{},
		"v: ${ n }":                        3,
		"v: '${ n }'":                      3,
		"v: ${ nil }":                      nil,
		"v: ${ m }":                        map[string]any{"k": 1},
		"v: a ${ n } b":                    "a 3 b",
		"v: ${ f }${ b }${ nil }.${ s }":   "1.5true.text",
		"v: '${ l } ${ m } ${ at }'":       "[a 1] map[k:1] 2026-01-02T02:04:05Z",
		"v: ${ big }!":                     "1e+21!",
		"v: $${HOME}":                      "${HOME}",
		"v: ['$$${', 'a $${b}']":           []any{"$${", "a ${b}"},
		"v: {a: '${ n }', b: ['${ s }!']}": map[string]any{"a": 3, "b": []any{"text!"}},
		"v: |\n  one\n  ${ n }\n":          "one\n3\n",
	} {
		v, found := read(t, text)
		if len(found) > 0 {
			t.Errorf("%s: %v", text, found)
		}
		got, err := evaluate(v)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestValuesThatCannotBe(t *testing.T) {
	for text, want := range map[string][]string{
		"v: ${ n": {`m.yaml:1:4: SC306 "${ n": the mark ${ is not closed by }`},
		"v: ['${}', \"${ 'a }\"]": {
			`m.yaml:1:5: SC306 "${}": there is no expression in the mark`, `m.yaml:1:12: SC306 "${ 'a }": a text within the mark is not closed`,
		},
		"v: {'${ n }': 1}":                   {`m.yaml:1:5: SC307 the key "${ n }": marks are filled into values, not into keys`},
		`v: 'a {{ lookup "data.a" "" }}'`:    {`m.yaml:1:4: SC308 "a {{ lookup \"data.a\" \"\" }}": format 2 has no templates`},
		"v: {a: ['{{ x }}', '${ \"{{\" }']}": {`m.yaml:1:9: SC308 "{{ x }}": format 2 has no templates`},
	} {
		if _, got := read(t, text); cmp.Diff(want, got) != "" {
			t.Errorf("%s:\n%s", text, cmp.Diff(want, got))
		}
	}
}

func TestTextsThatMarksMakeAreBounded(t *testing.T) {
	v, _ := read(t, "v: '${ s }${ s }'")
	_, err := v.Evaluate(func(int) (any, error) { return strings.Repeat("x", maxText/2+1), nil })
	if !errors.Is(err, errText) {
		t.Errorf("a text of more than %d bytes: %v", maxText, err)
	}
	if text, err := v.Evaluate(func(int) (any, error) { return strings.Repeat("x", maxText/2), nil }); err != nil || len(text.(string)) != maxText {
		t.Errorf("at the bound: %v", err)
	}
}

func TestSame(t *testing.T) {
	texts := []string{"v: ${ n }", "v: n", "v: ${ n } ", "v: a ${ n }", "v: ['${ n }']", "v: {a: '${ n }'}", "v: {b: '${ n }'}", "v: 1", "v: '1'",
		"v: {a b: '${ n }', c: '${ n }'}", "v: {a: '${ n }', b c: '${ n }'}"}
	for i, a := range texts {
		for j, b := range texts {
			x, _ := read(t, a)
			y, _ := read(t, b)
			if same := x.Same(y); same != (i == j || i+j == 2 && i != 1) {
				t.Errorf("%s and %s: %t", a, b, same)
			}
		}
	}
}
