package watchers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// templateOf is a text of a manifest older than format 2.
func templateOf(text string) (t Text) {
	_ = t.UnmarshalNode(&strict.Node{Kind: strict.Scalar, Value: text}, strict.Options{})
	return t
}

// commandOf is a command that has been read.
func commandOf(t testing.TB, text string, marked bool) (c Command) {
	t.Helper()
	_ = c.UnmarshalNode(&strict.Node{Kind: strict.Scalar, Value: text}, strict.Options{Marked: marked})
	if err := c.split(); err != nil {
		t.Fatal(err)
	}
	b := binding{scope: scope{marked: marked}}
	if c.bind(&b, "command", ""); b.list != nil {
		t.Fatal(b.list)
	}
	return c
}

// splitTemplate splits a command of a manifest older than format 2.
func splitTemplate(text string) ([]string, error) {
	c := Command{text: text}
	err := c.split()
	if len(c.words) == 0 {
		return nil, err
	}
	return texts(c.words), err
}

func TestExpand(t *testing.T) {
	look := &Look{
		Facts: mustFacts(t, `{"os":{"name":"debian","major":12},"empty":null,"tags":["a","b"]}`),
		Data:  map[string]any{"count": 3, "site": map[string]any{"rack": "r7"}, "a.b": "dotted", "nothing": nil, "raw": "eA=="},
	}
	tests := []struct{ text, want string }{
		{"plain", "plain"},
		{`{{ lookup "facts.os.name" "x" }}`, "debian"},
		{`{{ lookup "facts.os.major" 0 }}`, "12"},
		{`{{ lookup "facts.os.minor" 5 }}`, "5"},
		{`{{ lookup "facts.os.minor" "" }}.`, "."},
		{`{{ lookup "facts.os.minor" }}.`, "."},
		{`{{ lookup "facts.empty" "x" }}`, "x"},
		{`{{ lookup "data.count" 0 }}`, "3"},
		{`{{ lookup "data.site.rack" "x" }}`, "r7"},
		{`{{ lookup "data.site.row" "x" }}`, "x"},
		{`{{ lookup "data.a\\.b" "x" }}`, "dotted"},
		{`{{ lookup "data.nothing" "x" }}`, "x"},
		{`{{ lookup "data.missing" "x" }}`, "x"},
		{`{{ lookup "data" "x" }}{{ lookup "facts" "y" }}{{ lookup "host.os" "z" }}{{ lookup "" "-" }}`, "xyz-"},
		{`{{ lookup "facts.os.name" "x" | Title }} {{ Capitalize "ab cd" }} {{ ToUpper "a" }}{{ ToLower "B" }}`, "Debian Ab cd Ab"},
		{`{{ StringJoin (lookup "facts.tags" "") "," }}`, "a,b"},
		{`{{ Base64Encode "x" }} {{ lookup "data.raw" "" | Base64Decode }}`, "eA== x"},
	}
	for _, tt := range tests {
		got, err := look.Expand(templateOf(tt.text))
		if err != nil || got != tt.want {
			t.Errorf("%s gives %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestExpandErrorsNameTheTemplate(t *testing.T) {
	_, err := (&Look{}).Expand(templateOf(`{{ StringJoin "a" "b" }}` + strings.Repeat(" ", 100)))
	if err == nil || !strings.Contains(err.Error(), `{{ StringJoin \"a\" \"b\" }}`) || len(err.Error()) > 300 {
		t.Errorf("error %v", err)
	}
}

func TestSplitWords(t *testing.T) {
	tests := []struct {
		command string
		want    []string
	}{
		{"", nil},
		{" \t\n", nil},
		{"a  b\tc\n", []string{"a", "b", "c"}},
		{`a 'b c' "d e" f\ g`, []string{"a", "b c", "d e", "f g"}},
		{`--x='1 2'3 '' ""`, []string{"--x=1 23", "", ""}},
		{`'a\b' "a\b" "a\"b" "a\\b" a\\b \'`, []string{`a\b`, `a\b`, `a"b`, `a\b`, `a\b`, `'`}},
		{`$HOME ; rm -rf | cat > x`, []string{"$HOME", ";", "rm", "-rf", "|", "cat", ">", "x"}},
		{`a {{ lookup "facts.os" "x y" }} b`, []string{"a", `{{ lookup "facts.os" "x y" }}`, "b"}},
		{`--x={{ lookup "facts.os" "x y" }}-{{ ToUpper "a b" }}`, []string{`--x={{ lookup "facts.os" "x y" }}-{{ ToUpper "a b" }}`}},
		{`"{{ lookup "facts.os" "x" }} y" 'z {{ lookup "a" "'" }}'`, []string{`{{ lookup "facts.os" "x" }} y`, `z {{ lookup "a" "'" }}`}},
		{"{{ `}} \" ` }} {{ \"}}\\\"\" }} {{ '\\'' }}", []string{"{{ `}} \" ` }}", `{{ "}}\"" }}`, `{{ '\'' }}`}},
		{`{{/* it's }} */}} a {{- /* " */ -}} b`, []string{`{{/* it's }} */}}`, "a", `{{- /* " */ -}}`, "b"}},
		{`{{if true}}a{{end}} { b } }}`, []string{"{{if true}}a{{end}}", "{", "b", "}", "}}"}},
	}
	for _, tt := range tests {
		got, err := splitTemplate(tt.command)
		if err != nil {
			t.Errorf("%q: %v", tt.command, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.command, diff)
		}
	}
}

func TestSplitWordsRefuses(t *testing.T) {
	tests := []struct{ command, want string }{
		{`a 'b`, "a quote is not closed"},
		{`a "b`, "a quote is not closed"},
		{`a "b\`, "ends in a backslash"},
		{`a \`, "ends in a backslash"},
		{`a {{ b`, "{{ is not closed"},
		{`a {{ "b }}`, "{{ is not closed"},
		{`a {{/* b }}`, "{{ is not closed"},
		{`{{ if true }}a b{{ end }}`, "in the word \"{{ if true }}a\" the template cannot be read: unexpected EOF"},
	}
	for _, tt := range tests {
		if words, err := splitTemplate(tt.command); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q gives %q, %v, want an error of %q", tt.command, words, err, tt.want)
		}
	}
}

func TestExpandWordsOfNothing(t *testing.T) {
	if words, err := (&Look{}).ExpandWords(commandOf(t, " ", false), false); err == nil {
		t.Errorf("an empty command gives %q", words)
	}
}

// TestB17TemplatesAreOneArgument draws facts and data, and looks for them in the words of a command.
func TestB17TemplatesAreOneArgument(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"; rm -rf /", "$(reboot)", "`reboot`", "a b", "'", `"`, `\`, "\n", "", "{{ lookup \"facts.v\" \"\" }}", "}}", "--flag", "*", "a\x00b",
	}))
	command := commandOf(t, `run -- {{ lookup "facts.v" "x y" }} --d={{ lookup "data.v" "" }} "in {{ lookup "facts.v" "" }}" end`, false)
	rapid.Check(t, func(r *rapid.T) {
		value := strings.ToValidUTF8(hostile.Draw(r, "value"), "")
		raw, err := json.Marshal(map[string]string{"v": value})
		if err != nil {
			r.Fatal(err)
		}
		look := &Look{Facts: mustFacts(t, string(raw)), Data: map[string]any{"v": value}}
		words, err := look.ExpandWords(command, false)
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff([]string{"run", "--", value, "--d=" + value, "in " + value, "end"}, words); diff != "" {
			r.Fatalf("words (-want +got):\n%s", diff)
		}
	})
}

// TestQuotedWordsComeBack quotes words as a shell's user would.
func TestQuotedWordsComeBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		words := rapid.SliceOfN(rapid.String(), 1, 5).Draw(r, "words")
		var command []string
		for _, w := range words {
			if strings.Contains(w, "{{") {
				return
			}
			switch rapid.IntRange(0, 1).Draw(r, "quotes") {
			case 0:
				command = append(command, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
			default:
				command = append(command, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w)+`"`)
			}
		}
		got, err := SplitWords(strings.Join(command, " "))
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(words, got); diff != "" {
			r.Fatalf("%q (-want +got):\n%s", command, diff)
		}
	})
}

func FuzzSplitWords(f *testing.F) {
	for _, seed := range []string{`a 'b c' "d" \e`, `{{ lookup "a" "b c" }} d`, "{{ ` }} ` }}", `{{/* ' */}}`, `'{{ "`, "a\tb\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, command string) {
		words, err := SplitWords(command)
		if err != nil {
			return
		}
		if !strings.ContainsAny(command, `'"\{`) {
			want := strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) })
			if diff := cmp.Diff(want, words); len(want)+len(words) > 0 && diff != "" {
				t.Fatalf("%q (-want +got):\n%s", command, diff)
			}
		}
		kept := 0
		for _, w := range words {
			kept += len(w)
		}
		if kept > len(command) {
			t.Fatalf("%q becomes longer: %q", command, words)
		}
	})
}
