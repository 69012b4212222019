package strict

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// scalar fills a single value and holds it against the rules of its key.
func (d *decoder) scalar(n *Node, v reflect.Value, key *FieldInfo) {
	switch {
	case isDuration(v.Type()):
		d.duration(n, v, key)
	case v.Kind() == reflect.String:
		d.text(n, v, key)
	case v.Kind() == reflect.Bool:
		d.boolean(n, v, key)
	case v.CanFloat():
		d.float(n, v, key)
	case v.CanInt():
		d.integer(n, v, key)
	case v.CanUint():
		d.unsigned(n, v, key)
	default:
		panic("strict: cannot decode into " + v.Type().String())
	}
}

func (d *decoder) text(n *Node, v reflect.Value, key *FieldInfo) {
	v.SetString(n.Value)
	if len(key.Enum) == 0 || slices.Contains(key.Enum, n.Value) {
		return
	}
	allowed := strings.Join(key.Enum, ", ")
	hint := "write one of " + allowed
	if near := Nearest(n.Value, key.Enum); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.fail(CodeEnum, n.Pos, hint, "%s: %q is not one of %s", key.Name, brief(n.Value), allowed)
}

func (d *decoder) boolean(n *Node, v reflect.Value, key *FieldInfo) {
	b, ok := readBool(n.Value)
	if !ok {
		d.notA("boolean", "write true or false", n, key)
	}
	v.SetBool(b)
}

func (d *decoder) notA(word, hint string, n *Node, key *FieldInfo) {
	d.fail(CodeScalar, n.Pos, hint, "%s: %q is not %s", key.Name, brief(n.Value), article(word))
}

func (d *decoder) duration(n *Node, v reflect.Value, key *FieldInfo) {
	value, err := ParseDuration(n.Value)
	if err != nil {
		hint := "write it as 30s, 5m, 1h30m, 2d or 1w"
		if decimalForm.MatchString(n.Value) && n.Value[0] != '-' {
			hint = fmt.Sprintf("write %ss if seconds are meant", brief(n.Value))
		}
		d.fail(CodeDuration, n.Pos, hint, "%s: %q is not a duration: %v", key.Name, brief(n.Value), errors.Unwrap(err))
		return
	}
	v.SetInt(int64(value))
	bounds(d, n, key, value, ParseDuration)
}

func (d *decoder) float(n *Node, v reflect.Value, key *FieldInfo) {
	f, ok := readFloat(n.Value)
	if !ok {
		d.notA("number", "write a number such as 0.5", n, key)
		return
	}
	v.SetFloat(f)
	bounds(d, n, key, f, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

func (d *decoder) integer(n *Node, v reflect.Value, key *FieldInfo) {
	digits, base, ok := d.digits(n, key)
	if !ok {
		return
	}
	i, err := strconv.ParseInt(digits, base, v.Type().Bits())
	if err != nil {
		half := uint64(1) << (v.Type().Bits() - 1)
		d.outOfRange(n, key, fmt.Sprintf("-%d", half), half-1)
		return
	}
	v.SetInt(i)
	bounds(d, n, key, i, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

func (d *decoder) unsigned(n *Node, v reflect.Value, key *FieldInfo) {
	digits, base, ok := d.digits(n, key)
	if !ok {
		return
	}
	u, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), base, v.Type().Bits())
	if err != nil {
		d.outOfRange(n, key, "0", math.MaxUint64>>(64-v.Type().Bits()))
		return
	}
	v.SetUint(u)
	bounds(d, n, key, u, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
}

func (d *decoder) outOfRange(n *Node, key *FieldInfo, least string, most uint64) {
	d.fail(CodeRange, n.Pos, fmt.Sprintf("write a number from %s to %d", least, most),
		"%s: %s is out of range", key.Name, brief(n.Value))
}

// digits checks that a value is an integer. A leading zero means ten to YAML 1.2, eight to YAML 1.1 and
// to much of what people copy from, so a typed integer refuses it.
func (d *decoder) digits(n *Node, key *FieldInfo) (digits string, base int, ok bool) {
	if !isInt(n.Value) {
		d.notA("integer", "write a whole number such as 10", n, key)
		return "", 0, false
	}
	digits, base = intBase(n.Value)
	bare := strings.TrimLeft(digits, "+-")
	if base == 10 && len(bare) > 1 && bare[0] == '0' {
		d.notA("integer", "write it without the leading zero, or with 0o before it if it is octal", n, key)
		return "", 0, false
	}
	return digits, base, true
}

type bounded interface {
	Duration | int64 | uint64 | float64
}

// bounds holds a value against min and max, which are written as the value would be.
func bounds[T bounded](d *decoder, n *Node, key *FieldInfo, value T, read func(string) (T, error)) {
	limit := func(text string) T {
		bound, err := read(text)
		if err != nil {
			panic("strict: bound of " + key.GoName + ": " + err.Error())
		}
		return bound
	}
	if key.Min != "" && value < limit(key.Min) {
		d.fail(CodeRange, n.Pos, fmt.Sprintf("write %s or more", key.Min),
			"%s: %s is below the minimum of %s", key.Name, brief(n.Value), key.Min)
	}
	if key.Max != "" && value > limit(key.Max) {
		d.fail(CodeRange, n.Pos, fmt.Sprintf("write %s or less", key.Max),
			"%s: %s is above the maximum of %s", key.Name, brief(n.Value), key.Max)
	}
}
