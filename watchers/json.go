package watchers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ReadJSON decodes one JSON value as machine data has it: a number is an int where one holds it and it has no fraction, else a float64. A
// number beyond that, or written with more digits than an int has, such as the id of a pool or a serial number, is the text that it was: no
// digit is lost. It is an error where the text is anything else, or where brackets nest deeper than deepest.
// That is counted before anything is decoded.
func ReadJSON(text []byte, deepest int) (any, error) {
	if jsonDepth(text) > deepest {
		return nil, fmt.Errorf("reading JSON: nested deeper than %d levels", deepest)
	}
	var v any
	if json.Unmarshal(text, &v) == nil {
		if whole, ok := wholeNumbers(v); ok {
			return whole, nil
		}
	}
	return readExactly(text)
}

// maxExact is the number up to which every whole number is a float64 of its own.
const maxExact = 1 << 53

// wholeNumbers makes float64 without a fraction int, in place. It gives up at a number that the decoder may have rounded.
func wholeNumbers(v any) (any, bool) {
	var ok bool
	switch v := v.(type) {
	case float64:
		if v != math.Trunc(v) {
			return v, true
		}
		return int(v), math.Abs(v) < maxExact
	case map[string]any:
		for key, inner := range v {
			if v[key], ok = wholeNumbers(inner); !ok {
				return nil, false
			}
		}
	case []any:
		for i, inner := range v {
			if v[i], ok = wholeNumbers(inner); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// readExactly decodes numbers as they are written, which takes twice as long.
func readExactly(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading JSON: something follows the value")
	}
	return plainNumbers(v), nil
}

// plainNumbers replaces json.Number in place.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return plainNumber(v)
	case map[string]any:
		for key, inner := range v {
			v[key] = plainNumbers(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = plainNumbers(inner)
		}
	}
	return v
}

func plainNumber(n json.Number) any {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i
	}
	f, err := n.Float64()
	switch {
	case err != nil || strings.Trim(n.String(), "-0123456789") == "":
		return n.String()
	case f == math.Trunc(f) && f >= math.MinInt && f < -math.MinInt:
		return int(f)
	default:
		return f
	}
}

// jsonDepth counts how deep brackets nest outside of texts.
func jsonDepth(text []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
