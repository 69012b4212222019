package strict

import (
	"strings"
	"testing"
)

func TestSyntaxErrorPlaces(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		line      int
		hint      string
	}{
		{"colon in text, first line", "a: b: c\n", 1, "quotes"},
		{"colon in text", "a: 1\nb: c: d\n", 2, "quotes"},
		{"key indented too far", "a: 1\n  b: 2\nc: 3\n", 2, "indentation"},
		{"key indented too little", "a:\n   - x\n  b: 1\nc: 1\nd: 1\n", 3, "indentation"},
		{"list below a mapping", "x: 1\n\n\na:\n  b: 1\n  - c\nd: 1\ne: 2\nf: 3\n", 6, "indentation"},
		{"key below a list", "- a\n- b\nc: 1\n- d\n", 3, `"- "`},
		{"text after quotes, first line", "a: \"x\" y\nb: 2\n", 1, "quotes"},
		{"text after quotes", "z: 1\nq: 2\na: \"x\" y\n# b\n\nb: 2\n", 3, "quotes"},
		{"dash without blank", "a:\n- b\n-c\nd: 1\n", 3, "key: value"},
		{"text without colon", "a: b\nc\nd: e\n", 2, "key: value"},
		{"list not closed, first line", "from: [a, b\nto: x\ny: z\n", 1, "]"},
		{"list not closed", "a: 1\nfrom: [a, b\nto: x\ny: z\n", 2, "]"},
		{"mapping not closed", "a: 1\nfrom: {a: b\nto: x\ny: z\n", 2, "}"},
		{"quote not closed, first line", "a: 'x\nb: 1\n", 1, "close the quotes"},
		{"quote not closed", "a: 1\nb: \"x\nc: 1\nd: 2\n", 2, "close the quotes"},
		{"every state, unquoted", "a: 1\nfrom: [*]\nb: 1\n", 2, "begins with *"},
		{"unquoted at", "a: 1\nb: @x\n", 2, "begins with @"},
		{"backslash", "a: 1\nb: \"C:\\d\"\n", 2, `\\`},
		{"new YAML", "%YAML 1.2\n---\na: 1\n", 1, "%YAML"},
		{"carriage returns", "a: 1\rb\r c: 1\r", 2, "key: value"},
		{"second document", "a: 1\n---\nb: [c\n", 3, "]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := Parse("f.yaml", []byte(tc.src))
			if len(list) != 1 || list[0].Code != CodeSyntax {
				t.Fatalf("findings are %v, want one syntax error", list)
			}
			d := list[0]
			if d.Line != tc.line || d.Column != 0 {
				t.Errorf("place is %v, want line %d", d.Position, tc.line)
			}
			if strings.Contains(d.Message, "yaml:") || strings.Contains(d.Message, "line ") {
				t.Errorf("message is %q", d.Message)
			}
			if !strings.Contains(d.Hint, tc.hint) {
				t.Errorf("hint is %q, want it to say %q", d.Hint, tc.hint)
			}
		})
	}
}

func TestMarksWithoutQuotesAreNamed(t *testing.T) {
	for src, place := range map[string]string{
		"a: 1\nset: {restarts: ${ data.restarts + 1 }}\nb: 2\n":              "f.yaml:2:17",
		"set: {restarts: ${data.restarts}}\n":                                "f.yaml:1:17",
		"a: [x, ${ data.a }]\n":                                              "f.yaml:1:8",
		"set: {a: 'it''s ${ x }', ä: of ${ data.a }}\n":                      "f.yaml:1:32",
		"set: {a: '${ data.a }',\n  b: ${ data.b + 1 },\n  c: 1}\nname: x\n": "f.yaml:2:6",
		"set:\n  a: [1, 2\nb: '${ data.b }'\n":                               "f.yaml:2",
	} {
		_, list := Parse("f.yaml", []byte(src))
		if len(list) != 1 || list[0].Code != CodeSyntax {
			t.Errorf("%q: %v, want one syntax error", src, list)
		} else if d := list[0]; d.Position.String() != place || strings.Contains(d.Hint, "'${ data.name }'") != (d.Column > 0) {
			t.Errorf("%q: %v, %s; want it at %s", src, d, d.Hint, place)
		}
	}
}

func TestSyntaxErrorInALargeDocument(t *testing.T) {
	src := strings.Repeat("- abcdefgh\n", 20_000) + "key: 1\n"
	_, list := Parse("f.yaml", []byte(src))
	if len(list) != 1 || list[0].Code != CodeSyntax || list[0].Line < 1 {
		t.Errorf("findings are %v", list)
	}
}
