package inventory

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// FuzzViewQuery holds that every question to the view has an answer that is JSON and fits, or a refusal with a code.
func FuzzViewQuery(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"where": "facts.os.name == 'debian'"}`, `{"node": "n1.example", "document": true}`, `{"fields": ["facts.os"], "limit": 3}`,
		`{"machines": "web"}`, `{"limit": 1e400}`, `{"limit": -1}`, `{"where": "a\u0000"}`, `{"where": 1}`, `{"after": "\ud800"}`, `{"x": 1}`, `{}{}`, `[]`,
		`{"where":"true","where":"false"}`, `{"where": "` + strings.Repeat("(", 300) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	d := newDesk(&viewSpec{Timeout: strict.Duration(time.Second), Memory: 64}, fleet(20), querySubject, "inventory", &watchers.Look{})
	d.ready.Store(true)
	f.Fuzz(func(t *testing.T, data []byte) {
		d.waiting.Add(1) // as a question that has come in
		body, err := d.inTurn(t.Context(), data, 64<<10)
		if err != nil {
			var known refusal
			if !errors.As(err, &known) || known.code == "" {
				t.Errorf("no code in %v", err)
			}
			return
		}
		if !json.Valid(body) || len(body) > 64<<10 {
			t.Errorf("an answer of %d bytes: %.200s", len(body), body)
		}
	})
}
