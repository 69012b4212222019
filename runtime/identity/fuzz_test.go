package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func seeds(f *testing.F, o *overlay) {
	token := sign(f, o.cell, nodeClaims(f))
	f.Add(token)
	f.Add(token[:len(token)/2])
	f.Add(strings.Replace(token, ".", "..", 1))
	f.Add(o.cell.Chain[0])
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("e30.e30.e30")
	for _, added := range []map[string]any{
		{"crit": []any{"signer"}}, {"crit": []any{"cidr"}, "agents": []any{"puppet.*"}}, {"crit": 7}, {"limits": map[string]any{"signer": "required"}}, {"limits": []any{}},
	} {
		f.Add(later(f, o.cell, nodeClaims(f), added))
	}
}

// FuzzVerify holds that nothing verifies but what was signed, and that every refusal has one of the causes.
func FuzzVerify(f *testing.F) {
	o := newOverlay(f)
	seeds(f, o)
	genuine := sign(f, o.cell, nodeClaims(f))
	f.Add(genuine)
	f.Fuzz(func(t *testing.T, token string) {
		c, err := o.verifier.Verify(token, expectNode())
		if err == nil {
			if c.Issuer != o.cell.Key.Public().String() || c.Identity != "web1.example" {
				t.Errorf("verifies: %+v", c)
			}
			return
		}
		for _, cause := range []error{ErrMalformed, ErrUnsupported, ErrSignature, ErrIssuer, ErrPurpose, ErrAudience, ErrExpired, ErrNotYetValid} {
			if errors.Is(err, cause) {
				return
			}
		}
		t.Errorf("no cause in %v", err)
	})
}

// FuzzInspect holds that what can be read can be written and read again.
func FuzzInspect(f *testing.F) {
	seeds(f, newOverlay(f))
	f.Fuzz(func(t *testing.T, token string) {
		c, err := Inspect(token)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Errorf("no cause in %v", err)
			}
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Claims
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c.Document, again.Document = nil, nil // compacted
		if c.Join != nil {
			c.Join.Extensions, again.Join.Extensions = nil, nil
		}
		if diff := cmp.Diff(texts(t, c), texts(t, &again)); diff != "" {
			t.Errorf("comes back otherwise:\n%s", diff)
		}
	})
}

func texts(t *testing.T, c *Claims) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
