package watchers

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// maxExecInput bounds what a command is given on its standard input, in bytes.
const maxExecInput = 1 << 20

// input is what the command reads, nil where the properties give it none.
func (e *execWatcher) input(look *Look) ([]byte, error) {
	if e.spec.Input == nil {
		return nil, nil
	}
	value, err := e.spec.Input.Value(look, nil)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	text, err := inputText(value)
	if err != nil {
		return nil, fmt.Errorf("input: its value cannot be written as JSON: %w", err)
	}
	if len(text) > maxExecInput {
		return nil, fmt.Errorf("input: its value takes %d bytes, more than %s; give the command less of it", len(text), sizeText(maxExecInput))
	}
	return text, nil
}

func inputText(value any) ([]byte, error) {
	if text, ok := value.(string); ok {
		return []byte(text), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return b.Bytes(), err
}
