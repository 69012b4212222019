package machine

import (
	"slices"
	"strings"
)

// secretPath leads to a value within a mapping, key by key. The empty path is the mapping itself. Where the way leads
// through something that is no mapping, the path means that.
type secretPath []string

type secretPaths []secretPath

// everything is the written form of the empty path.
const everything = "*"

// readSecretPath reads a path as manifests have it, false where it is none.
func readSecretPath(text string) (secretPath, bool) {
	if text == everything {
		return secretPath{}, true
	}
	p := secretPath(strings.Split(text, "."))
	return p, !slices.Contains(p, "") && !slices.Contains(p, everything)
}

// with adds paths, those left out that one of them covers.
func (ps secretPaths) with(more ...secretPath) secretPaths {
	out := slices.Concat(ps, more)
	slices.SortFunc(out, slices.Compare)
	kept := out[:0]
	for _, p := range out { // what covers a path stands before it
		if len(kept) == 0 || !covers(kept[len(kept)-1], p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// touches reports whether a value at a path has, or is part of, one of the values at ps.
func (ps secretPaths) touches(p secretPath) bool {
	return slices.ContainsFunc(ps, func(s secretPath) bool { return covers(s, p) || covers(p, s) })
}

func covers(outer, inner []string) bool {
	return len(outer) <= len(inner) && slices.Equal(outer, inner[:len(outer)])
}

// replace returns a mapping with the values at the paths replaced by what f makes of them. What is empty holds no secret and
// stays, and so does the mapping where nothing is replaced. f is given where the value is, from the mapping on.
func (ps secretPaths) replace(m map[string]any, f func(at []string, v any) any) map[string]any {
	for _, p := range ps {
		if changed, ok := replaceAt(m, p, 0, f); ok {
			m, _ = changed.(map[string]any)
		}
	}
	return m
}

// each calls f with the values that replace would replace, and copies nothing.
func (ps secretPaths) each(m map[string]any, f func(v any)) {
	for _, p := range ps {
		var v any = m
		for depth := 0; !empty(v); depth++ {
			inner, ok := v.(map[string]any)
			if depth == len(p) || !ok {
				f(v)
				break
			}
			v = inner[p[depth]]
		}
	}
}

// replaceAt replaces the value at p, of which depth keys led to v. It copies the mappings on the way.
func replaceAt(v any, p secretPath, depth int, f func(at []string, v any) any) (any, bool) {
	if empty(v) {
		return nil, false
	}
	m, inner := v.(map[string]any)
	if depth == len(p) || !inner {
		return f(p[:depth], v), true
	}
	part, ok := replaceAt(m[p[depth]], p, depth+1, f)
	if !ok {
		return nil, false
	}
	out := make(map[string]any, len(m))
	for k, old := range m {
		out[k] = old
	}
	out[p[depth]] = part
	return out, true
}

// empty reports whether a value tells nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	default:
		return false
	}
}
