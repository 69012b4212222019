package strict

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Duration is a length of time written as Go's ("1h30m", "500ms") or with the larger units
// d (24 h), w (7 d), M (30 d) and y (365 d), in any combination, as Choria reads them.
type Duration time.Duration

// errTooLong is what both the standard library's limit and ours come to for an operator.
var errTooLong = errors.New("longer than 292 years")

// ParseDuration reads a Duration. Negative durations and numbers without a unit (but "0") are errors.
// What the standard library accepts and is not negative gives the same value here.
func ParseDuration(s string) (Duration, error) {
	total, err := sumDuration(s)
	if err != nil {
		return 0, fmt.Errorf("read duration %q: %w", s, err)
	}
	return Duration(total), nil
}

func sumDuration(s string) (time.Duration, error) {
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("it is negative")
	}
	s = strings.TrimPrefix(s, "+")
	if s == "0" {
		return 0, nil
	}
	if s == "" {
		return 0, errors.New("it is empty")
	}
	var total time.Duration
	for s != "" {
		number, unit, rest := cutSegment(s)
		part, err := segment(number, unit)
		if err != nil {
			return 0, err
		}
		if part > math.MaxInt64-total {
			return 0, errTooLong
		}
		total, s = total+part, rest
	}
	return total, nil
}

// cutSegment splits "1.5d2h" into "1.5", "d" and "2h".
func cutSegment(s string) (number, unit, rest string) {
	const digits = "0123456789."
	afterNumber := strings.TrimLeft(s, digits)
	number = s[:len(s)-len(afterNumber)]
	end := strings.IndexAny(afterNumber, digits)
	if end < 0 {
		end = len(afterNumber)
	}
	return number, afterNumber[:end], afterNumber[end:]
}

// segment leaves the arithmetic of fractions to the standard library, so that both agree to the nanosecond.
func segment(number, unit string) (time.Duration, error) {
	if strings.Trim(number, ".") == "" || strings.Count(number, ".") > 1 {
		return 0, fmt.Errorf("%q is not a number followed by a unit", number+unit)
	}
	hours := unitHours(unit)
	switch {
	case unit == "":
		return 0, fmt.Errorf("%q has no unit", number)
	case hours > 0:
		unit = "h"
	default:
		hours = 1
	}
	if !knownUnit(unit) {
		return 0, fmt.Errorf("%q is not a unit", unit)
	}
	part, err := time.ParseDuration(number + unit)
	if err != nil || part > math.MaxInt64/hours {
		return 0, errTooLong
	}
	return part * hours, nil
}

// unitHours returns the length of a unit that only Choria knows, 0 for all others.
func unitHours(unit string) time.Duration {
	switch unit {
	case "d":
		return 24
	case "w":
		return 7 * 24
	case "M":
		return 30 * 24
	case "y":
		return 365 * 24
	default:
		return 0
	}
}

func knownUnit(unit string) bool {
	switch unit {
	case "ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "m", "h":
		return true
	default:
		return false
	}
}

// Std returns it as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String renders the standard library's notation.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText makes it the string form in JSON.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
