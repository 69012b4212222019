package factgather

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tidwall/match"
)

// DeniedNames returns the patterns that never become facts, whatever the manifest says.
func DeniedNames() []string {
	return []string{"*password*", "*passwd*", "*passphrase*", "*secret*", "*token*", "*private_key*",
		"*privatekey*", "*private-key*", "*credential*"}
}

// denier removes what must not become a fact. A pattern with a dot is held against the whole dotted path of
// a fact, one without against each name in it. * is any text, ? one character; case does not matter.
type denier struct {
	patterns []string
	removed  []string // paths, in order
}

func newDenier(patterns []string) *denier {
	d := &denier{}
	for _, pattern := range slices.Concat(DeniedNames(), patterns) {
		d.patterns = append(d.patterns, strings.ToLower(pattern))
	}
	return d
}

// clean copies a value that stands at path, without what is denied below it, and makes of it what JSON
// can hold.
func (d *denier) clean(path string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		return d.object(path, v)
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = d.clean(path, item)
		}
		return items
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
	}
	return value
}

func (d *denier) object(path string, object map[string]any) map[string]any {
	kept := make(map[string]any, len(object))
	for name, value := range object {
		at := strings.TrimPrefix(path+"."+name, ".")
		if d.denies(at, name) {
			d.removed = append(d.removed, at)
			continue
		}
		kept[name] = d.clean(at, value)
	}
	return kept
}

func (d *denier) denies(path, name string) bool {
	path, name = strings.ToLower(path), strings.ToLower(name)
	return slices.ContainsFunc(d.patterns, func(pattern string) bool {
		if strings.Contains(pattern, ".") {
			return match.Match(path, pattern)
		}
		return match.Match(name, pattern)
	})
}

// summary names what was removed, never its values; "" for nothing.
func (d *denier) summary() string {
	const named = 5
	if len(d.removed) == 0 {
		return ""
	}
	slices.Sort(d.removed)
	paths := slices.Compact(d.removed)
	text := fmt.Sprintf("%d denied as secrets (%s", len(paths), strings.Join(paths[:min(named, len(paths))], ", "))
	if len(paths) > named {
		text += ", ..."
	}
	return text + ")"
}
