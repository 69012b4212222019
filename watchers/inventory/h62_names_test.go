package inventory

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
)

// TestH62WhereInventoriesGoIsBounded has a header of 100,000 characters decide the subject of the stream. The message is refused, and the next
// one is stored by the same connection.
func TestH62WhereInventoriesGoIsBounded(t *testing.T) {
	a := newAdapterTest(t, false)
	a.spec.Where = nil
	a.spec.To = formula(t, `"discovery." + message.headers["To"]`)
	a.stream()
	a.listen()
	for _, to := range []string{strings.Repeat("a", 100_000), "a.*", "a b", "a..b", "n1=example"} {
		m := inventoryOf("n1=example", "n1.example", "x")
		m.Header = nats.Header{"To": {to}, DigestHeader: {strings.Repeat("d", 100_000)}}
		a.send(m)
	}
	waitFor(t, func() bool {
		s, err := a.js.Stream(t.Context(), "DISCOVERY")
		return err == nil && s.CachedInfo().State.Msgs == 1
	})
	a.says(outcomeRefused, "4 messages were refused", map[string]any{"received": 5, "stored": 1, "refused": 4, "dropped": 0, "waiting": 0})
	for _, r := range a.reports(outcomeRefused) {
		if len(r.Message) > 2_000 {
			t.Errorf("the report has %d bytes", len(r.Message))
		}
	}
	if n := len(a.reports(machine.OutcomeSuccess)); n != 1 {
		t.Errorf("it began to listen %d times", n)
	}
}
