package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds how deep a value of data or payload may nest.
const maxDepth = 64

// MaxData bounds a machine's data in all, in bytes of JSON (256 KiB). With MaxPayload it keeps a record
// below the length of line that a trace may have.
const MaxData = 256 << 10

var errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

// normalise returns a value as it comes back from its own JSON, so that a live machine and a replayed one
// read the same: nil, bool, int, float64, string, []any or map[string]any, numbers without a fraction
// always being int where they fit. The value itself is not modified; parts of it may be shared.
func normalise(v any) (any, error) { return normal(v, 0) }

func normal(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	switch v := v.(type) {
	case nil, bool, int:
		return v, nil
	case string:
		return validText(v), nil
	case float64:
		return normalFloat(v)
	case map[string]any:
		return normalMap(v, depth)
	case []any:
		return normalList(v, depth)
	case json.Number:
		return normalNumber(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	default:
		return normalOther(reflect.ValueOf(v), depth)
	}
}

// normalFloat makes whole numbers int. The conversion is exact for every whole float64 that an int holds,
// and the one that reading the same digits back would make.
func normalFloat(f float64) (any, error) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, fmt.Errorf("%v is not a JSON number", f)
	case f == math.Trunc(f) && f >= math.MinInt && f < -math.MinInt:
		return int(f), nil
	default:
		return f, nil
	}
}

func normalNumber(n json.Number) (any, error) {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("%s is not a number that fits", n)
	}
	return normalFloat(f)
}

func normalMap(m map[string]any, depth int) (any, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		n, err := normal(v, depth+1)
		if err != nil {
			return nil, within(k, err)
		}
		out[validText(k)] = n
	}
	return out, nil
}

func normalList(l []any, depth int) (any, error) {
	if l == nil {
		return nil, nil
	}
	out := make([]any, len(l))
	for i, v := range l {
		n, err := normal(v, depth+1)
		if err != nil {
			return nil, within(strconv.Itoa(i), err)
		}
		out[i] = n
	}
	return out, nil
}

// normalOther takes the other Go types that have one obvious JSON shape: sized numbers, typed slices and
// maps with string keys, as expressions and callers produce them.
func normalOther(v reflect.Value, depth int) (any, error) {
	switch v.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if v.Type() == reflect.TypeFor[time.Duration]() {
			return nil, errors.New("a duration is not a JSON value")
		}
		return normalNumber(json.Number(strconv.FormatInt(v.Int(), 10)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return normalNumber(json.Number(strconv.FormatUint(v.Uint(), 10)))
	case reflect.Float32:
		return normalFloat(v.Float())
	case reflect.Slice:
		return normalSlice(v, depth)
	case reflect.Map:
		return normalKeyed(v, depth)
	default:
		return nil, fmt.Errorf("a value of Go type %s is not a JSON value", v.Type())
	}
}

func normalSlice(v reflect.Value, depth int) (any, error) {
	if v.IsNil() {
		return nil, nil
	}
	list := make([]any, v.Len())
	for i := range list {
		list[i] = v.Index(i).Interface()
	}
	return normalList(list, depth)
}

func normalKeyed(v reflect.Value, depth int) (any, error) {
	if v.IsNil() {
		return nil, nil
	}
	out := make(map[string]any, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, ok := it.Key().Interface().(string)
		if !ok {
			return nil, errors.New("the keys of an object must be strings")
		}
		out[key] = it.Value().Interface()
	}
	return normalMap(out, depth)
}

func within(key string, err error) error { return fmt.Errorf("%s: %w", key, err) }

// validText replaces what is no UTF-8, as encoding/json would, so that text survives being stored.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// maxText bounds names and messages in a record, in bytes.
const maxText = 1024

// shortText makes a name or message from outside fit for a record. Doing it twice changes nothing.
func shortText(s string) string {
	s = validText(s)
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// normalObject is normalise for the top level of data and payloads. An empty object is nil, as it is
// after being stored.
func normalObject(m map[string]any) (map[string]any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	v, err := normalMap(m, 0)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

// decodeObject reads a JSON object into normal values.
func decodeObject(src []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	return normalObject(m)
}

// tooLarge reports whether a normal value takes more than limit bytes of JSON. Small values, which is
// nearly all of them, are decided without encoding them.
func tooLarge(v any, limit int) bool {
	if sizeBound(v) <= limit {
		return false
	}
	b, err := json.Marshal(v)
	return err != nil || len(b) > limit
}

// sizeBound is at least the length of a normal value's JSON: an escaped byte takes six, a number 25.
func sizeBound(v any) int {
	switch v := v.(type) {
	case string:
		return 6*len(v) + 2
	case map[string]any:
		n := 2
		for k, e := range v {
			n += 6*len(k) + 4 + sizeBound(e)
		}
		return n
	case []any:
		n := 2
		for _, e := range v {
			n += 1 + sizeBound(e)
		}
		return n
	default:
		return 25
	}
}

// convert makes a normal value one of a declared type. Text that reads as the number or truth that is
// asked for becomes it, because key-value stores and commands only have text.
func (t ValueType) convert(v any) (any, bool) {
	if text, ok := v.(string); ok && (t == Integer || t == Number || t == Boolean) {
		v = parseScalar(text)
	}
	return v, t.admits(v)
}

func parseScalar(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	if v, err := normalNumber(json.Number(text)); err == nil {
		return v
	}
	return text
}

// admits reports whether a normal value is of the type.
func (t ValueType) admits(v any) bool {
	switch v.(type) {
	case string:
		return t == String || t == Any
	case int:
		return t == Integer || t == Number || t == Any
	case float64:
		return t == Number || t == Any
	case bool:
		return t == Boolean || t == Any
	case []any:
		return t == Array || t == Any
	case map[string]any:
		return t == Object || t == Any
	default:
		return t == Any
	}
}

// describe names a value for a message without repeating what may be long or secret.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case int:
		return "an integer"
	case float64:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	default:
		return "no JSON value"
	}
}

// convertChanges brings changes of data to the declared types. The first key, by name, that cannot be is named.
func (d *Definition) convertChanges(changes map[string]any) (map[string]any, string) {
	if len(d.types) == 0 || len(changes) == 0 {
		return changes, ""
	}
	out := maps.Clone(changes)
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		t, declared := d.types[key]
		if !declared || changes[key] == nil {
			continue
		}
		v, ok := t.convert(changes[key])
		if !ok {
			return nil, fmt.Sprintf("data key %q is declared %s and cannot hold %s", key, t, describe(changes[key]))
		}
		out[key] = v
	}
	return out, ""
}

// Holds reports whether a machine's data is already as changes would make it, so that they are not worth a record.
func (d *Definition) Holds(s *Snapshot, changes map[string]any) bool {
	normal, err := normalObject(changes)
	if err != nil {
		return false
	}
	converted, reason := d.convertChanges(normal)
	if reason != "" {
		return false
	}
	for key, v := range converted {
		if !reflect.DeepEqual(s.Data[key], v) {
			return false
		}
	}
	return true
}

// withChanges returns data after changes, as a new map; nil values delete. It is nil when nothing is left.
func withChanges(data, changes map[string]any) map[string]any {
	if len(changes) == 0 {
		return data
	}
	out := make(map[string]any, len(data)+len(changes))
	maps.Copy(out, data)
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
