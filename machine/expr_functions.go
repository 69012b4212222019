package machine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr"
)

// ownFunctions replaces what the library has under these names: its date reads the host's time zone, the
// others can make a text that is far larger than all they are given.
func ownFunctions() []expr.Option {
	var opts []expr.Option
	own := func(name string, f func(...any) (any, error), types ...any) {
		opts = append(opts, expr.DisableBuiltin(name), expr.Function(name, f, types...))
	}
	own("date", readDate, new(func(string) time.Time))
	own("replace", replaceText, new(func(string, string, string) string), new(func(string, string, string, int) string))
	own("join", joinText, new(func([]any) string), new(func([]any, string) string), new(func([]string) string), new(func([]string, string) string))
	own("string", toText, new(func(any) string))
	own("toJSON", toJSONText, new(func(any) string))
	return opts
}

// readDate replaces the library's date, which reads the host's time zone.
func readDate(args ...any) (any, error) {
	text, _ := args[0].(string)
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	return nil, errors.New("date takes 2006-01-02, 2006-01-02 15:04:05 or RFC 3339")
}

func replaceText(args ...any) (any, error) {
	s, old, repl := args[0].(string), args[1].(string), args[2].(string)
	n := strings.Count(s, old)
	if len(args) == 4 && args[3].(int) >= 0 {
		n = min(n, args[3].(int))
	}
	if len(s)+n*len(repl) > maxExprText {
		return nil, errExprText
	}
	return strings.Replace(s, old, repl, n), nil
}

func joinText(args ...any) (any, error) {
	list, err := normalise(args[0])
	if err != nil {
		return nil, err
	}
	items, _ := list.([]any)
	var glue string
	if len(args) == 2 {
		glue = args[1].(string)
	}
	texts, size := make([]string, len(items)), 0
	for i, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("join takes a list of strings, item %d is %s", i, describe(item))
		}
		if size += len(text) + len(glue); size > maxExprText {
			return nil, errExprText
		}
		texts[i] = text
	}
	return strings.Join(texts, glue), nil
}

// toText renders a value as the library does: Go's notation.
func toText(args ...any) (any, error) {
	v, isText := args[0].(string)
	if isText {
		return v, nil
	}
	if d, ok := args[0].(fmt.Stringer); ok {
		return d.String(), nil
	}
	n, err := normalise(args[0])
	if err != nil {
		return nil, err
	}
	if tooLong(n) {
		return nil, errExprText
	}
	return fmt.Sprint(n), nil
}

func toJSONText(args ...any) (any, error) {
	n, err := normalise(args[0])
	if err != nil {
		return nil, err
	}
	if tooLong(n) {
		return nil, errExprText
	}
	return toJSON(n), nil
}

// tooLong is tooLarge without encoding what is far too large.
func tooLong(n any) bool { return sizeBound(n) > 6*maxExprText || tooLarge(n, maxExprText) }
