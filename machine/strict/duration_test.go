package strict

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const day = 24 * time.Hour

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "+0": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "5m0s": 5 * time.Minute, "1.5h": 90 * time.Minute,
		"1ns": 1, "1us": time.Microsecond, "1\u00b5s": time.Microsecond, "1\u03bcs": time.Microsecond, ".5s": 500 * time.Millisecond, "1.s": time.Second,
		"1d": day, "1w": 7 * day, "1M": 30 * day, "1m": time.Minute, "1y": 365 * day, "1.5d": 36 * time.Hour, "0.5w": 84 * time.Hour, ".5M": 15 * day,
		"1w2d3h": 9*day + 3*time.Hour, "1y1M1w1d1h1m1s": 403*day + time.Hour + time.Minute + time.Second, "1s1s": 2 * time.Second,
		"+1d": day, "292y": 292 * 365 * day, "9223372036854775807ns": math.MaxInt64, "106751d": 106751 * day,
	} {
		got, err := ParseDuration(s)
		if err != nil || got.Std() != want {
			t.Errorf("%q is %v, %v, want %v", s, got, err, want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for s, why := range map[string]string{
		"": "empty", "+": "empty", "-1s": "negative", "-0": "negative", "-": "negative", "10": "no unit", "1.5": "no unit", "1h30": "no unit",
		"s": "not a number", ".s": "not a number", "1..5s": "not a number", "1h m": "not a unit", "1 h": "not a unit", "1h 30m": "not a unit", "1D": "not a unit", "1H": "not a unit",
		"1x": "not a unit", "10s ": "not a unit", " 10s": "not a number", "1h-30m": "not a unit", "++1s": "not a number", "1e3s": "not a unit", "1s+1s": "not a unit",
		"293y": "292 years", "106752d": "292 years", "9223372036854775808ns": "292 years", "292y292y": "292 years",
		"9223372036854775807ns1ns": "292 years", strings.Repeat("9", 400) + "d": "292 years", "00": "no unit", "1\xffs": "not a unit", "1d\x00": "not a unit",
	} {
		got, err := ParseDuration(s)
		if err == nil || got != 0 || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is %v, error %v, want one that says %q", s, got, err, why)
		}
	}
}

func TestDurationRendersAsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Min(0).Draw(t, "nanoseconds"))
		if got, err := ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%s reads as %v, %v", d, got, err)
		}
	})
}

func TestDurationInJSON(t *testing.T) {
	got, err := json.Marshal(map[string]Duration{"a": Duration(26 * time.Hour)})
	if err != nil || string(got) != `{"a":"26h0m0s"}` {
		t.Errorf("JSON is %s, %v", got, err)
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"0", "1w2d3h", "1.5d", "1h30m", "-1s", "+1s", ".5us", "9223372036854775807ns", "1y292y", "10", "1\u00b5s", "1.0000000000000000001h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseDuration(s)
		if got < 0 || err != nil && got != 0 {
			t.Errorf("%q is %v, %v", s, got, err)
		}
		want, stdErr := time.ParseDuration(s)
		if stdErr != nil || want < 0 || strings.HasPrefix(s, "-") {
			return
		}
		if err != nil || got.Std() != want {
			t.Errorf("%q is %v, %v, the standard library says %v", s, got, err, want)
		}
	})
}
