package keyvalue

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/watchers"
)

func TestHiera(t *testing.T) {
	facts := must[*watchers.Facts](t)(watchers.NewFacts([]byte(`{"env": "prod", "role": "web", "n": 8, "empty": "", "net": {"fqdn": "A.example"}}`)))
	for name, c := range map[string]struct{ document, want, err string }{
		"first override only": {
			`{"hierarchy": {"order": ["none", "env:{{ lookup('facts.env') }}", "role:{{ lookup('facts.role') }}"]},
			  "data": {"level": "INFO", "web": {"port": 80, "tls": false}},
			  "overrides": {"env:prod": {"level": "WARN", "web": {"tls": true}}, "role:web": {"level": "TRACE"}}}`,
			`{"level": "WARN", "web": {"tls": true}}`, ""},
		"deep merges all": {
			`{"hierarchy": {"order": ["env:{{ lookup('facts.env') }}", "role:{{ lookup('facts.role') }}"], "merge": "deep"},
			  "data": {"level": "INFO", "packages": ["ca"], "web": {"port": 80, "tls": false}},
			  "overrides": {"env:prod": {"level": "WARN", "web": {"tls": true}}, "role:web": {"packages": ["nginx"], "level": "TRACE"}}}`,
			`{"level": "TRACE", "packages": ["ca", "nginx"], "web": {"port": 80, "tls": true}}`, ""},
		"values": {
			`{"data": {"port": "{{ lookup('facts.n') + 1 }}", "name": "x-{{ lookup('facts.net.fqdn') | lower() }}-{{ facts.n }}",
			  "list": ["{{ facts.role }}"], "absent": "{{ lookup('facts.absent', 'd') }}", "null": null}}`,
			`{"port": 9, "name": "x-a.example-8", "list": ["web"], "absent": "d", "null": null}`, ""},
		"without a hierarchy the override default": {
			`{"data": {"a": 1}, "overrides": {"default": {"a": 2}}}`, `{"a": 2}`, ""},
		"an entry of nothing is passed over": {
			`{"hierarchy": {"order": ["{{ lookup('facts.empty') }}", "x"]}, "data": {"a": 1}, "overrides": {"": {"a": 2}, "x": {"a": 3}}}`, `{"a": 3}`, ""},
		"nothing at all":         {`{}`, `{}`, ""},
		"no list":                {`{"hierarchy": {"order": "x"}}`, "", "hierarchy.order is not a list"},
		"no text":                {`{"hierarchy": {"order": [1]}}`, "", "not a text"},
		"merge":                  {`{"hierarchy": {"order": [], "merge": "wide"}}`, "", `"wide", not first or deep`},
		"expression":             {`{"data": {"a": "{{ 1 + }}"}}`, "", "the expression"},
		"expression in an entry": {`{"hierarchy": {"order": ["x{{ nope( }}"]}}`, "", "the expression"},
		"no clock":               {`{"data": {"a": "{{ now() }}"}}`, "", "the expression"},
		"endless":                {`{"data": {"a": "{{ map(1..1000, map(1..1000, map(1..1000, #))) }}"}}`, "", "memory budget"},
		"not an object":          {`[1]`, "", "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolve(decode([]byte(c.document)), facts)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v does not say %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode([]byte(c.want)), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]any{
		"":                      "",
		"8080":                  "8080",
		"true":                  "true",
		`"quoted"`:              `"quoted"`,
		` {"a": 1} `:            map[string]any{"a": 1},
		`[1, 2.5, 1e3, "x"]`:    []any{1, 2.5, 1000, "x"},
		`{"a": 1} {"b": 2}`:     `{"a": 1} {"b": 2}`,
		`{"a"`:                  `{"a"`,
		`[9007199254740993]`:    []any{9007199254740993},
		`{"brackets": "[[[["}`:  map[string]any{"brackets": "[[[["},
		`{"escaped": "\"[[[["}`: map[string]any{"escaped": `"[[[[`},
		strings.Repeat("[", 65) + strings.Repeat("]", 65): strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		if diff := cmp.Diff(want, decode([]byte(text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// TestEncodeAndDecode holds that structures that are written are read as they were.
func TestEncodeAndDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := map[string]any{}
		for _, key := range rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "keys") {
			v[key] = rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Int(), func(n int) any { return n }),
				rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return []any{b} })).Draw(t, "value")
		}
		raw, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(any(v), decode(raw)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "x", `{"a": [1, {"b": null}]}`, `[1e400]`, `{"a": "\u0000"}`, "[[[[[[[["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v := decode(raw)
		text, err := canonical(v)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", raw, err)
		}
		if _, structured := v.(string); !structured && !json.Valid([]byte(text)) {
			t.Errorf("%q is %q", raw, text)
		}
	})
}
