package machine

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNormalise(t *testing.T) {
	for _, c := range []struct{ in, want any }{
		{1.0, 1}, {math.Copysign(0, -1), 0}, {2.5, 2.5}, {1e18, int(1e18)}, {math.MaxInt, math.MaxInt}, {1e19, 1e19}, {uint64(math.MaxUint64), float64(math.MaxUint64)},
		{-math.Exp2(63), math.MinInt}, {math.Exp2(63), math.Exp2(63)},
		{int8(3), 3}, {float32(1.5), 1.5}, {json.Number("7"), 7}, {json.Number("7.0"), 7}, {json.Number("1e3"), 1000},
		{"a\xffb", "a\uFFFDb"}, {[]any(nil), nil}, {map[string]any(nil), nil}, {[]string{"x"}, []any{"x"}},
		{map[string]int{"a": 1}, map[string]any{"a": 1}}, {[]any{1.0, map[string]any{"k": 2.0}}, []any{1, map[string]any{"k": 2}}},
		{time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("x", 3600)), "2026-01-02T03:04:05Z"},
		{map[any][]any{"a": {1}}, map[string]any{"a": []any{1}}},
	} {
		got, err := normalise(c.in)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%#v: %v (-want +got):\n%s", c.in, err, diff)
		}
	}
}

func TestNormaliseRefuses(t *testing.T) {
	deep := any(1)
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	self := map[string]any{}
	self["self"] = self
	for name, v := range map[string]any{
		"NaN": math.NaN(), "infinity": math.Inf(-1), "function": func() {}, "struct": struct{ A int }{1}, "pointer": new(int),
		"duration": time.Second, "depth": deep, "cycle": self, "keys": map[any]any{1: 2}, "number": json.Number("1e999"), "inside": []any{[]any{math.NaN()}},
	} {
		if got, err := normalise(v); err == nil {
			t.Errorf("%s became %#v", name, got)
		}
	}
}

// TestNormalSurvivesJSON is why values are normal: what comes back from a record is what went in.
func TestNormalSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v, err := normalise(drawValue(rt))
		if err != nil {
			return
		}
		b, err := json.Marshal(map[string]any{"v": v})
		if err != nil {
			rt.Fatal(err)
		}
		if len(b) > sizeBound(map[string]any{"v": v}) {
			rt.Fatalf("%s is longer than its bound", b)
		}
		back, err := decodeObject(b)
		if diff := cmp.Diff(v, back["v"]); err != nil || diff != "" {
			rt.Fatalf("%v:\n%s", err, diff)
		}
	})
}

func TestConvert(t *testing.T) {
	for _, c := range []struct {
		to   ValueType
		in   any
		want any
		ok   bool
	}{
		{Integer, "7", 7, true}, {Integer, "7.5", 7.5, false}, {Integer, "x", "x", false}, {Integer, "NaN", "NaN", false}, {Integer, true, true, false},
		{Number, "7.5", 7.5, true}, {Number, 7, 7, true}, {Boolean, "true", true, true}, {Boolean, "1", 1, false},
		{String, "7", "7", true}, {String, 7, 7, false}, {Array, []any{1}, []any{1}, true}, {Object, []any{1}, []any{1}, false},
		{Object, map[string]any{}, map[string]any{}, true}, {Any, 7, 7, true}, {Any, "7", "7", true},
	} {
		got, ok := c.to.convert(c.in)
		if ok != c.ok || cmp.Diff(c.want, got) != "" {
			t.Errorf("%#v as %s: %#v, %t, want %#v, %t", c.in, c.to, got, ok, c.want, c.ok)
		}
	}
}

func TestShortText(t *testing.T) {
	long := strings.Repeat("é", maxText)
	got := shortText("x" + long)
	if len(got) < maxText-1 || len(got) > maxText || !strings.HasPrefix("x"+long, got) || shortText(got) != got {
		t.Errorf("%d bytes", len(got))
	}
	if shortText("ok") != "ok" {
		t.Error("a short text changed")
	}
}

func TestDataIsBounded(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	half := strings.Repeat("x", MaxData/2)
	if r := l.step(Event{Data: map[string]any{"a": half}}); r.Kind != RecordStay {
		t.Fatalf("half of what fits: %s", r.Reason)
	}
	if r := l.step(Event{Data: map[string]any{"b": half}}); r.Kind != RecordRefused || !strings.Contains(r.Reason, "the data would take more than") {
		t.Errorf("more than fits in all: %s %s", r.Kind, r.Reason)
	}
	if r := l.step(Event{Data: map[string]any{"c": half + half}}); r.Kind != RecordRefused || r.Input != nil {
		t.Errorf("more than fits at once: %s %s", r.Kind, r.Reason)
	}
	if len(l.s.Data) != 2 {
		t.Errorf("%d keys of data", len(l.s.Data))
	}
}

func TestDecodeRecordIsStrict(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field": `{"seq":1,"x":2}`, "two values": `{"seq":1}{}`, "cut": `{"seq":1`, "type": `{"seq":"1"}`, "number": `{"seq":1,"set":{"n":1e999}}`,
	} {
		if r, err := DecodeRecord([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
