package reformat

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// template translates a text with templates, or escapes what would be a mark in one without.
func (w *rewriting) template(n *strict.Node) {
	switch {
	case n.Kind != strict.Scalar:
	case w.marked && !marks.IsTemplate(n.Value):
	case strings.Contains(n.Value, "{{"):
		out, err := translate(n.Value, w.marked)
		if err != nil {
			w.problem(n, "write it as an expression by hand, or have a script do it", "%v", err)
			return
		}
		w.to(n, out)
	case strings.Contains(n.Value, "${"):
		w.to(n, marks.Quote(n.Value))
	}
}

// Translate returns the text with marks that comes to what a template of format 1 does.
func Translate(text string) (string, error) { return translate(text, false) }

// translate writes a template with marks. Marks that are in the text already stay where marked says that they are some.
func translate(text string, marked bool) (string, error) {
	if !marked {
		pieces, err := piecesOf(text)
		return marks.Write(pieces), err
	}
	there, err := marks.Split(text)
	if err != nil {
		return "", err
	}
	var all []marks.Piece
	for _, p := range there {
		if p.Mark {
			all = append(all, p)
			continue
		}
		pieces, err := piecesOf(p.Text)
		if err != nil {
			return "", err
		}
		all = append(all, pieces...)
	}
	return marks.Write(all), nil
}

// piecesOf takes a template apart into literal text and expressions.
func piecesOf(text string) ([]marks.Piece, error) {
	tree := parse.New("template")
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, "", "", map[string]*parse.Tree{}); err != nil {
		return nil, fmt.Errorf("the template cannot be read: %w", err)
	}
	if tree.Root == nil {
		return nil, nil
	}
	var pieces []marks.Piece
	for _, n := range tree.Root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			pieces = append(pieces, marks.Piece{Text: string(n.Text)})
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				return nil, errors.New("expressions have no variables of a template: " + n.String())
			}
			expression, err := pipeline(n.Pipe, true)
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, marks.Piece{Text: expression, Mark: true})
		default:
			return nil, fmt.Errorf("expressions have nothing like %s", strings.SplitAfter(n.String(), "}}")[0])
		}
	}
	return pieces, nil
}

// pipeline translates commands of which each is given what the one before gives, as its last argument. inText says that what it gives stands in a text.
func pipeline(p *parse.PipeNode, inText bool) (string, error) {
	out := ""
	for _, c := range p.Cmds {
		var err error
		if out, err = call(c, out, inText && len(p.Cmds) == 1); err != nil {
			return "", err
		}
	}
	return out, nil
}

// functions are those of templates, as expressions have them. %[1]s is the first argument.
var functions = map[string]string{
	"ToLower": "lower(%[1]s)", "ToUpper": "upper(%[1]s)", "Base64Encode": "toBase64(%[1]s)", "Base64Decode": "fromBase64(%[1]s)",
	"StringJoin": "join(map(%[1]s, string(#)), %[2]s)",
}

func call(c *parse.CommandNode, piped string, inText bool) (string, error) {
	name, is := c.Args[0].(*parse.IdentifierNode)
	if !is {
		if len(c.Args) > 1 || piped != "" {
			return "", errors.New("expressions have nothing like " + c.String())
		}
		return argument(c.Args[0])
	}
	var args []string
	if name.Ident == "lookup" && piped == "" {
		return lookup(c, inText)
	}
	for _, a := range c.Args[1:] {
		text, err := argument(a)
		if err != nil {
			return "", err
		}
		args = append(args, text)
	}
	if piped != "" {
		args = append(args, piped)
	}
	form, known := functions[name.Ident]
	if !known || len(args) != 1+strings.Count(form, "%[2]s") {
		return "", errors.New("expressions have nothing like " + c.String())
	}
	if len(args) == 2 && strings.HasPrefix(args[0], `"`) { // the separator, in front of the list
		args[0], args[1] = args[1], args[0]
	}
	return fmt.Sprintf(form, anySlice(args)...), nil
}

func anySlice(texts []string) (all []any) {
	for _, t := range texts {
		all = append(all, t)
	}
	return all
}

func argument(n parse.Node) (string, error) {
	switch n := n.(type) {
	case *parse.StringNode:
		return strconv.Quote(n.Text), nil
	case *parse.NumberNode:
		return n.Text, nil
	case *parse.BoolNode:
		return n.String(), nil
	case *parse.NilNode:
		return "nil", nil
	case *parse.PipeNode:
		return pipeline(n, false)
	default:
		return "", errors.New("expressions have nothing like " + n.String())
	}
}

var wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// lookup translates {{ lookup "path" "other" }}: what is missing is null, which is nothing where it stands in a text.
func lookup(c *parse.CommandNode, inText bool) (string, error) {
	if len(c.Args) < 2 || len(c.Args) > 3 {
		return "", errors.New("lookup takes a path and what stands for it where there is nothing: " + c.String())
	}
	path, is := c.Args[1].(*parse.StringNode)
	if !is {
		return "", errors.New("the path of a lookup is no text: " + c.String())
	}
	value, err := valueAt(path.Text)
	if err != nil || plainKey.MatchString(value) {
		return value, err
	}
	other := `""`
	if len(c.Args) == 3 {
		if other, err = argument(c.Args[2]); err != nil {
			return "", err
		}
	}
	if inText && other == `""` {
		return value, nil
	}
	return value + " ?? " + other, nil
}

func valueAt(path string) (string, error) {
	of, rest, deeper := strings.Cut(path, ".")
	switch {
	case of == "facts" && deeper && !plainKey.MatchString(rest):
		return "get_fact(" + strconv.Quote(rest) + ")", nil
	case (of == "facts" || of == "data" || of == "input") && deeper:
		out := of
		for i, key := range strings.Split(rest, ".") {
			switch {
			case plainKey.MatchString(key) && i == 0:
				out += "." + key
			case plainKey.MatchString(key):
				out += "?." + key
			case i > 0 && wholeNumber.MatchString(key):
				out = "get(" + out + ", " + key + ")"
			default:
				return "", fmt.Errorf("the path %q does not lead through names and places in lists only", path)
			}
		}
		return out, nil
	case !deeper && (of == "identity" || of == "token" || of == "machine" || of == "instance" || of == "state"):
		return of, nil
	default:
		return "", fmt.Errorf("nothing is at the path %q", path)
	}
}
