package watchers

import (
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// checkFormulas holds expressions against what their fields are to be given, which the tag `gives:"boolean"` says (boolean, text, number or
// mapping). One that can never give it would be read at each look, and never be of use. It follows the values and the source side by side.
func checkFormulas(v reflect.Value, n *strict.Node, list *diag.List) {
	if n == nil {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkFormulas(v.Elem(), n, list)
		}
	case reflect.Slice:
		for i := range min(v.Len(), len(n.Items)) {
			checkFormulas(v.Index(i), n.Items[i], list)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				checkFormulaField(f, v.Field(i), n, list)
			}
		}
	}
}

func checkFormulaField(f reflect.StructField, v reflect.Value, n *strict.Node, list *diag.List) {
	name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if option == "inline" {
		checkFormulas(v, n, list)
		return
	}
	value := n.Get(name)
	if name == "" || value == nil {
		return
	}
	formula, is := v.Interface().(*Formula)
	if !is {
		checkFormulas(v, value, list)
		return
	}
	want := f.Tag.Get("gives")
	if formula == nil || want == "" || formula.gives == "" || formula.gives == want {
		return
	}
	list.Add(diag.Error, CodeFormula, value.Pos, "write an expression for "+withArticle(want)+", such as "+givingExamples[want],
		"%s: the expression gives %s, never %s", name, withArticle(formula.gives), withArticle(want))
}

var givingExamples = map[string]string{
	"boolean": "message.body.ok == true", "text": "message.tokens[1]", "number": "data.count + 1", "mapping": "{name: data.name}",
}

func withArticle(word string) string { return "a " + word }
