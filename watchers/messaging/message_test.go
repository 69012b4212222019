package messaging

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine"
)

func TestMessage(t *testing.T) {
	got, err := delivery{
		subject: "node.n1=example.out.hello", reply: "_INBOX.a.b", header: nats.Header{"K": {"first", "second"}, "Empty": {}}, data: []byte(`{"a": [1, 2.5]}`),
	}.read(machine.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"subject": "node.n1=example.out.hello", "tokens": []any{"node", "n1=example", "out", "hello"}, "reply": "_INBOX.a.b",
		"headers": map[string]any{"K": "first"}, "body": map[string]any{"a": []any{1, 2.5}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBody(t *testing.T) {
	for text, want := range map[string]any{
		``: "", `null`: nil, `true`: true, `7`: 7, `-0.5`: -0.5, `1e3`: 1000, `9007199254740993`: 9007199254740993, `1e300`: 1e300, `"text"`: "text",
		` {"a": null} `: map[string]any{"a": nil}, `[]`: []any{}, `hello`: "hello", `{"a": 1`: `{"a": 1`, `1 2`: `1 2`, `{} x`: `{} x`,
		`1e999`: `1e999`, `{"a": [1e999]}`: map[string]any{"a": []any{"1e999"}}, `"[[[\"[["`: `[[["[[`,
		strings.Repeat("[", 60) + strings.Repeat("]", 60): nested(60),
		strings.Repeat("[", 61) + strings.Repeat("]", 61): strings.Repeat("[", 61) + strings.Repeat("]", 61),
		`{"a": 1, "a": 2}`: map[string]any{"a": 2},
	} {
		if got := readBody([]byte(text)); !reflect.DeepEqual(got, want) { // cmp takes time exponential in the depth
			t.Errorf("%s is read as %#v, want %#v", text, got, want)
		}
	}
}

func nested(depth int) any {
	v := []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func TestMessageThatDoesNotFit(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    delivery
		want error
	}{
		{"largest body", delivery{subject: "s", data: []byte(strings.Repeat("x", 900))}, nil},
		{"larger", delivery{subject: "s", data: []byte(strings.Repeat("x", 1001))}, errTooLarge},
		{"larger as JSON", delivery{subject: "s", data: []byte(strings.Repeat("\x01", 300))}, errTooLarge},
		{"headers", delivery{subject: "s", header: nats.Header{"K": {strings.Repeat("x", 1000)}}}, errTooLarge},
		{"headers that are left out", delivery{subject: "s", header: nats.Header{"K": {"v", strings.Repeat("x", 1000)}}}, nil},
		{"binary", delivery{subject: "s", data: []byte{0xff, 0xfe}}, errBinary},
		{"binary in JSON", delivery{subject: "s", data: []byte("\"\xff\"")}, errBinary},
	} {
		if _, err := tt.d.read(1000); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestBoundIsABound: what the quick estimate lets through fits.
func TestBoundIsABound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := delivery{
			subject: rapid.StringMatching(`[a-z<&.]{0,40}`).Draw(r, "subject"), reply: rapid.String().Draw(r, "reply"),
			header: nats.Header(rapid.MapOfN(rapid.String(), rapid.SliceOfN(rapid.String(), 0, 3), 0, 5).Draw(r, "header")),
			data:   []byte(rapid.OneOf(rapid.String(), rapid.Just(`{"a": [1, {"b": "<&>"}]}`)).Draw(r, "data")),
		}
		m, err := d.read(1 << 20)
		if err != nil {
			r.Fatal(err)
		}
		encoded, err := json.Marshal(m)
		if err != nil {
			r.Fatal(err)
		}
		if len(encoded) > d.bound() {
			r.Fatalf("%d bytes as JSON, estimated at most %d: %s", len(encoded), d.bound(), encoded)
		}
	})
}

func TestWriteBody(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, ""}, {"a <text>", "a <text>"}, {7, "7"}, {map[string]any{"a": "<&>"}, `{"a":"<&>"}`}, {[]any{nil, true}, "[null,true]"},
	} {
		if got, err := writeBody(tt.v); err != nil || string(got) != tt.want {
			t.Errorf("%v is written as %q, %v, want %q", tt.v, got, err, tt.want)
		}
	}
	if _, err := writeBody(func() {}); err == nil {
		t.Error("a function is written")
	}
}

// FuzzBody holds that a body never decodes to what a payload cannot hold, and that reading it again gives the same.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,null]}`, `[[["`, `"\u0000\""`, `1e999`, "\xff", `{"a":1}{"b":2}`, strings.Repeat("[", 100)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := readBody(data)
		if n := depthOf(v); n > maxDepth {
			t.Fatalf("nests %d deep", n)
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, text := v.(string); text {
			return // one that holds JSON would be read as that
		}
		if again := readBody(encoded); !reflect.DeepEqual(again, v) {
			t.Fatalf("%#v is read again as %#v", v, again)
		}
	})
}

func depthOf(v any) int {
	n := -1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n = max(n, depthOf(e))
		}
	case []any:
		for _, e := range v {
			n = max(n, depthOf(e))
		}
	default:
		return 0
	}
	return max(n, 0) + 1
}
