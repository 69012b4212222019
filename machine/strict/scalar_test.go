package strict

import (
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCoreSchema(t *testing.T) {
	for _, tc := range []struct {
		src  string
		want any
	}{
		{"~", nil}, {"null", nil}, {"Null", nil}, {"NULL", nil}, {"", nil}, {"nULL", "nULL"}, {`"null"`, "null"}, {"''", ""},
		{"true", true}, {"True", true}, {"TRUE", true}, {"false", false}, {"False", false}, {"FALSE", false}, {"tRUE", "tRUE"}, {`"true"`, "true"},
		{"on", "on"}, {"off", "off"}, {"yes", "yes"}, {"no", "no"}, {"y", "y"}, {"N", "N"},
		{"0", 0}, {"-0", 0}, {"+12", 12}, {"-12", -12}, {"0644", 644}, {"0o644", 420}, {"0x1F", 31}, {"0xg", "0xg"}, {"-0x1", "-0x1"},
		{"0b1", "0b1"}, {"1_000", "1_000"}, {"1:30", "1:30"}, {"2026-01-02", "2026-01-02"}, {`"8080"`, "8080"}, {"'8080'", "8080"}, {"|\n  8080", "8080"},
		{"1.5", 1.5}, {"-1.5e3", -1500.0}, {".5", .5}, {"5.", 5.0}, {"1e3", 1000.0}, {"+.5e-1", .05}, {"1.0.0", "1.0.0"}, {".", "."}, {"e3", "e3"},
		{".inf", ".inf"}, {"-.inf", "-.inf"}, {".nan", ".nan"}, {"inf", "inf"}, {"NaN", "NaN"}, {"1e999", "1e999"},
		{strconv.Itoa(math.MaxInt), math.MaxInt}, {strconv.Itoa(math.MinInt), math.MinInt},
		{"9223372036854775808", float64(1 << 63)}, {"0xFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFF"},
	} {
		src := "a: " + tc.src
		n, list := Parse("f.yaml", []byte(src))
		if err := list.Err(); err != nil {
			t.Errorf("%q: %v", src, err)
		}
		if diff := cmp.Diff(map[string]any{"a": tc.want}, n.Any()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", src, diff)
		}
	}
	if got := (*Node)(nil).Any(); got != nil {
		t.Errorf("no node is %v", got)
	}
}
