package delivery

import (
	"testing"

	"github.com/statecraft-io/statecraft/watchers"
)

// TestAMachineThatIsGoneHasNoVersionToSay holds what people read of a machine.
func TestAMachineThatIsGoneHasNoVersionToSay(t *testing.T) {
	for want, s := range map[string]watchers.Standing{"web is gone": {State: "gone"}, "web 1.0.0 is running": {State: "running", Version: "1.0.0"}} {
		if rep := machineReport("success", "web", s, ""); rep.Message != want {
			t.Errorf("it says %q, not %q", rep.Message, want)
		}
	}
}
