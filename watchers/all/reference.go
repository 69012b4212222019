package all

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// Reference documents one watcher type.
type Reference struct {
	Type     string    `json:"type"`
	Aliases  []string  `json:"aliases,omitempty"`
	Summary  string    `json:"summary"`
	Outcomes []Outcome `json:"outcomes"`
	Fields   []Field   `json:"properties"`
}

// Outcome documents what a look can report.
type Outcome struct {
	Name string `json:"name"`
	// Fires is what it does by itself: success_transition, fail_transition, the name of an event, or nothing.
	Fires   string            `json:"fires"`
	Payload map[string]string `json:"payload,omitempty"` // field -> type
	Doc     string            `json:"doc"`
}

// Field documents one property.
type Field struct {
	Name     string   `json:"name"`
	Aliases  []string `json:"aliases,omitempty"`
	Type     string   `json:"type"`
	Required bool     `json:"required,omitempty"`
	Default  string   `json:"default,omitempty"`
	Min      string   `json:"min,omitempty"`
	Max      string   `json:"max,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Doc      string   `json:"doc"`
	Fields   []Field  `json:"properties,omitempty"` // of a mapping, or of a list's mappings
}

// The reference is made of the types and of the comments on their properties. "go test ./watchers/all -run UpToDate -update"
// writes it anew.
//
//go:embed reference.json
var referenceJSON []byte

// References returns the documentation of the types that a manifest can use, in alphabetical order.
func References() ([]Reference, error) {
	var refs []Reference
	if err := json.Unmarshal(referenceJSON, &refs); err != nil {
		return nil, err
	}
	return refs, nil
}

// newField documents a property; doc is its comment.
func newField(f strict.FieldInfo, doc string, inner []Field) Field {
	return Field{
		Name: f.Name, Aliases: f.Aliases, Type: f.Type, Required: f.Required, Default: f.Default,
		Min: f.Min, Max: f.Max, Enum: f.Enum, Doc: doc, Fields: inner,
	}
}

// Markdown renders the reference of all types, without a title.
func Markdown() (string, error) {
	refs, err := References()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(introduction)
	for _, r := range refs {
		r.markdown(&b)
	}
	b.WriteString("\n## Types of later releases\n\nA manifest that uses one of these is refused, with a hint.\n\n| type | what to do |\n| --- | --- |\n")
	for _, t := range Types(Services{}) {
		if t.Unsupported != "" {
			row(&b, code(append([]string{t.Name}, t.Aliases...)...), t.Unsupported)
		}
	}
	return b.String(), nil
}

const introduction = `A watcher looks at the world and reports an outcome; the outcome fires an event of the machine. Beside the
outcomes below every type has ` + "`success`, `fail`, `timeout`, `interrupted` and `panic`" + `; the last three count as failures. A look that
the host had no descriptor, process, memory or space left for is ` + "`starved`" + `, which fires nothing unless ` + "`on`" + ` names it. What an outcome
fires by itself can be changed by the watcher's ` + "`on`" + `. Durations are written as 30s, 5m, 1h30m, 2d, 1w.

Into a ` + "`text`" + ` values are filled: ` + "`${ data.name }`" + `. A ` + "`value`" + ` is one of any type, in which ` + "`${ }`" + ` may stand anywhere. A ` + "`condition`" + ` is an expression
without a mark. Everything else, such as a ` + "`string`" + `, is read with the manifest and literal. [The manifest](manifest.md#expressions) says more, and what holds in
` + "`format: 1`" + `.
`

// Markdown renders the reference of one type, beginning with a heading of the second level.
func (r *Reference) Markdown() string {
	var b strings.Builder
	r.markdown(&b)
	return strings.TrimPrefix(b.String(), "\n")
}

func (r *Reference) markdown(b *strings.Builder) {
	b.WriteString("\n## " + r.Type + "\n\n" + r.Summary + "\n")
	if len(r.Aliases) > 0 {
		b.WriteString("\nAlso called " + code(r.Aliases...) + ".\n")
	}
	b.WriteString("\n| outcome | when | fires | payload |\n| --- | --- | --- | --- |\n")
	for _, o := range r.Outcomes {
		row(b, code(o.Name), o.Doc, fires(o.Fires), payload(o.Payload))
	}
	b.WriteString("\n| property | type | default | meaning |\n| --- | --- | --- | --- |\n")
	properties(b, "", r.Fields)
}

func properties(b *strings.Builder, prefix string, fields []Field) {
	for _, f := range fields {
		names := append([]string{prefix + f.Name}, f.Aliases...)
		row(b, code(names...), f.Type, f.defaultText(), f.meaning())
		inner := prefix + f.Name + "."
		if strings.HasPrefix(f.Type, "list") {
			inner = prefix + f.Name + "[]."
		}
		properties(b, inner, f.Fields)
	}
}

func (f *Field) defaultText() string {
	switch {
	case f.Required:
		return "required"
	case f.Default != "":
		return code(f.Default)
	case f.Type == "boolean":
		return code("false")
	default:
		return ""
	}
}

func (f *Field) meaning() string {
	text := f.Doc
	if len(f.Enum) > 0 {
		text += " One of " + code(f.Enum...) + "."
	}
	if f.Min != "" {
		text += " At least " + f.Min + "."
	}
	if f.Max != "" {
		text += " At most " + f.Max + "."
	}
	return text
}

func fires(event string) string {
	if event == "" {
		return "nothing"
	}
	return code(event)
}

func payload(fields map[string]string) string {
	var parts []string
	for name, kind := range fields {
		parts = append(parts, code(name)+" "+kind)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func code(words ...string) string {
	var parts []string
	for _, w := range words {
		parts = append(parts, "`"+w+"`")
	}
	return strings.Join(parts, ", ")
}

func row(b *strings.Builder, cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
