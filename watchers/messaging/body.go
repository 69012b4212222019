package messaging

import (
	"fmt"

	"github.com/statecraft-io/statecraft/watchers"
)

// maxDepth is how deep a body may nest, so that it still fits into a payload, which has a limit of its own.
const maxDepth = 60

// readBody gives the decoded JSON value of a body. What is not JSON or nests deeper than maxDepth is the text as it came.
func readBody(data []byte) any {
	v, err := watchers.ReadJSON(data, maxDepth)
	if err != nil {
		return string(data)
	}
	return v
}

// writeBody makes the body of a message from a formula's value: a text as it is, nothing for nil, JSON for everything else.
func writeBody(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	}
	text, err := watchers.WriteJSON(v)
	if err != nil {
		return nil, fmt.Errorf("the body is not a JSON value: %w", err)
	}
	return []byte(text), nil
}
