package factgather

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// merge lays from over into: objects are joined, everything else is replaced. Both may end up sharing
// parts of from.
func merge(into, from map[string]any) {
	for name, value := range from {
		below, isObject := value.(map[string]any)
		old, wasObject := into[name].(map[string]any)
		if isObject && wasObject {
			merge(old, below)
			continue
		}
		into[name] = value
	}
}

// wrap puts an object below a dotted key.
func wrap(key string, object map[string]any) map[string]any {
	if key == "" {
		return object
	}
	names := strings.Split(key, ".")
	for i := len(names) - 1; i >= 0; i-- {
		object = map[string]any{names[i]: object}
	}
	return object
}

// countLeaves returns how many facts a document holds: its values that are no objects.
func countLeaves(object map[string]any) (n int) {
	for _, value := range object {
		if below, ok := value.(map[string]any); ok {
			n += countLeaves(below)
			continue
		}
		n++
	}
	return n
}

// assignment is a line of an executable that prints key=value.
var assignment = regexp.MustCompile(`^\s*([A-Za-z0-9_][A-Za-z0-9_.:-]*)\s*=(.*)$`)

var errNoObject = errors.New("expected an object of facts: print JSON, YAML or key=value lines")

// parse reads what a source says: a JSON object, key=value lines or a YAML mapping, told apart by content.
func parse(name string, text []byte) (map[string]any, error) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return map[string]any{}, nil
	}
	if trimmed[0] == '{' {
		object, err := parseJSON(trimmed)
		if err == nil {
			return object, nil
		}
		// A YAML flow mapping starts like JSON; what is neither is reported as JSON.
		if object, yamlErr := parseYAML(name, text); yamlErr == nil {
			return object, nil
		}
		return nil, err
	}
	if object, ok := parseLines(string(trimmed)); ok {
		return object, nil
	}
	return parseYAML(name, text)
}

func parseJSON(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // integers of any size stay what they are
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading JSON: there is more after the object: print one object only")
	}
	return object, nil
}

// parseLines reads key=value lines; blank lines and those that start with # are passed over. It says no
// where any other line is found.
func parseLines(text string) (map[string]any, bool) {
	object := map[string]any{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if t := strings.TrimSpace(line); t == "" || t[0] == '#' {
			continue
		}
		m := assignment.FindStringSubmatch(line)
		if m == nil {
			return nil, false
		}
		object[m[1]] = strings.TrimSpace(m[2])
	}
	return object, len(object) > 0
}

func parseYAML(name string, text []byte) (map[string]any, error) {
	node, list := strict.Parse(name, text)
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("reading YAML: %s", firstLine(err.Error()))
	}
	object, ok := node.Any().(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	return object, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
