package keyvalue

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/statecraft-io/statecraft/watchers"
)

// Hierarchical data as Choria resolves it (github.com/choria-io/tinyhiera): `data` is the base, `hierarchy.order` names entries
// of `overrides` from texts with {{ expressions }} over facts, and `hierarchy.merge` is first (one override, its keys replace) or
// deep (all of them, mappings merge, lists are joined).

// The bounds of one expression in hierarchical data, which whoever may write the bucket has written.
const (
	maxHieraNodes  = 200
	maxHieraMemory = 100_000
)

var placeholder = regexp.MustCompile(`{{\s*(.*?)\s*}}`)

type hierarchy struct {
	facts *watchers.Facts
	order []string
	deep  bool
}

// resolve returns what a document of hierarchical data comes to on a host with these facts.
func resolve(document any, facts *watchers.Facts) (any, error) {
	root, ok := document.(map[string]any)
	if !ok {
		return nil, errors.New("hiera_config: the value is not a JSON object")
	}
	h, err := readHierarchy(root, facts)
	if err != nil {
		return nil, fmt.Errorf("hiera_config: %w", err)
	}
	base, _ := root["data"].(map[string]any)
	overrides, _ := root["overrides"].(map[string]any)
	result, err := h.merge(base, overrides)
	if err != nil {
		return nil, fmt.Errorf("hiera_config: %w", err)
	}
	return result, nil
}

func readHierarchy(root map[string]any, facts *watchers.Facts) (*hierarchy, error) {
	h := &hierarchy{facts: facts}
	section, ok := root["hierarchy"]
	if !ok {
		h.order = []string{"default"}
		return h, nil
	}
	spec, _ := section.(map[string]any)
	entries, ok := spec["order"].([]any)
	if !ok {
		return nil, errors.New("hierarchy.order is not a list")
	}
	for _, e := range entries {
		text, ok := e.(string)
		if !ok {
			return nil, errors.New("hierarchy.order holds something that is not a text")
		}
		h.order = append(h.order, text)
	}
	switch merge, _ := spec["merge"].(string); strings.ToLower(merge) {
	case "", "first":
	case "deep":
		h.deep = true
	default:
		return nil, fmt.Errorf("hierarchy.merge is %q, not first or deep", merge)
	}
	return h, nil
}

func (h *hierarchy) merge(base, overrides map[string]any) (map[string]any, error) {
	result, err := h.expandMap(base)
	if err != nil {
		return nil, err
	}
	for _, text := range h.order {
		name, known, err := h.text(text)
		if err != nil {
			return nil, err
		}
		override, ok := overrides[name].(map[string]any)
		if !known || !ok {
			continue
		}
		if override, err = h.expandMap(override); err != nil {
			return nil, err
		}
		if !h.deep {
			maps.Copy(result, override)
			return result, nil
		}
		result = mergeDeep(result, override)
	}
	return result, nil
}

// mergeDeep returns new mappings; values are shared.
func mergeDeep(below, above map[string]any) map[string]any {
	result := maps.Clone(below)
	for key, value := range above {
		switch value := value.(type) {
		case map[string]any:
			if inner, ok := result[key].(map[string]any); ok {
				result[key] = mergeDeep(inner, value)
				continue
			}
		case []any:
			if inner, ok := result[key].([]any); ok {
				result[key] = slices.Concat(inner, value)
				continue
			}
		}
		result[key] = value
	}
	return result
}

// expand replaces the placeholders of every text in a value. A text that is one placeholder becomes what that gives.
func (h *hierarchy) expand(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(v); len(m) > 1 && m[0] == strings.TrimSpace(v) {
			return h.evaluate(m[1])
		}
		text, _, err := h.text(v)
		return text, err
	case map[string]any:
		return h.expandMap(v)
	case []any:
		list := make([]any, len(v))
		for i, inner := range v {
			var err error
			if list[i], err = h.expand(inner); err != nil {
				return nil, err
			}
		}
		return list, nil
	default:
		return v, nil
	}
}

func (h *hierarchy) expandMap(m map[string]any) (map[string]any, error) {
	result := make(map[string]any, len(m))
	for key, inner := range m {
		var err error
		if result[key], err = h.expand(inner); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// text replaces placeholders by texts. It is known where there are none, or one of them gives something.
func (h *hierarchy) text(template string) (text string, known bool, err error) {
	if !placeholder.MatchString(template) {
		return template, template != "", nil
	}
	text = placeholder.ReplaceAllStringFunc(template, func(found string) string {
		v, failure := h.evaluate(placeholder.FindStringSubmatch(found)[1])
		err = errors.Join(err, failure)
		known = known || v != nil && v != ""
		return fmt.Sprint(v)
	})
	return text, known, err
}

// evaluate runs an expression, which sees facts and lookup('facts.path', default).
func (h *hierarchy) evaluate(text string) (any, error) {
	env := map[string]any{"facts": h.facts.Map(), "lookup": h.lookup}
	program, err := expr.Compile(text, expr.Env(env), expr.MaxNodes(maxHieraNodes),
		expr.DisableBuiltin("now"), expr.DisableBuiltin("repeat"))
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", text, err)
	}
	evaluation := vm.VM{MemoryBudget: maxHieraMemory}
	v, err := evaluation.Run(program, env)
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", text, err)
	}
	return v, nil
}

// lookup finds a gjson path below facts. What is not there is the second argument, or the empty text.
func (h *hierarchy) lookup(path string, fallback ...any) any {
	if rest, ok := strings.CutPrefix(path, "facts."); ok {
		if v, found := h.facts.Get(rest); found {
			return v
		}
	}
	if len(fallback) > 0 {
		return fallback[0]
	}
	return ""
}
