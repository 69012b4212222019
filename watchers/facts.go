package watchers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/tidwall/gjson"
)

// Facts is a host's fact document, a JSON object. It is immutable; the host replaces it as a whole.
// A nil *Facts is an empty document.
type Facts struct {
	raw     []byte
	once    sync.Once
	decoded map[string]any
}

// maxFactsDepth keeps a document from exhausting the stack of whoever walks it.
const maxFactsDepth = 64

// NewFacts takes ownership of a JSON object. It is an error when it is not one, or one nested deeper than 64 levels.
func NewFacts(raw []byte) (*Facts, error) {
	if !json.Valid(raw) {
		return nil, errors.New("reading facts: not valid JSON")
	}
	if raw = bytes.TrimSpace(raw); raw[0] != '{' {
		return nil, errors.New("reading facts: not a JSON object")
	}
	if jsonDepth(raw) > maxFactsDepth {
		return nil, fmt.Errorf("reading facts: nested deeper than %d levels", maxFactsDepth)
	}
	return &Facts{raw: raw}, nil
}

// JSON returns the document, "{}" when empty. The bytes must not be changed.
func (f *Facts) JSON() []byte {
	if f == nil || len(f.raw) == 0 {
		return []byte("{}")
	}
	return f.raw
}

// Get returns the value at a gjson path and whether there is one. Numbers without a fraction are int
// where they fit, as in machine data; the value belongs to the caller.
func (f *Facts) Get(path string) (any, bool) { return getJSON(f.JSON(), path) }

// Map returns the document decoded once, shared by all callers, who must not change it. Its values are as
// those of Get.
func (f *Facts) Map() map[string]any {
	if f == nil {
		return map[string]any{}
	}
	f.once.Do(func() {
		v, _ := ReadJSON(f.JSON(), maxFactsDepth) // NewFacts has checked it
		f.decoded, _ = v.(map[string]any)
	})
	return f.decoded
}

// getJSON returns the value at a gjson path of a valid document.
func getJSON(doc []byte, path string) (any, bool) {
	found := gjson.GetBytes(doc, path)
	if !found.Exists() {
		return nil, false
	}
	v, _ := ReadJSON([]byte(found.Raw), maxFactsDepth)
	return v, true
}
