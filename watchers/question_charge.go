package watchers

import (
	"reflect"
	"slices"
	"strings"
)

// Texts are weighed by the byte: textWeight of textUnits.
const (
	textWeight = 1
	textUnits  = 8
)

// spend takes from what the evaluation has left, and ends it where that was not enough.
func (a *Asking) spend(units int) {
	if a.left -= units; a.left < 0 {
		panic(errExpressionCharge)
	}
	if a.left%charges < units && a.ctx.Err() != nil {
		panic(a.ctx.Err())
	}
}

// charges is how much is spent between two looks at the context.
const charges = 512

// charge passes on what it is given: the value of a loop's round, or text that was made.
func (a *Asking) charge(args ...any) any {
	text, _ := args[0].(string)
	a.spend(1 + len(text)/chargedText)
	return args[0]
}

// weigh passes on a value that is gone through by what it is passed to.
func (a *Asking) weigh(args ...any) any {
	switch v := args[0].(type) {
	case nil, bool, int, float64:
	case string:
		weight, _ := args[1].(int)
		a.spend(1 + len(v)*weight/textUnits)
	default:
		a.through(v)
	}
	return args[0]
}

// through spends one unit an element, as often as it is reached: a list can hold itself many times.
func (a *Asking) through(v any) {
	switch v := v.(type) {
	case nil, bool, int, float64:
		a.spend(1)
	case string:
		a.spend(1 + len(v)/textUnits)
	case []any:
		a.spend(1)
		for _, inner := range v {
			a.through(inner)
		}
	case map[string]any:
		a.spend(1)
		for key, inner := range v {
			a.spend(len(key) / textUnits)
			a.through(inner)
		}
	default:
		a.throughOther(reflect.ValueOf(v))
	}
}

// throughOther is for what functions of the library make, such as lists of numbers or of texts.
func (a *Asking) throughOther(v reflect.Value) {
	a.spend(1)
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k == reflect.Int || k == reflect.Float64 {
			a.spend(v.Len())
			return
		}
		for i := range v.Len() {
			a.through(v.Index(i).Interface())
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			a.through(it.Key().Interface())
			a.through(it.Value().Interface())
		}
	}
}

// member goes one step in a decoded value; what is not there is nil.
func (a *Asking) member(args ...any) any {
	switch of := args[0].(type) {
	case map[string]any:
		key, ok := args[1].(string)
		if !ok {
			return nil
		}
		if v, ok := of[key]; ok {
			return v
		}
		return a.folded(of, key)
	case []any:
		if i, ok := args[1].(int); ok && -len(of) <= i && i < len(of) {
			return of[(i+len(of))%len(of)]
		}
	}
	return nil
}

// folded is the member that has the name in another case, as step finds it.
func (a *Asking) folded(of map[string]any, key string) any {
	a.spend(1 + len(of))
	var names []string
	for name := range of {
		if strings.EqualFold(name, key) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return of[slices.Min(names)]
}
