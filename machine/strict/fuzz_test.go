package strict

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine/diag"
	"pgregory.net/rapid"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "a: 1\n", "a: &x [*x]\n", "<<: {a: b}\n", "a: 1\n---\nb: 2\n", "\ufeffa: |\n  b\n", "a:\n\tb: 1\n", "? [a]\n: b\n", "{{a}}",
		"a: \"\\0\"", "a: !!binary x", "- - - a\n-\n", "#\n\n-\n#", "a: .inf\nb: 1e999\nc: 0x1\nd: 0o7\n", "a: 'x", "[", "%TAG ! x\n---\n!a b", "a\rb: c\r", "\x00\xff", "*a : b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		n, list := Parse("f.yaml", src)
		for _, d := range list {
			if d.Code == "" || d.Message == "" || d.Hint == "" || d.File != "f.yaml" || d.Line < 0 || d.Line > len(src)+1 {
				t.Errorf("incomplete finding %+v", d)
			}
		}
		if (n == nil) != list.HasErrors() {
			t.Fatalf("node is %v with findings %v", n, list)
		}
		if n == nil {
			return
		}
		checkNode(t, n, 1)
		if _, err := json.Marshal(n.Any()); err != nil {
			t.Errorf("as JSON: %v", err)
		}
		var target struct {
			A string          `yaml:"a"`
			B []Duration      `yaml:"b"`
			C map[string]*int `yaml:"c"`
			D any             `yaml:"d" alias:"e"`
			F []struct {
				G *Node `yaml:"g"`
			} `yaml:"f"`
		}
		Decode(n, &target, Options{Unknown: diag.Warning})
	})
}

func checkNode(t *testing.T, n *Node, depth int) {
	if n.Pos.File != "f.yaml" || n.Pos.Line < 1 || n.Pos.Column < 1 || depth > MaxDepth {
		t.Fatalf("node %+v at depth %d", n, depth)
	}
	seen := map[string]bool{}
	for _, f := range n.Fields {
		if f.Pos.Line < 1 || f.Pos.Column < 1 || seen[f.Key] {
			t.Fatalf("key %+v", f)
		}
		seen[f.Key] = true
		checkNode(t, f.Value, depth+1)
	}
	for _, item := range n.Items {
		checkNode(t, item, depth+1)
	}
}

// JSON is YAML: whatever it holds must come back as it was.
func TestJSONIsReadAsJSON(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune(`abc :-#&*!?|>'"%@{}[],~<=.0123456789` + "\n\té\U0001F600\\")))
	key := rapid.Map(text, func(s string) string { return "k" + s })
	var value *rapid.Generator[any]
	value = rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Int().AsAny(),
		rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) && !(f == 0 && math.Signbit(f)) }).AsAny(),
		text.AsAny(),
		rapid.Deferred(func() *rapid.Generator[any] { return rapid.SliceOfN(value, 0, 4).AsAny() }),
		rapid.Deferred(func() *rapid.Generator[any] { return rapid.MapOfN(key, value, 0, 4).AsAny() }),
	)
	rapid.Check(t, func(t *rapid.T) {
		want, err := json.Marshal(map[string]any{"value": value.Draw(t, "value")})
		if err != nil {
			t.Fatal(err)
		}
		n, list := Parse("f.yaml", want)
		if err := list.Err(); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		got, err := json.Marshal(n.Any())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s came back as %s, %v", want, got, err)
		}
	})
}

func BenchmarkManifest(b *testing.B) {
	src := []byte("name: x\nwatchers:\n" + strings.Repeat(`  - name: check
    type: exec
    state_match: [idle, running]
    interval: 10s
    success_transition: ok
    properties:
      command: "/usr/bin/check --all"
      timeout: 30s
      environment:
        - A=b
`, 20))
	type watcher struct {
		Name       string   `yaml:"name,required"`
		Type       string   `yaml:"type,required"`
		States     []string `yaml:"state_match"`
		Interval   Duration `yaml:"interval" min:"500ms"`
		Success    string   `yaml:"success_transition"`
		Properties *Node    `yaml:"properties"`
	}
	var manifest struct {
		Name     string    `yaml:"name,required"`
		Watchers []watcher `yaml:"watchers"`
	}
	for b.Loop() {
		n, list := Parse("f.yaml", src)
		list = append(list, Decode(n, &manifest, Options{})...)
		if err := list.Err(); err != nil {
			b.Fatal(err)
		}
	}
}
