package machine

import "github.com/statecraft-io/statecraft/machine/strict"

// Keys describes the keys of a manifest, for the generated reference and the JSON Schema. Keys that take more
// than one shape are described by the one that every manifest may use.
func Keys() []strict.FieldInfo {
	keys := strict.Fields(manifestYAML{})
	shape(keys, "map of mappings", strict.Fields(groupYAML{}), "groups")
	shape(keys, "list of strings", nil, "groups", "states")
	shape(keys, "list of strings", nil, "transitions", "from")
	shape(keys, "list of strings", nil, "transitions", "clear")
	shape(keys, "list of mappings", strict.Fields(subscriptionYAML{}), "transitions", "subscribe")
	shape(keys, "list of mappings", strict.Fields(foreignStateYAML{}), "watchers", "foreign_state_required")
	return keys
}

// shape describes the key at a path, which reads itself.
func shape(keys []strict.FieldInfo, kind string, inner []strict.FieldInfo, path ...string) {
	for i := range keys {
		switch {
		case keys[i].Name != path[0]:
		case len(path) > 1:
			shape(keys[i].Fields, kind, inner, path[1:]...)
		default:
			keys[i].Type, keys[i].Fields = kind, inner
		}
	}
}
