package machine

import (
	"testing"

	"github.com/statecraft-io/statecraft/machine/strict"
)

func TestKeysKnowTheirShape(t *testing.T) {
	got := map[string]string{}
	flatten(got, "", Keys())
	for path, want := range map[string]string{
		"name": "string", "data": "map of mappings", "data.default": "any", "transitions.from": "list of strings",
		"groups": "map of mappings", "groups.states": "list of strings", "transitions.clear": "list of strings",
		"transitions.subscribe": "list of mappings", "transitions.subscribe.event": "string",
		"watchers.foreign_state_required.state": "string", "watchers.interval": "duration", "watchers.properties": "any",
	} {
		if got[path] != want {
			t.Errorf("%s is %q, want %q", path, got[path], want)
		}
	}
}

func flatten(out map[string]string, prefix string, keys []strict.FieldInfo) {
	for _, k := range keys {
		out[prefix+k.Name] = k.Type
		flatten(out, prefix+k.Name+".", k.Fields)
	}
}
