package credentials

import (
	"encoding/json"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// FuzzFields holds that what tokens say - introductions, proofs, confirmations, challenges, assignments - becomes a payload that is JSON, or is
// refused.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		`{"purpose":"hello","public_key":"x","document":{"identity":"n1.example"}}`, `{"purpose":"proof","document":{"hello":"1","challenge":"2"}}`,
		`{"purpose":"join","max_uses":3,"identities":"*"}`, `{"document":1e400}`, `{"document":{"a":1,"a":2}}`, `{"document":"\ud800"}`, `{"collectives":["\u0000"]}`, `{}`, `[]`,
		`{"permissions":{"a":true}}`, `{"limits":{"max_lifetime":1e30}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var c identity.Claims
		if json.Unmarshal(text, &c) != nil {
			return
		}
		payload, err := fields(&c)
		if err != nil {
			return
		}
		if _, err := json.Marshal(payload); err != nil {
			t.Errorf("%s becomes a payload that cannot be recorded: %v", text, err)
		}
	})
}
