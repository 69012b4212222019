package keyvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// maxDepth is how deep a value may nest, as machine data may.
const maxDepth = 64

// decode reads the bytes of a key as Choria does: a JSON object or array is decoded, everything else is a text.
func decode(raw []byte) any {
	if v, ok := decodeStructure(raw); ok {
		return v
	}
	return string(raw)
}

// decodeStructure decodes an object or array, and reports whether the bytes are one that machine data can hold.
func decodeStructure(raw []byte) (any, bool) {
	text := bytes.TrimSpace(raw)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return nil, false
	}
	v, err := watchers.ReadJSON(text, maxDepth)
	return v, err == nil
}

// query finds a gjson path in a value. A path that finds nothing is an error.
func query(v any, path string) (any, error) {
	if _, text := v.(string); text {
		return nil, fmt.Errorf("the query %q needs a JSON object or array, and the value is neither", path)
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("the query %q: %w", path, err)
	}
	found := gjson.GetBytes(doc, path)
	if !found.Exists() {
		return nil, fmt.Errorf("the query %q finds nothing in the value", path)
	}
	part, err := watchers.ReadJSON([]byte(found.Raw), maxDepth)
	if err != nil {
		return nil, fmt.Errorf("the query %q: %w", path, err)
	}
	return part, nil
}

// canonical renders a value so that equal ones are the same text.
func canonical(v any) (string, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("comparing values: %w", err)
	}
	return string(doc), nil
}

// encode renders a value as decode reads it: texts as they are, everything else as JSON.
func encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, errors.New("the value is null; delete the key to have none")
	case string:
		return []byte(v), nil
	}
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the value: %w", err)
	}
	return doc, nil
}

// valueIn evaluates the formula of what is to be written.
func valueIn(look *watchers.Look, f *watchers.Formula) ([]byte, error) {
	v, err := f.Value(look, nil)
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	raw, err := encode(v)
	if err != nil {
		return nil, err
	}
	return raw, nil
}

// wholeIn evaluates a formula that is to give a whole number of at least 1, which may be written as a text.
func wholeIn(look *watchers.Look, what string, f *watchers.Formula) (uint64, error) {
	v, err := f.Value(look, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	switch n := v.(type) {
	case int:
		if n > 0 {
			return uint64(n), nil
		}
	case float64:
		if n >= 1 && n == math.Trunc(n) && n < 1<<53 {
			return uint64(n), nil
		}
	case string:
		if u, err := strconv.ParseUint(n, 10, 64); err == nil && u > 0 {
			return u, nil
		}
	}
	return 0, fmt.Errorf("%s: %s gives %v, which is not a whole number of 1 or more", what, f, v)
}

// payload is what an event of a key carries. A value that is too large for an event is left out of it.
func payload(e entry, v any, size int) map[string]any {
	p := map[string]any{"key": e.key, "revision": int(e.revision)}
	const others = 1 << 10 // what key, revision and quotes may take
	if v != nil && size <= machine.MaxPayload-others {
		p["value"] = v
	}
	return p
}
