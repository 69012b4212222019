package schedule

import (
	"fmt"
	"testing"
	"time"
)

func TestEnteringInsideAndOutside(t *testing.T) {
	for _, skip := range []bool{false, true} {
		h := newHost(t, daily+fmt.Sprintf("skip_trigger_on_reenter: %t\n", skip), "2026-03-01T09:00:00Z")
		h.start()
		h.run(70 * time.Minute)
		h.log = nil
		h.leave()
		h.run(5 * time.Minute)
		h.enter()
		h.enter() // another matching state
		if skip {
			h.expect(t)
			if got := h.full[len(h.full)-1].State["state"]; got != "skipped" {
				t.Errorf("state %v, want skipped", got)
			}
		} else {
			h.expect(t, "01 10:15:00 success", "01 10:15:00 success")
		}
		h.run(time.Hour)
		h.expect(t, "01 11:00:00 fail")
		h.leave()
		h.run(time.Hour)
		h.enter()
		h.expect(t, "01 12:15:00 fail")
	}
}

func TestEntersAsTheWindowBegins(t *testing.T) {
	h := newHost(t, daily+"skip_trigger_on_reenter: true\n", "2026-03-01T10:00:00Z")
	h.enter()
	h.expect(t, "01 10:00:00 success")
}

// A window that begins fires an event. Where that leads to a matching state in the same instant, over another state or not, the
// beginning is not told again if so asked.
func TestEntersAgainInTheInstantOfTheBeginning(t *testing.T) {
	for _, over := range []struct {
		name string
		way  func(*host)
	}{
		{"from a matching state", (*host).enter},
		{"from another state", func(h *host) { h.leave(); h.enter() }},
		{"and again", func(h *host) { h.leave(); h.enter(); h.enter() }},
	} {
		for _, skip := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, skip %t", over.name, skip), func(t *testing.T) {
				h := newHost(t, daily+fmt.Sprintf("skip_trigger_on_reenter: %t\n", skip), "2026-03-01T09:00:00Z")
				h.start()
				h.run(time.Hour)
				h.expect(t, "01 09:00:00 fail", "01 10:00:00 success")
				over.way(h)
				if told := len(h.log) > 0; told == skip {
					t.Errorf("outcomes %v, skip %t", h.log, skip)
				}
				h.log = nil
				h.run(24 * time.Hour)
				h.expect(t, "01 11:00:00 fail", "02 10:00:00 success")
			})
		}
	}
}
