package watchers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNumbersOfAnOutput has what a command prints keep its digits, or say which number cannot be kept: an event that carries it would be
// refused at each look.
func TestNumbersOfAnOutput(t *testing.T) {
	got, err := decodeKeys([]byte(`{"guid": 13342343465384673535, "list": [1, {"n": -9223372036854775809}], "share": 0.5, "far": 1e300}`))
	want := map[string]any{"guid": "13342343465384673535", "list": []any{1, map[string]any{"n": "-9223372036854775809"}}, "share": 0.5, "far": 1e300}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{`{"size": 1e400}`, `{"size": [{"in": 1e400}]}`} {
		if _, err := decodeKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), `"size"`) || !strings.Contains(err.Error(), "1e400") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
