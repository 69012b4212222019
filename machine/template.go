package machine

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"
)

const (
	maxTemplateOutput = 1 << 20 // bytes, of the whole and of each value on the way
	maxTemplateRounds = 100_000 // of all loops in one expansion
)

// roundFunc is called at the beginning of every round of a loop.
const roundFunc = "statecraft_round"

var errTemplateOutput = fmt.Errorf("it makes more than %d bytes", maxTemplateOutput)

// CheckTemplate reports whether ExpandTemplate can run a text: its syntax and the names of its functions.
func CheckTemplate(text string) error {
	_, err := parseTemplate(text)
	return err
}

// ExpandTemplate runs a template over what lookup finds, which is given a path ("facts.os.family",
// "data.count") and the value to return where there is none. Templates are text/template's with the functions
// lookup, Title (every word), Capitalize (the first letter), ToLower, ToUpper, StringJoin (a list and a
// separator, in either order), Base64Encode and Base64Decode, and without define, block and template.
// Output, loops and time are bounded; a text without "{{" is returned as it is.
func ExpandTemplate(text string, lookup func(path string, fallback any) any) (string, error) {
	t, err := ParseTemplate(text)
	if err != nil {
		return "", err
	}
	return t.Expand(lookup)
}

// Template is a template that has been read. It is immutable and safe for concurrent use.
type Template struct {
	parts []templatePart     // of one that does nothing but look values up, which nearly every one is
	whole *template.Template // of any other
}

// templatePart is a text, or a value to look up.
type templatePart struct {
	text     string
	path     string // "" for a text
	fallback any
}

// ParseTemplate reads a template once, for many expansions. The errors are those of CheckTemplate.
func ParseTemplate(text string) (*Template, error) {
	if !strings.Contains(text, "{{") {
		return &Template{parts: []templatePart{{text: text}}}, nil
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	if parts, ok := plainParts(t); ok {
		return &Template{parts: parts}, nil
	}
	return &Template{whole: t}, nil
}

// plainParts takes a template apart that consists of texts and of lookups with literal arguments.
func plainParts(t *template.Template) ([]templatePart, bool) {
	if t.Tree == nil || t.Root == nil {
		return nil, false
	}
	var parts []templatePart
	for _, n := range t.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			parts = append(parts, templatePart{text: string(n.Text)})
		case *parse.ActionNode:
			part, ok := plainLookup(n.Pipe)
			if !ok {
				return nil, false
			}
			parts = append(parts, part)
		default:
			return nil, false
		}
	}
	return parts, true
}

// plainLookup reads {{ lookup "path" }} and {{ lookup "path" "text" }}.
func plainLookup(pipe *parse.PipeNode) (templatePart, bool) {
	if len(pipe.Decl) > 0 || len(pipe.Cmds) != 1 {
		return templatePart{}, false
	}
	args := pipe.Cmds[0].Args
	name, ok := args[0].(*parse.IdentifierNode)
	if !ok || name.Ident != "lookup" || len(args) < 2 || len(args) > 3 {
		return templatePart{}, false
	}
	path, ok := args[1].(*parse.StringNode)
	if !ok || path.Text == "" {
		return templatePart{}, false
	}
	part := templatePart{path: path.Text}
	if len(args) == 3 {
		fallback, ok := args[2].(*parse.StringNode)
		if !ok {
			return templatePart{}, false
		}
		part.fallback = fallback.Text
	}
	return part, true
}

// Expand runs the template, as ExpandTemplate does.
func (t *Template) Expand(lookup func(path string, fallback any) any) (string, error) {
	if t.whole != nil {
		return t.execute(lookup)
	}
	if len(t.parts) == 1 && t.parts[0].path == "" {
		return t.parts[0].text, nil
	}
	var out boundedText
	for _, p := range t.parts {
		text := p.text
		if p.path != "" {
			text = lookedUp(lookup(p.path, p.fallback))
		}
		if _, err := out.Write([]byte(text)); err != nil {
			return "", fmt.Errorf("expanding a template: %w", err)
		}
	}
	return out.String(), nil
}

// lookedUp renders a value as text/template does.
func lookedUp(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return "<no value>"
	default:
		return fmt.Sprint(v)
	}
}

func (t *Template) execute(lookup func(path string, fallback any) any) (string, error) {
	own, err := t.whole.Clone()
	if err != nil {
		return "", fmt.Errorf("expanding a template: %w", err)
	}
	rounds := 0
	own.Funcs(template.FuncMap{
		"lookup": func(path string, fallback ...any) any { return lookup(path, firstOf(fallback)) },
		roundFunc: func() (string, error) {
			if rounds++; rounds > maxTemplateRounds {
				return "", fmt.Errorf("its loops take more than %d rounds", maxTemplateRounds)
			}
			return "", nil
		},
	})
	var out boundedText
	if err := own.Execute(&out, nil); err != nil {
		return "", fmt.Errorf("expanding a template: %w", err)
	}
	return out.String(), nil
}

func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("template").Funcs(templateFuncs()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading a template: %w", err)
	}
	if t.Tree == nil || t.Root == nil {
		return t, nil
	}
	if len(t.Templates()) > 1 {
		return nil, errors.New("reading a template: define and block are not available here")
	}
	round, err := template.New("round").Funcs(templateFuncs()).Parse("{{" + roundFunc + "}}")
	if err != nil {
		return nil, fmt.Errorf("reading a template: %w", err)
	}
	return t, bindLoops(t.Root, round.Root.Nodes[0])
}

// bindLoops puts round at the beginning of every loop's body, and refuses calls of other templates: with
// them a template could go on for ever.
func bindLoops(list *parse.ListNode, round parse.Node) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.TemplateNode:
			err = errors.New("reading a template: template is not available here")
		case *parse.RangeNode:
			err = errors.Join(bindLoops(n.List, round), bindLoops(n.ElseList, round))
			n.List.Nodes = append([]parse.Node{round}, n.List.Nodes...)
		case *parse.IfNode:
			err = errors.Join(bindLoops(n.List, round), bindLoops(n.ElseList, round))
		case *parse.WithNode:
			err = errors.Join(bindLoops(n.List, round), bindLoops(n.ElseList, round))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// boundedText refuses to grow beyond maxTemplateOutput.
type boundedText struct{ strings.Builder }

func (b *boundedText) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxTemplateOutput {
		return 0, errTemplateOutput
	}
	return b.Builder.Write(p)
}

// templateFuncs returns every function, so that a text can be checked; lookup and round are replaced for
// each expansion. text/template's own that make text are here again with a bound.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"lookup":       func(string, ...any) any { return nil },
		roundFunc:      func() string { return "" },
		"Title":        title,
		"Capitalize":   capitalize,
		"ToLower":      strings.ToLower,
		"ToUpper":      strings.ToUpper,
		"StringJoin":   stringJoin,
		"Base64Encode": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"Base64Decode": base64Decode,
		"print":        boundedFunc(fmt.Sprint),
		"println":      boundedFunc(fmt.Sprintln),
		"printf":       func(format string, args ...any) (string, error) { return boundedPrintf(format, args) },
		"html":         boundedFunc(template.HTMLEscaper),
		"js":           boundedFunc(template.JSEscaper),
		"urlquery":     boundedFunc(template.URLQueryEscaper),
	}
}

func boundedPrintf(format string, args []any) (string, error) {
	return boundedFunc(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
}

// boundedFunc refuses long arguments and results.
func boundedFunc(f func(args ...any) string) func(args ...any) (string, error) {
	return func(args ...any) (string, error) {
		size := 0
		for _, a := range args {
			if s, ok := a.(string); ok {
				size += len(s)
			}
		}
		if size > maxTemplateOutput {
			return "", errTemplateOutput
		}
		s := f(args...)
		if len(s) > maxTemplateOutput {
			return "", errTemplateOutput
		}
		return s, nil
	}
}

func title(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		first := !inWord
		inWord = unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '\''
		if first && inWord {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func capitalize(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + s[size:]
}

// stringJoin takes the list first, or last, as a pipeline gives it.
func stringJoin(a, b any) (string, error) {
	sep, ok := b.(string)
	if !ok {
		a, sep = b, fmt.Sprint(a)
	}
	switch list := a.(type) {
	case []string:
		return strings.Join(list, sep), nil
	case []any:
		out := make([]string, len(list))
		for i, v := range list {
			out[i] = fmt.Sprint(v)
		}
		return strings.Join(out, sep), nil
	default:
		return "", fmt.Errorf("StringJoin takes a list and a separator, not %T", a)
	}
}

func base64Decode(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err
}

func firstOf(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}
