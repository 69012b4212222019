package watchers

import (
	"encoding/json"
	"testing"
)

// FuzzOutput holds that the answer of a helper - the output of a program that is read as a JSON object - is taken as one, or refused.
func FuzzOutput(f *testing.F) {
	for _, seed := range []string{
		`{"defer": true, "msg": "not yet"}`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`, `{"n":1e400}`, `{"n":123456789012345678901234567890}`, `{"a":"\u0000"}`, "{\"a\":\"\xff\"}", `[]`, `{`, ``,
		`{"a":{"b":[[[[]]]]}}`, `{"":0,"":0}`, "{}\n\n", `nul`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		object, err := decodeKeys(text)
		if err != nil {
			return
		}
		if len(object) > maxDataKeys {
			t.Errorf("it has %d keys", len(object))
		}
		if _, err := json.Marshal(object); err != nil {
			t.Errorf("%s cannot be written again: %v", text, err)
		}
	})
}
