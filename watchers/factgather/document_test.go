package factgather

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	object := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	tests := map[string]struct {
		text string
		want map[string]any
		fail string // part of the error
	}{
		"json":             {text: `{"a": {"b": [1, "x", null]}}`, want: object("a", object("b", []any{json.Number("1"), "x", nil}))},
		"large integer":    {text: `{"n": 12345678901234567890}`, want: object("n", json.Number("12345678901234567890"))},
		"yaml":             {text: "---\na: 1\nb: [on, 'x']\n", want: object("a", 1, "b", []any{"on", "x"})},
		"yaml flow":        {text: "{a: x}", want: object("a", "x")},
		"lines":            {text: "# rack\nrack=12\n\nsite = ams = 1 \r\n", want: object("rack", "12", "site", "ams = 1")},
		"url in a line":    {text: "url=http://example.net: 80\n", want: object("url", "http://example.net: 80")},
		"empty":            {text: " \n", want: object()},
		"truncated json":   {text: `{"a": `, fail: "JSON"},
		"two json objects": {text: `{"a": 1} {"b": 2}`, fail: "one object"},
		"list":             {text: "- a\n- b\n", fail: "object of facts"},
		"prose":            {text: "hello there\n", fail: "object of facts"},
		"broken yaml":      {text: "a: [\n", fail: "YAML"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse("site", []byte(tt.text))
			if tt.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fail) {
					t.Fatalf("error = %v, want one about %q", err, tt.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("parse (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":1}}`, "a: b\n", "a=b\nc=d\n", "{a: .nan}", "", "[", "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		object, err := parse("fuzz", text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(newDenier(nil).object("", object)); err != nil {
			t.Errorf("what was parsed cannot be written: %v", err)
		}
	})
}

func TestMerge(t *testing.T) {
	into := map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": "old", "c": map[string]any{"z": 1}}
	merge(into, map[string]any{"a": map[string]any{"y": 3}, "b": "new", "c": "flat"})
	merge(into, wrap("site.rack", map[string]any{"n": 7}))
	want := map[string]any{
		"a": map[string]any{"x": 1, "y": 3}, "b": "new", "c": "flat",
		"site": map[string]any{"rack": map[string]any{"n": 7}},
	}
	if diff := cmp.Diff(want, into); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

func TestDenyRemovesNestedSecrets(t *testing.T) {
	object := map[string]any{
		"db":       map[string]any{"host": "db1", "Root_Password": "hunter2", "pool": map[string]any{"api-TOKEN": "x", "size": 4}},
		"users":    []any{map[string]any{"name": "ann", "secret": "s"}},
		"rack":     map[string]any{"asset": "a1", "row": 3},
		"ssl":      map[string]any{"private_key_path": "/k", "cert": "/c"},
		"billing":  map[string]any{"asset": "b1"},
		"infinite": math.Inf(1),
	}
	d := newDenier([]string{"rack.asset", "ROW"})
	want := map[string]any{
		"db":       map[string]any{"host": "db1", "pool": map[string]any{"size": 4}},
		"users":    []any{map[string]any{"name": "ann"}},
		"rack":     map[string]any{},
		"ssl":      map[string]any{"cert": "/c"},
		"billing":  map[string]any{"asset": "b1"},
		"infinite": "+Inf",
	}
	if diff := cmp.Diff(want, d.object("", object)); diff != "" {
		t.Errorf("left over (-want +got):\n%s", diff)
	}
	text := d.summary()
	if !strings.HasPrefix(text, "6 denied") || !strings.Contains(text, "db.Root_Password") || !strings.Contains(text, "...") {
		t.Errorf("summary = %q", text)
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the summary holds a value")
	}
	if _, ok := object["db"].(map[string]any)["Root_Password"]; !ok {
		t.Error("the source's own facts were changed")
	}
}

func TestDenyBelowAKey(t *testing.T) {
	d := newDenier([]string{"site.*.serial"})
	d.object("", wrap("site.rack", map[string]any{"serial": "1"}))
	if !slices.Equal(d.removed, []string{"site.rack.serial"}) {
		t.Errorf("removed %v", d.removed)
	}
}

func TestStableHash(t *testing.T) {
	document := func(used int, name string) map[string]any {
		return map[string]any{
			"os":            map[string]any{"name": name},
			"system_uptime": map[string]any{"seconds": used},
			"memory":        map[string]any{"system": map[string]any{"used_bytes": used, "total_bytes": 9}},
			"mountpoints":   map[string]any{"/": map[string]any{"used_bytes": used, "device": "sda"}},
			"facter":        map[string]any{"load_averages": used, "role": "db"},
			"statecraft":    map[string]any{"sources": map[string]any{"x": used}},
		}
	}
	hash := func(d map[string]any) string {
		text, err := stableHash(d, volatileBelow([]string{"facter"}))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if hash(document(1, "debian")) != hash(document(2, "debian")) {
		t.Error("volatile facts change the hash")
	}
	if hash(document(1, "debian")) == hash(document(1, "alpine")) {
		t.Error("a stable fact does not change the hash")
	}
	for _, edit := range []func(map[string]any){
		func(d map[string]any) { d["memory"].(map[string]any)["system"].(map[string]any)["total_bytes"] = 10 },
		func(d map[string]any) { d["mountpoints"].(map[string]any)["/"].(map[string]any)["device"] = "sdb" },
		func(d map[string]any) { d["facter"].(map[string]any)["role"] = "web" },
	} {
		changed := document(1, "debian")
		edit(changed)
		if hash(changed) == hash(document(1, "debian")) {
			t.Errorf("%v hashes as before", changed)
		}
	}
}
