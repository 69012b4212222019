package watchers

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// The bounds of one evaluation. An expression comes from a manifest, and the machine's turn waits for it.
const (
	maxExpressionNodes  = 1000
	maxExpressionMemory = 1_000_000 // elements made
	maxExpressionCharge = 100_000   // rounds of all loops, and chargedText of text made
	chargedText         = 64        // bytes
	maxStretched        = 8 << 10   // bytes of what a function is given that can multiply it
)

// The library bounds memory, but neither the time of loops nor the length of texts. So what can take long is
// wrapped in a call of this name, which cannot be written in an expression.
const chargeName = "#charge"

var (
	errExpressionCharge  = fmt.Errorf("its loops take more than %d rounds, or it makes too much text", maxExpressionCharge)
	errExpressionStretch = fmt.Errorf("a function is given more than %d bytes of text", maxStretched)
)

// newCharge returns the call for one evaluation: it passes on what it is given until too much was.
func newCharge() func(args ...any) (any, error) {
	left := maxExpressionCharge
	return func(args ...any) (any, error) {
		text, _ := args[0].(string)
		if left -= 1 + len(text)/chargedText; left < 0 {
			return nil, errExpressionCharge
		}
		return args[0], nil
	}
}

// stretching are the functions whose result can be far larger than what they are given.
var stretching = []string{"replace", "join", "string", "toJSON"}

func expressionBounds() []expr.Option {
	opts := []expr.Option{
		expr.MaxNodes(maxExpressionNodes), expr.Patch(charging{}),
		expr.DisableBuiltin("repeat"), // allocates before it is asked whether it may
	}
	for _, name := range stretching {
		f := *builtin.Builtins[builtin.Index[name]]
		opts = append(opts, expr.DisableBuiltin(name), func(c *conf.Config) {
			c.Functions[name] = &builtin.Function{Name: name, Types: f.Types, Validate: f.Validate, Func: held(&f)}
		})
	}
	return opts
}

// held refuses to call a function with much.
func held(f *builtin.Function) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if left := maxStretched; !fits(reflect.ValueOf(args), &left) {
			return nil, errExpressionStretch
		}
		if f.Fast != nil {
			return f.Fast(args[0]), nil
		}
		return f.Func(args...)
	}
}

// fits takes the size of a value from left, and stops when nothing is left: a value that holds itself many times
// would otherwise take for ever to go through.
func fits(v reflect.Value, left *int) bool {
	if *left -= 8; *left < 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Interface:
		return fits(v.Elem(), left)
	case reflect.String:
		*left -= v.Len()
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !fits(v.Index(i), left) {
				return false
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if !fits(it.Key(), left) || !fits(it.Value(), left) {
				return false
			}
		}
	}
	return *left >= 0
}

// charging wraps the bodies of loops and what makes text.
type charging struct{}

// Visit implements the library's visitor.
func (charging) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = charged(n.Node)
	case *ast.BinaryNode:
		if t := n.Type(); n.Operator == "+" && (t == nil || t.Kind() == reflect.String || t.Kind() == reflect.Interface) {
			ast.Patch(node, charged(n))
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value != chargeName {
			ast.Patch(node, charged(n))
		}
	}
}

func charged(n ast.Node) ast.Node {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: chargeName}, Arguments: []ast.Node{n}}
	call.SetLocation(n.Location())
	return call
}
