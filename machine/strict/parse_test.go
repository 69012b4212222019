package strict

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// findings renders a list as "line:column code", which is what the tests below are about.
func findings(list diag.List) []string {
	out := []string{}
	for _, d := range list {
		out = append(out, fmt.Sprintf("%d:%d %s", d.Line, d.Column, d.Code))
	}
	return out
}

func TestC20Refused(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"duplicate keys", "a: 1\nb: {c: 1, c: 2}\na: 2\n\"a\": 3\n", []string{"2:11 SC009", "3:1 SC009", "4:1 SC009"}},
		{"anchor and alias", "a: &x 1\nb: *x\nc: [*x]\n", []string{"1:4 SC010", "2:4 SC010", "3:5 SC010"}},
		{"anchored collections", "a: &x\n  b: 1\nc: &y [1]\n", []string{"1:4 SC010", "3:4 SC010"}},
		{"alias to nothing", "a: 1\nb: *x\n", []string{"2:0 SC010"}},
		{"alias to itself", "a: &x [*x]\n", []string{"1:4 SC010", "1:8 SC010"}},
		{"alias as key", "a: &x y\n*x : 1\n", []string{"1:4 SC010", "2:1 SC010"}},
		{"merge key", "a: 1\n<<: {b: 1}\n", []string{"2:1 SC011"}},
		{"several documents", "a: 1\n---\nb: 1\n---\nc: 1\n", []string{"2:1 SC007"}},
		{"an empty second document", "a: 1\n---\n", []string{"2:1 SC007"}},
		{"custom tags", "a: !foo 1\nb: !!binary aGk=\nc: !<tag:x,y> {}\nd: !!int 1\n", []string{"1:4 SC012", "2:4 SC012", "3:4 SC012", "4:4 SC012"}},
		{"keys that are not text", "1: a\ntrue: b\n~: c\n1.5: d\n[e]: f\n{{g}}: h\n", []string{"1:1 SC013", "2:1 SC013", "3:1 SC013", "4:1 SC013", "5:1 SC013", "6:1 SC013", "6:2 SC013"}},
		{"complex key", "? [a]\n: b\n", []string{"1:3 SC013"}},
		{"unquoted template", "a: 1\nb: {{ lookup }}\nc: {{ lookup }}\n", []string{"2:5 SC013", "3:5 SC013"}},
		{"tab indents", "a:\n\tb: 1\n\tc: 1\n", []string{"2:1 SC006", "3:1 SC006"}},
		{"tab after spaces", "a:\n  b: 1\nc:\n  \td: 1\n", []string{"4:3 SC006"}},
		{"tab after a value", "a:\n  b: 1\n\tc: 2\n", []string{"3:1 SC006"}},
		{"tab after brackets", "a: [1,\n\t2]\nb:\n\tc: 1\n\td: 1\n", []string{"4:1 SC006", "5:1 SC006"}},
		{"tab before a comment", "a: 1\n\t# b\n", []string{"2:1 SC006"}},
		{"tab on an empty line", "a: 1\n\t\nb: [\n\t\n]\n", []string{"2:1 SC006"}},
		{"tab ends a block", "a: |\n  x\n\ty\n", []string{"3:1 SC006"}},
		{"invalid UTF-8", "a: \xff\nb: \xc3(\n", []string{"1:4 SC003", "2:4 SC003"}},
		{"UTF-16", "\xff\xfea\x00:\x00", []string{"1:1 SC003", "1:2 SC003", "1:4 SC004", "1:6 SC004"}},
		{"NUL and control characters", "a\x00: \x07\r\nb: \x7f\u0085\u2028\ufeff", []string{"1:2 SC004", "1:5 SC004", "2:4 SC004", "2:5 SC004", "2:6 SC004", "2:7 SC004"}},
		{"NUL by escape", `a: ["\0", "\x00"]`, []string{"1:5 SC004", "1:11 SC004"}},
		{"nothing", "", []string{"0:0 SC008"}},
		{"comments only", "# a\n", []string{"0:0 SC008"}},
		{"null document", "null\n", []string{"1:1 SC008"}},
		{"dashes only", "---\n", []string{"2:1 SC008"}},
		{"all at once", "a: &x 1\na: !y 2\n<<: 3\n4: 5\n", []string{"1:4 SC010", "2:1 SC009", "2:4 SC012", "3:1 SC011", "4:1 SC013"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, list := Parse("f.yaml", []byte(tc.src))
			if n != nil {
				t.Errorf("a refused document gave %v", n.Any())
			}
			if diff := cmp.Diff(tc.want, findings(list)); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%v", diff, list)
			}
			for _, d := range list {
				if d.Hint == "" || d.Severity != diag.Error || d.File != "f.yaml" {
					t.Errorf("%v: hint %q, severity %v, file %q", d, d.Hint, d.Severity, d.File)
				}
			}
		})
	}
}

func TestC20Bounds(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + "a" + strings.Repeat("]", n) }
	items := func(n int) string { return "[" + strings.Repeat("a,", n) + "]" }
	padded := func(n int) string { return "a: 1" + strings.Repeat("\n", n-4) }
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"deepest", nested(MaxDepth - 1), []string{}},
		{"too deep", nested(MaxDepth), []string{"1:65 SC014"}},
		{"block too deep", strings.Repeat("- ", 200) + "a", []string{"1:129 SC014"}},
		{"deep enough to be cut short by the library", nested(20_000), []string{"1:0 SC014"}},
		{"most values", items(MaxNodes - 1), []string{}},
		{"too many values", items(MaxNodes), []string{fmt.Sprintf("1:%d SC015", 2*MaxNodes)}},
		{"largest", padded(MaxBytes), []string{}},
		{"too large", padded(MaxBytes + 1), []string{"0:0 SC002"}},
		{"large garbage", strings.Repeat("\x00", MaxBytes), slices.Repeat([]string{"SC004"}, maxRepeats)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, list := Parse("f.yaml", []byte(tc.src))
			got := findings(list)
			if tc.name == "large garbage" {
				for i := range got {
					got[i] = string(list[i].Code)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// A thousand million values in a few lines, if aliases were expanded.
func TestC20AliasBomb(t *testing.T) {
	src := "a0: &a0 [x]\n"
	for i := range 30 {
		src += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	n, list := Parse("f.yaml", []byte(src))
	if n != nil || len(list) != 31+60 {
		t.Errorf("%d findings, want one for each anchor and alias", len(list))
	}
}

// Shapes that make careless scanners take time by the square of the length, which would be minutes here.
func TestC20HostileShapes(t *testing.T) {
	const size, longest = 64 << 10, 10 * time.Second
	for _, shape := range []string{"[", "{", "- ", "? ", "[a,", "{},", "a: ", "a:\n", "# c\n", "-\n#\n", "\"", "'\n", "&a ", "*a ", "|", "%a\n", "\r", "<<: *a\n", "!"} {
		for _, prefix := range []string{"", "a: [", "a: |\n "} {
			began := time.Now()
			Parse("f.yaml", []byte(prefix+strings.Repeat(shape, size/len(shape))))
			if took := time.Since(began); took > longest {
				t.Errorf("%q after %q took %v", shape, prefix, took)
			}
		}
	}
}

func TestC20Accepted(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      any
		findings  []string
	}{
		{"byte order mark", "\ufeffa: 1\n", map[string]any{"a": 1}, []string{"1:1 SC005"}},
		{"document markers", "%YAML 1.1\n---\na: 1\n...\n", map[string]any{"a": 1}, []string{}},
		{"null items stay", "a: [1, ~, null]\nb:\n  -\n  - c\n", map[string]any{"a": []any{1, nil, nil}, "b": []any{nil, "c"}}, []string{}},
		{"line endings", "a: 1\r\nb:\r\n  - 2\r\n", map[string]any{"a": 1, "b": []any{2}}, []string{}},
		{"tabs that do not indent", "a: [1,\n\t2]\nb: |\n  x\n  \ty\nc:\t3\n", map[string]any{"a": []any{1, 2}, "b": "x\n\ty\n", "c": 3}, []string{}},
		{"states", "on: off\nyes: no\n", map[string]any{"on": "off", "yes": "no"}, []string{}},
		{"quoted keys", "\"1\": a\n'true': b\n\"<<\": c\n", map[string]any{"1": "a", "true": "b", "<<": "c"}, []string{}},
		{"tags that change nothing", "a: !!str 1\nb: !!seq [1]\nc: !!map {}\n!!str 2: d\n", map[string]any{"a": "1", "b": []any{1}, "c": map[string]any{}, "2": "d"}, []string{}},
		{"a list", "- a\n", []any{"a"}, []string{}},
		{"a scalar", "a", "a", []string{}},
		{"an empty text", `""`, "", []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, list := Parse("f.yaml", []byte(tc.src))
			if diff := cmp.Diff(tc.findings, findings(list)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, n.Any()); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPositions(t *testing.T) {
	n, list := Parse("f.yaml", []byte("name: héé\nlist:\n  - \"8080\"\n  - b: [1, |-\n]\n"))
	if n != nil || len(list) != 1 {
		t.Fatalf("a block scalar inside brackets was read: %v", list)
	}
	n, list = Parse("f.yaml", []byte("é: x\nlist:\n  - \"8080\"\n  - é: b\n"))
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	at := func(line, column int) diag.Position {
		return diag.Position{File: "f.yaml", Line: line, Column: column}
	}
	scalar := func(p diag.Position, text string) *Node { return &Node{Kind: Scalar, Pos: p, Value: text} }
	want := &Node{Kind: Mapping, Pos: at(1, 1), Fields: []Field{
		{Key: "é", Pos: at(1, 1), Value: scalar(at(1, 4), "x")},
		{Key: "list", Pos: at(2, 1), Value: &Node{Kind: Sequence, Pos: at(3, 3), Items: []*Node{
			{Kind: Scalar, Pos: at(3, 5), Value: "8080", Quoted: true},
			{Kind: Mapping, Pos: at(4, 5), Fields: []Field{{Key: "é", Pos: at(4, 5), Value: scalar(at(4, 8), "b")}}},
		}}},
	}}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestGet(t *testing.T) {
	n, _ := Parse("f.yaml", []byte("a: {b: c}\n"))
	if got := n.Get("a").Get("b"); got == nil || got.Value != "c" {
		t.Errorf("a.b is %v", got)
	}
	for _, missing := range []*Node{n.Get("x"), n.Get("x").Get("y"), n.Get("a").Get("b").Get("c")} {
		if missing != nil {
			t.Errorf("a key that is not there gave %v", missing)
		}
	}
}

// The library recovers its own panics only.
func TestPanicBecomesAnError(t *testing.T) {
	_, err := readDocuments(panicking{})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("error is %v", err)
	}
	if _, err := readDocuments(iotest.ErrReader(iotest.ErrTimeout)); err == nil {
		t.Error("a failing reader gave no error")
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("out of range") }
