package messaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxDepth is how deep a body may nest, so that it still fits into a payload, which has a limit of its own.
const maxDepth = 60

// readBody gives the decoded JSON value of a body. What is not JSON, nests deeper than maxDepth or holds a number that does not fit
// is the text as it came.
func readBody(data []byte) any {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if depth(data) > maxDepth || dec.Decode(&v) != nil {
		return string(data)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return string(data)
	}
	v, ok := numbers(v)
	if !ok {
		return string(data)
	}
	return v
}

// depth counts how deep brackets nest outside of texts, before anything is decoded.
func depth(data []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// numbers makes every number an int where it is whole, else a float64, in place.
func numbers(v any) (any, bool) {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case map[string]any:
		for key, e := range v {
			var ok bool
			if v[key], ok = numbers(e); !ok {
				return nil, false
			}
		}
	case []any:
		for i, e := range v {
			var ok bool
			if v[i], ok = numbers(e); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

func number(n json.Number) (any, bool) {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i, true
	}
	f, err := n.Float64()
	if err != nil {
		return nil, false
	}
	if f == math.Trunc(f) && f >= math.MinInt && f < -math.MinInt {
		return int(f), true
	}
	return f, true
}

// writeBody makes the body of a message from a formula's value: a text as it is, nothing for nil, JSON for everything else.
func writeBody(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("the body is not a JSON value: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
