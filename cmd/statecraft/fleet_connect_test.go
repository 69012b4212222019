package main

import (
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestAClientIsToldThatItsTokenEnds from 60 days before, of a short one in its last third, and not when nothing is to be done yet.
func TestAClientIsToldThatItsTokenEnds(t *testing.T) {
	const day = 24 * time.Hour
	began := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		lifetime, age time.Duration
		told          bool
	}{
		{365 * day, 0, false}, {365 * day, 304 * day, false}, {365 * day, 305 * day, true}, {30 * day, 19 * day, false}, {30 * day, 20 * day, true},
		{30 * day, 30 * day, false}, // the broker refuses it, which is told then
		{0, 400 * day, false},       // it has no end
	} {
		c := &identity.Claims{Subject: "alice", IssuedAt: began}
		if tt.lifetime > 0 {
			c.Expires = began.Add(tt.lifetime)
		}
		var said strings.Builder
		(&invocation{stderr: &said}).noteEnd(c, began.Add(tt.age))
		if told := strings.Contains(said.String(), "alice ends at"); told != tt.told {
			t.Errorf("a token of %s after %s: %q", tt.lifetime, tt.age, said.String())
		}
	}
}
