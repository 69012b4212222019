package runtime

import (
	"testing"
	"time"
)

// TestGovernorsThatStopLetGo has one that holds a slot and one that waits: who waits is let go without a word, its clock is stopped, and the
// slot that comes back goes to nobody.
func TestGovernorsThatStopLetGo(t *testing.T) {
	clocks := 0
	g := newGovernors(nil, func(time.Duration, func()) func() {
		clocks++
		return func() { clocks-- }
	})
	var release func()
	g.ask("disk", time.Hour, func(r func()) { release = r }, nil)
	spoken := func() { t.Error("who waits hears something of a host that stops") }
	leave := g.ask("disk", time.Hour, func(func()) { spoken() }, spoken)
	if clocks != 1 {
		t.Fatalf("%d clocks run for one that waits", clocks)
	}
	g.stop()
	if clocks != 0 {
		t.Errorf("%d clocks still run", clocks)
	}
	release()
	leave()
	g.ask("disk", time.Hour, func(func()) { spoken() }, spoken)()
}
