package strict

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	inner := []FieldInfo{
		{Name: "name", GoName: "Name", Type: "string", Required: true},
		{Name: "size", GoName: "Size", Type: "integer", Default: "3"},
	}
	modes := []string{"poll", "watch"}
	want := []FieldInfo{
		{Name: "text", GoName: "Text", Type: "string"},
		{Name: "kind", GoName: "Kind", Type: "string", Enum: modes, Default: "poll"},
		{Name: "flag", GoName: "Flag", Type: "boolean"},
		{Name: "port", GoName: "Port", Type: "integer", Aliases: []string{"port_number", "p"}, Min: "1", Max: "65535"},
		{Name: "small", GoName: "Small", Type: "integer"},
		{Name: "big", GoName: "Big", Type: "integer"},
		{Name: "count", GoName: "Count", Type: "integer", Max: "1000"},
		{Name: "ratio", GoName: "Ratio", Type: "number", Min: "0", Max: "1.5"},
		{Name: "interval", GoName: "Interval", Type: "duration", Default: "10s", Min: "500ms", Max: "1d"},
		{Name: "timeout", GoName: "Timeout", Type: "duration"},
		{Name: "list", GoName: "List", Type: "list of strings"},
		{Name: "modes", GoName: "Modes", Type: "list of strings", Enum: modes},
		{Name: "numbers", GoName: "Numbers", Type: "list of integers", Min: "1"},
		{Name: "labels", GoName: "Labels", Type: "map of strings"},
		{Name: "after", GoName: "After", Type: "map of durations"},
		{Name: "groups", GoName: "Groups", Type: "map of lists of strings"},
		{Name: "maybe", GoName: "Maybe", Type: "boolean"},
		{Name: "preset", GoName: "Preset", Type: "integer", Default: "7"},
		{Name: "nested", GoName: "Nested", Type: "mapping", Fields: inner},
		{Name: "inners", GoName: "Inners", Type: "list of mappings", Fields: inner},
		{Name: "pointer", GoName: "Pointer", Type: "mapping", Fields: inner},
		{Name: "value", GoName: "Value", Type: "any"},
		{Name: "raw", GoName: "Raw", Type: "any"},
		{Name: "rate", GoName: "Rate", Type: "any", Default: "1/s"},
		{Name: "rate_at", GoName: "RateAt", Type: "any"},
		{Name: "rates", GoName: "Rates", Type: "list of any values"},
		{Name: "template", GoName: "Template", Type: "string", Enum: []string{"a", "b"}},
		{Name: "governor", GoName: "Governor", Type: "string"},
	}
	for _, target := range []any{everything{}, &everything{}, (*everything)(nil)} {
		if diff := cmp.Diff(want, Fields(target)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", target, diff)
		}
	}
}

func TestFieldsOfATypeInsideItself(t *testing.T) {
	type step struct {
		Name  string `yaml:"name"`
		Steps []step `yaml:"steps"`
	}
	want := []FieldInfo{{Name: "name", GoName: "Name", Type: "string"}, {Name: "steps", GoName: "Steps", Type: "list of mappings"}}
	if diff := cmp.Diff(want, Fields(step{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var got step
	if list := decode(t, "steps: [{name: a, steps: [{name: b}]}]", &got, Options{}); len(list) > 0 {
		t.Error(list)
	}
	if diff := cmp.Diff(step{Steps: []step{{Name: "a", Steps: []step{{Name: "b"}}}}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
