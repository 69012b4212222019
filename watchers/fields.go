package watchers

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeFields is a field of a body that is declared wrong.
const CodeFields diag.Code = "SC259"

// Field is a property of listeners: what one field of a message's body is.
type Field struct {
	// Name is the field's name, with dots between those of objects in one another, such as data.identity.
	Name string `yaml:"name,required"`
	// Type is what it holds: text, line (a text without control characters and line ends, for people), name (a line that is not empty), time (a text as RFC 3339 has it, of up to 40 bytes),
	// integer (from -2^53 to 2^53, which every reader of JSON reads alike), number, boolean, object or list.
	Type string `yaml:"type,required" enum:"text|line|name|time|integer|number|boolean|object|list"`
	// MaxSize bounds a text, line or name in bytes, and a list or an open object in bytes of JSON, such as 4KiB. Each of these has one.
	MaxSize Bytes `yaml:"max_size" empty:"refused"`
	// Pattern is a regular expression (RE2) that the whole of a text, line or name matches.
	Pattern string `yaml:"pattern" empty:"refused"`
	// Optional lets the field be absent or null.
	Optional bool `yaml:"optional"`
	// Open keeps all that an object has. Without it only the fields that are declared are kept.
	Open bool `yaml:"open"`
}

// Fields reads bodies of messages: what is declared is kept, where it is what it should be, and everything else is left out. The zero Fields keeps
// everything.
type Fields struct{ root *fieldTree }

// fieldTree is a field with those that it has.
type fieldTree struct {
	Field
	pattern *regexp.Regexp
	names   []string // of the fields that it has, in the order of their declaration
	inner   map[string]*fieldTree
}

// CompileFields reads a list of fields. n is the property as it is written.
func CompileFields(fields []Field, n *strict.Node) (f Fields, found diag.List) {
	if len(fields) == 0 || n == nil || len(n.Items) != len(fields) {
		return f, nil
	}
	f.root = newFieldTree(Field{Type: "object"})
	for i, field := range fields {
		if hint, err := f.root.add(field); err != nil {
			found.Add(diag.Error, CodeFields, n.Items[i].Pos, hint, "fields: %v", err)
		}
	}
	return f, found
}

func newFieldTree(f Field) *fieldTree { return &fieldTree{Field: f, inner: map[string]*fieldTree{}} }

// add puts a field below the one that its name says, which has been declared before.
func (t *fieldTree) add(f Field) (hint string, err error) {
	path := strings.Split(f.Name, ".")
	for _, name := range path[:len(path)-1] {
		inner := t.inner[name]
		if inner == nil || inner.Type != "object" {
			return "declare the object " + name + " before the fields that it has", fmt.Errorf("%s is in no object that is declared", f.Name)
		}
		t = inner
	}
	name := path[len(path)-1]
	texts := f.Type == "text" || f.Type == "line" || f.Type == "name"
	sized := texts || f.Type == "list" || f.Open
	added := newFieldTree(f)
	switch {
	case slices.Contains(path, ""):
		return "write names with dots between them, such as data.identity", fmt.Errorf("%q is not the name of a field", f.Name)
	case t.inner[name] != nil:
		return "declare it once", fmt.Errorf("%s is declared twice", f.Name)
	case sized && f.MaxSize == 0:
		return "add max_size, such as 253 for a name or 4KiB for a list", fmt.Errorf("%s has no bound", f.Name)
	case !sized && f.MaxSize != 0:
		return "leave max_size out", fmt.Errorf("%s: %s needs no bound", f.Name, f.Type)
	case f.Pattern != "" && !texts:
		return "leave pattern out", fmt.Errorf("%s: a pattern is for a text, line or name", f.Name)
	case f.Open && f.Type != "object":
		return "leave open out", fmt.Errorf("%s: only an object is open", f.Name)
	case f.Pattern != "":
		if added.pattern, err = regexp.Compile(`\A(?:` + f.Pattern + `)\z`); err != nil {
			return "write a regular expression as https://github.com/google/re2/wiki/Syntax has it", fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	t.inner[name], t.names = added, append(t.names, name)
	return "", nil
}

// Declared reports whether there are any.
func (f Fields) Declared() bool { return f.root != nil }

var errNoObject = errors.New("the body is no JSON object")

// Read returns what is declared of a body that was decoded by ReadJSON: a mapping, or the body itself where nothing is declared. The error says which
// field is not what it should be.
func (f Fields) Read(body any) (any, error) {
	if f.root == nil {
		return body, nil
	}
	object, ok := body.(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	return f.root.object(object)
}

func (t *fieldTree) object(from map[string]any) (map[string]any, error) {
	kept := make(map[string]any, len(t.inner))
	if t.Open {
		for name, v := range from {
			kept[name] = v
		}
	}
	for _, name := range t.names {
		inner := t.inner[name]
		v := from[name]
		switch {
		case v == nil && !inner.Optional:
			return nil, fmt.Errorf("the body's field %s is not there", inner.Name)
		case v == nil:
			delete(kept, name)
			continue
		}
		read, err := inner.read(v)
		if err != nil {
			return nil, err
		}
		kept[name] = read
	}
	return kept, nil
}

// read returns a field's value, of which an object has what is declared.
func (t *fieldTree) read(v any) (any, error) {
	size := 0
	fits := false
	switch x := v.(type) {
	case string:
		size, fits = len(x), t.holds(x)
	case bool:
		fits = t.Type == "boolean"
	case int:
		fits = t.Type == "number" || t.Type == "integer" && max(x, -x) <= maxExact
	case float64:
		fits = t.Type == "number" || t.Type == "integer" && x == math.Trunc(x) && math.Abs(x) <= maxExact
	case []any:
		fits = t.Type == "list"
	case map[string]any:
		if fits = t.Type == "object"; fits {
			object, err := t.object(x)
			if err != nil {
				return nil, err
			}
			v = object
		}
	}
	if !fits {
		return nil, fmt.Errorf("the body's field %s is no %s", t.Name, t.Type)
	}
	if t.Type == "list" || t.Open {
		encoded, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("the body's field %s: %w", t.Name, err)
		}
		size = len(encoded)
	}
	switch {
	case t.MaxSize > 0 && size > int(t.MaxSize):
		return nil, fmt.Errorf("the body's field %s has %d bytes, %d are allowed", t.Name, size, t.MaxSize)
	case t.pattern != nil && !t.pattern.MatchString(v.(string)):
		return nil, fmt.Errorf("the body's field %s does not match %s", t.Name, t.Pattern)
	}
	return v, nil
}

// maxTime is the longest time, in bytes: what RFC 3339 needs for nanoseconds and a zone, and some.
const maxTime = 40

// strictTime is what a time looks like: time.Parse takes an hour of one digit, and a comma, as well.
var strictTime = regexp.MustCompile(`\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\z`)

// holds reports whether a text is one of the field's type.
func (t *fieldTree) holds(text string) bool {
	switch t.Type {
	case "name":
		return text != "" && line(text)
	case "line":
		return line(text)
	case "time":
		_, err := time.Parse(time.RFC3339, text)
		return len(text) <= maxTime && strictTime.MatchString(text) && err == nil
	default:
		return t.Type == "text"
	}
}

// line reports whether a text is one line and nothing that a terminal obeys: no control characters, no other line ends of Unicode, nothing that
// turns the direction of what follows.
func line(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) || turning(r) })
}

// turning reports the embeddings, overrides and isolates of Unicode's bidirectional algorithm, which make a text look like another.
func turning(r rune) bool { return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' }
