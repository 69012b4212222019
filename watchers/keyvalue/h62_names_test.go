package keyvalue

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
)

// TestH62KeysAreBounded has data, which may be what others sent, decide a key. The connection stays.
func TestH62KeysAreBounded(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "B"})
	for _, mode := range []string{"get", "put\nvalue: \"'x'\""} {
		for _, key := range []string{strings.Repeat("k", 100_000), strings.Repeat("k", 513), "a b", "*", ""} {
			r := check(t, l, "kv", "bucket: B\nkey: '{{ lookup \"data.key\" \"\" }}'\nmode: "+mode, map[string]any{"key": key})
			if r.Outcome != machine.OutcomeFail || len(r.Message) > 2_000 {
				t.Errorf("%s %.20q: %s with %d bytes", mode, key, r.Outcome, len(r.Message))
			}
		}
	}
	if r := check(t, l, "kv", "bucket: B\nkey: k\nmode: put\nvalue: \"'x'\"", nil); r.Outcome != machine.OutcomeSuccess {
		t.Errorf("afterwards: %s %s", r.Outcome, r.Message)
	}
}
