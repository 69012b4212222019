package strict

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// The plain scalars of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).
var (
	decimalForm = regexp.MustCompile(`^[-+]?[0-9]+$`)
	octalForm   = regexp.MustCompile(`^0o[0-7]+$`)
	hexForm     = regexp.MustCompile(`^0x[0-9a-fA-F]+$`)
	floatForm   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

// Any returns the value as JSON would hold it: nil, bool, int, float64, string, []any, map[string]any,
// reading plain scalars by YAML 1.2's core schema (so on, off, yes and no are strings). Whole
// numbers beyond an int are float64, as JSON's readers have them. Numbers that a float64 cannot hold, infinities and "not a number" stay the text that was written.
func (n *Node) Any() any {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case Mapping:
		m := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			m[f.Key] = f.Value.Any()
		}
		return m
	case Sequence:
		items := make([]any, len(n.Items))
		for i, item := range n.Items {
			items[i] = item.Any()
		}
		return items
	case Scalar:
		return n.scalar()
	default:
		return nil
	}
}

func (n *Node) scalar() any {
	if n.Quoted {
		return n.Value
	}
	if b, ok := readBool(n.Value); ok {
		return b
	}
	if !numeric(n.Value) {
		return n.Value
	}
	if isInt(n.Value) {
		if i, ok := readInt(n.Value); ok {
			return i
		}
	}
	if f, ok := readFloat(n.Value); ok {
		return f
	}
	return n.Value
}

// numeric spares most words the regular expressions.
func numeric(s string) bool { return s != "" && strings.IndexByte("+-.0123456789", s[0]) >= 0 }

func isNull(s string) bool {
	return s == "" || s == "~" || s == "null" || s == "Null" || s == "NULL"
}

// True reports whether a scalar is the truth, however that is written.
func (n *Node) True() bool {
	if n == nil || n.Kind != Scalar {
		return false
	}
	b, ok := readBool(n.Value)
	return ok && b
}

func readBool(s string) (value, ok bool) {
	switch s {
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	default:
		return false, false
	}
}

func isInt(s string) bool {
	return decimalForm.MatchString(s) || octalForm.MatchString(s) || hexForm.MatchString(s)
}

// intBase returns the digits of an integer that isInt admitted, with their base.
func intBase(s string) (digits string, base int) {
	switch {
	case strings.HasPrefix(s, "0o"):
		return s[2:], 8
	case strings.HasPrefix(s, "0x"):
		return s[2:], 16
	default:
		return s, 10
	}
}

func readInt(s string) (int, bool) {
	digits, base := intBase(s)
	i, err := strconv.ParseInt(digits, base, strconv.IntSize)
	return int(i), err == nil
}

func readFloat(s string) (float64, bool) {
	if !floatForm.MatchString(s) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}
