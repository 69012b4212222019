package machine

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestIntegersDoNotWrapAround has a counter at its end: the event is refused with what it would come to.
func TestIntegersDoNotWrapAround(t *testing.T) {
	const src = `format: 1
name: counter
version: 1.0.0
initial_state: a
data: {n: {type: integer, default: START}, m: {type: integer, default: 2}}
states: {a: {home: true}}
transitions: [{name: more, from: [a], destination: a, set: {n: "EXPR"}}]
`
	tests := []struct {
		start, expr string
		want        any // nil where it is refused
	}{
		{"9223372036854775807", "data.n + 1", nil}, {"9223372036854775806", "data.n + 1", math.MaxInt}, {"-9223372036854775808", "data.n - 1", nil},
		{"-9223372036854775807", "data.n - 1", math.MinInt}, {"9223372036854775807", "data.n * data.m", nil}, {"-9223372036854775808", "data.n * -1", nil},
		{"4611686018427387903", "data.n * data.m", 9223372036854775806}, {"-3", "data.n * data.m - 1 + 0", -7}, {"5", "data.n - -5", 10}, {"0", "data.n * 7", 0},
	}
	for _, test := range tests {
		text := strings.NewReplacer("START", test.start, "EXPR", test.expr).Replace(src)
		d, list := Load("m.yaml", []byte(text), checkTypes())
		if d == nil {
			t.Fatal(list)
		}
		start := d.Start(Origin{}, time.Unix(0, 0))
		s := Snapshot{}.Apply(&start, "")
		r := d.Step(&s, Event{Name: "more"}, time.Unix(1, 0))
		if test.want == nil {
			if r.Kind != RecordRefused || !strings.Contains(r.Reason, "larger than an integer can be") {
				t.Errorf("%s with %s: %+v", test.expr, test.start, r)
			}
		} else if r.Kind != RecordStay || r.Set["n"] != test.want {
			t.Errorf("%s with %s: %+v, want %v", test.expr, test.start, r, test.want)
		}
	}
}
