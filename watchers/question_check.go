package watchers

import (
	"errors"
	"fmt"
	"regexp/syntax"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// maxQuestionPattern bounds a regular expression by the steps that each character of a text may take.
const maxQuestionPattern = 1000

// checkQuestion refuses what a question cannot have, before the library compiles any of it: compiling a regular expression can take
// longer than answering.
func checkQuestion(text string) error {
	tree, err := parser.Parse(text)
	if err != nil {
		return err
	}
	c := &questionCheck{}
	ast.Walk(&tree.Node, c)
	if c.err != nil {
		return c.err.Bind(tree.Source)
	}
	return nil
}

type questionCheck struct{ err *file.Error }

// Visit implements the library's visitor.
func (c *questionCheck) Visit(node *ast.Node) {
	if err := allowed(*node); err != nil && c.err == nil {
		c.err = &file.Error{Location: (*node).Location(), Message: err.Error()}
	}
}

var (
	errWholeEnv      = errors.New("unknown name $env")
	errMethod        = errors.New("values have no methods to call")
	errZone          = errors.New("date takes a text and its layout only")
	errOpenPattern   = errors.New("matches takes a pattern that is written as a text, such as \"^web[0-9]\"")
	errComplexity    = fmt.Errorf("the pattern is too complex: one of at most %d steps is allowed", maxQuestionPattern)
	errNestedPattern = errors.New("the pattern is no regular expression")
)

func allowed(node ast.Node) error {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			return errWholeEnv
		}
	case *ast.CallNode:
		if _, ok := n.Callee.(*ast.IdentifierNode); !ok {
			return errMethod
		}
	case *ast.BuiltinNode:
		if n.Name == "date" && len(n.Arguments) > 2 {
			return errZone // zones are read from files of the host
		}
	case *ast.BinaryNode:
		if n.Operator == "matches" {
			_, err := patternSteps(n.Right)
			return err
		}
	}
	return nil
}

// patternSteps is how much a character of a text can cost.
func patternSteps(node ast.Node) (int, error) {
	text, ok := node.(*ast.StringNode)
	if !ok {
		return 0, errOpenPattern
	}
	re, err := syntax.Parse(text.Value, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNestedPattern, err)
	}
	n := steps(re)
	if n > maxQuestionPattern {
		return 0, errComplexity
	}
	return n, nil
}

// steps is about the size of the program that a regular expression is compiled to.
func steps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	if re.Op == syntax.OpCharClass {
		n = 1
	}
	for _, sub := range re.Sub {
		n += steps(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max)
	}
	return n
}
