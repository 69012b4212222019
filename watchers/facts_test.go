package watchers

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustFacts(t testing.TB, doc string) *Facts {
	t.Helper()
	f, err := NewFacts([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNewFactsRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	for _, doc := range []string{"", " ", "null", "[]", `"x"`, "{", `{"a":1} {}`, "{'a':1}", deep, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}"} {
		if f, err := NewFacts([]byte(doc)); err == nil || f != nil {
			t.Errorf("%.40q is taken for facts", doc)
		}
	}
	if _, err := NewFacts([]byte(" \n{\"braces\": \"" + strings.Repeat(`{[\"`, 100) + "\"}")); err != nil {
		t.Errorf("braces in a string: %v", err)
	}
}

func TestFactsGet(t *testing.T) {
	f := mustFacts(t, `{"os":{"name":"debian","major":12,"load":0.5},"big":1e300,"long":12345678901234567890,"far":1e400,"whole":3.0,
		"list":[{"n":1},{"n":2}],"nothing":null,"yes":true}`)
	tests := []struct {
		path string
		want any
		ok   bool
	}{
		{"os.name", "debian", true},
		{"os.major", 12, true},
		{"os.load", 0.5, true},
		{"whole", 3, true},
		{"big", 1e300, true},
		{"long", "12345678901234567890", true},
		{"far", "1e400", true},
		{"list.#", 2, true},
		{"list.#.n", []any{1, 2}, true},
		{"list.1", map[string]any{"n": 2}, true},
		{"nothing", nil, true},
		{"yes", true, true},
		{"os.nome", nil, false},
		{"", nil, false},
		{"os.name.x", nil, false},
	}
	for _, tt := range tests {
		got, ok := f.Get(tt.path)
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("%s: %t (-want +got):\n%s", tt.path, ok, diff)
		}
	}
}

func TestNoFacts(t *testing.T) {
	for _, f := range []*Facts{nil, {}} {
		if v, ok := f.Get("os"); ok || v != nil || string(f.JSON()) != "{}" || len(f.Map()) != 0 {
			t.Errorf("empty facts hold something: %v, %s, %v", v, f.JSON(), f.Map())
		}
	}
}

func TestFactsMapIsDecodedOnce(t *testing.T) {
	f := mustFacts(t, `{"a":{"b":1}}`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { f.Map() })
	}
	all.Wait()
	f.Map()["mark"] = true // against the rules, to see that it is one map
	want := map[string]any{"a": map[string]any{"b": 1}, "mark": true}
	if diff := cmp.Diff(want, f.Map()); diff != "" {
		t.Errorf("map (-want +got):\n%s", diff)
	}
}

// TestFactsMapAgreesWithGet draws documents and holds the two views against each other.
func TestFactsMapAgreesWithGet(t *testing.T) {
	key := rapid.StringMatching(`[a-z]{1,4}`)
	scalar := rapid.OneOf(rapid.Int().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny())
	rapid.Check(t, func(r *rapid.T) {
		doc := map[string]map[string]any{}
		for range rapid.IntRange(0, 4).Draw(r, "objects") {
			doc[key.Draw(r, "key")] = rapid.MapOf(key, scalar).Draw(r, "object")
		}
		raw, err := json.Marshal(doc)
		if err != nil {
			r.Fatal(err)
		}
		f := mustFacts(t, string(raw))
		for outer, object := range doc {
			for inner := range object {
				got, ok := f.Get(outer + "." + inner)
				want := f.Map()[outer].(map[string]any)[inner]
				if diff := cmp.Diff(want, got); !ok || diff != "" {
					r.Fatalf("%s.%s: %t (-map +get):\n%s", outer, inner, ok, diff)
				}
			}
		}
	})
}
