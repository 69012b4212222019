package watchers

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// slot is a property whose value may depend on the look: *Formula, *Text, *Condition, *Command. It is read with the properties and compiled when all
// of them are.
type slot interface {
	// bind compiles the property key, of which gives says what it is to give: boolean, text, number or mapping; "" is anything.
	bind(b *binding, key, gives string)
}

var slotType = reflect.TypeFor[slot]()

// binding compiles the slots of one watcher.
type binding struct {
	w     *machine.WatcherSpec
	scope scope
	list  diag.List
}

// fields goes through the properties of a struct.
func (b *binding) fields(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.IsExported() && (name != "" || option == "inline") {
			b.value(v.Field(i), name, f.Tag.Get("gives"))
		}
	}
}

func (b *binding) value(v reflect.Value, key, gives string) {
	if v.CanAddr() {
		if s, is := v.Addr().Interface().(slot); is {
			s.bind(b, key, gives)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*strict.Node]() {
			b.value(v.Elem(), key, gives)
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.value(v.Index(i), key, gives)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			entry := reflect.New(v.Type().Elem()).Elem() // which shares what it compiles with the map's own
			entry.Set(it.Value())
			b.value(entry, it.Key().String(), gives)
		}
	case reflect.Struct:
		b.fields(v)
	}
}

func (f *Formula) bind(b *binding, key, gives string) {
	if f.value == nil || f.programs != nil {
		return
	}
	if b.scope.marked && !slices.Contains([]marks.Kind{marks.Expression, marks.Text}, f.value.Kind) {
		b.unmarked(f.value, key)
	}
	_ = f.compile(b.scope, func(e *marks.Value, err error) error {
		b.failed(e, key, err)
		return nil
	})
	if len(f.programs) < len(f.value.Expressions()) || gives == "" || f.gives == "" || f.gives == gives {
		return
	}
	if what := "the expression"; f.value.Kind == marks.Expression {
		b.list.Add(diag.Error, CodeFormula, f.value.Pos, "write an expression for "+withArticle(gives)+", such as "+givingExamples[gives],
			"%s: %s gives %s, never %s", key, what, withArticle(f.gives), withArticle(gives))
		return
	}
	b.list.Add(diag.Error, CodeFormula, f.value.Pos, "write "+withArticle(gives)+", or an expression that gives one, such as "+marks.Mark(givingExamples[gives]),
		"%s: the value is %s, and %s is needed", key, withArticle(f.gives), withArticle(gives))
}

// failed reports an expression that cannot be compiled.
func (b *binding) failed(e *marks.Value, key string, err error) {
	if !b.scope.marked {
		b.list.Add(diag.Error, CodeFormula, e.Pos, formulaHintOld, "expression: %v", err)
		return
	}
	hint := formulaHint
	if m := unknownName.FindStringSubmatch(err.Error()); m != nil {
		near := strict.Nearest(m[1], namesOf(b.scope.types()))
		switch {
		case shellName.MatchString(e.Expr):
			hint = "with shell: true a shell replaces ${" + e.Expr + "}; without one it is an expression, and $${" + e.Expr + "} is the text itself"
		case near != "":
			hint = "did you mean " + near + "?"
		}
	}
	b.list.Add(diag.Error, CodeFormula, e.Pos, hint, "%s: expression %s: %v", key, diag.Brief(e.Expr, 60), err)
}

const (
	formulaHint    = "expressions see data, input, facts, identity, token, machine, instance, state, at, message and get_fact(path)"
	formulaHintOld = "expressions see data, input, facts, identity, machine, instance, state, at, message and get_fact(path)" // of format 1
)

var (
	unknownName = regexp.MustCompile(`^unknown (?:name|field) (\S+)`)
	shellName   = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// namesOf lists the names that expressions see, and those of the data.
func namesOf(seen types.Map) (all []string) {
	for name, t := range seen {
		if name == chargeName {
			continue
		}
		all = append(all, name)
		if m, is := t.(types.Map); is {
			all = append(all, namesOf(m)...)
		}
	}
	slices.Sort(all)
	return all
}

// unmarked tells of literals that look like expressions.
func (b *binding) unmarked(v *marks.Value, key string) {
	v.Literals(func(text string, at diag.Position) {
		if !marks.Resembles(text) {
			return
		}
		if _, err := program(text, b.scope.types()); err != nil {
			m := unknownName.FindStringSubmatch(err.Error())
			if len(m) < 2 || strict.Nearest(m[1], namesOf(b.scope.types())) == "" {
				return
			}
		}
		b.list.Add(diag.Warning, marks.CodeUnmarked, at, marks.UnmarkedHint(text), "%s: %s looks like an expression: write %s", key, text, marks.Mark(text))
	})
}

func (t *Text) bind(b *binding, key, _ string) {
	switch {
	case t.f == nil:
	case t.f.value == nil && t.f.template == nil:
		b.template(t.f, key)
	case t.f.value != nil:
		t.f.bind(b, key, "")
		if b.scope.marked && (t.f.gives == "mapping" || t.f.gives == "list") {
			b.list.Add(diag.Error, CodeFormula, t.f.value.Pos, "take one value of it, or write it as a text with toJSON()",
				"%s: the expression gives %s, and a text is needed", key, withArticle(t.f.gives))
		}
	}
}

// template reports a template that cannot be read.
func (b *binding) template(f *Formula, key string) {
	if _, err := machine.ParseTemplate(f.text); err != nil {
		b.list.Add(diag.Error, CodeTemplate, f.at, templateHint, "%s: %s", key, templateMessage(err))
	}
}

func (c *Condition) bind(b *binding, key, gives string) {
	if bare, marked := marks.Whole(c.text); marked && b.scope.marked {
		c.value = marks.Bare(bare, c.value.Pos)
	}
	c.Formula.bind(b, key, gives)
}

var givingExamples = map[string]string{
	"boolean": "message.body.ok == true", "text": "message.tokens[1]", "number": "data.count + 1", "mapping": "{name: data.name}",
}

func withArticle(word string) string {
	if word == "nothing" {
		return word
	}
	return "a " + word
}
