package schedule

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

func itoa(i int) string { return strconv.Itoa(i) }

func prepare(t *testing.T, properties string) *watchers.Prepared {
	t.Helper()
	n, list := strict.Parse("machine.yaml", []byte(properties))
	if list.HasErrors() {
		t.Fatal(list)
	}
	prepared, list := Type().Prepare(&machine.WatcherSpec{Name: "w", Type: "schedule", Properties: n, Strict: true})
	if list.HasErrors() {
		t.Fatal(list)
	}
	return prepared
}

// host drives one watcher over a clock of its own as the runtime does.
type host struct {
	now    time.Time
	passed time.Duration
	w      watchers.Planner
	due    time.Duration // elapsed, 0 for none
	moment watchers.Moment
	splay  func(time.Duration) time.Duration
	since  time.Time
	log    []string
	full   []watchers.Report
}

func newHost(t *testing.T, properties, start string) *host {
	t.Helper()
	at, err := time.Parse(time.RFC3339, start)
	if err != nil {
		t.Fatal(err)
	}
	return &host{
		now:   at,
		w:     prepare(t, properties).New().(watchers.Planner),
		splay: func(time.Duration) time.Duration { return 0 },
	}
}

func (h *host) plan(moment watchers.Moment, resumed bool) {
	if moment == watchers.Entered || moment == watchers.Started && !resumed {
		h.since = h.now
	}
	d := h.w.Plan(watchers.Planning{
		Moment: moment, Now: h.now, Elapsed: h.passed, Resumed: resumed, Since: h.since, Random: h.splay,
	})
	h.moment = moment
	switch {
	case !d.At.IsZero():
		h.due = h.passed + max(1, d.At.Sub(h.now))
	case d.After > 0:
		h.due = h.passed + d.After
	default:
		h.due = 0
	}
}

// settle takes the looks that are due now.
func (h *host) settle() {
	for h.due > 0 && h.due <= h.passed+1 {
		h.look(h.moment)
	}
}

func (h *host) look(moment watchers.Moment) {
	rep := h.w.Check(context.Background(), &watchers.Look{At: h.now, Moment: moment})
	if rep.Outcome != watchers.OutcomeUnchanged {
		h.log = append(h.log, h.now.UTC().Format("02 15:04:05")+" "+rep.Outcome)
	}
	h.full = append(h.full, rep)
	h.plan(watchers.Looked, false)
}

func (h *host) advance(d time.Duration) {
	h.now = h.now.Add(d)
	h.passed += d
}

func (h *host) start()  { h.plan(watchers.Started, false); h.settle() }
func (h *host) resume() { h.plan(watchers.Started, true); h.settle() }
func (h *host) enter()  { h.plan(watchers.Entered, false); h.settle() }
func (h *host) leave()  { h.w.(watchers.Resetter).Reset(); h.due = 0 }

func (h *host) run(d time.Duration) {
	end := h.passed + d
	for h.due > 0 && h.due <= end {
		h.advance(max(0, h.due-h.passed))
		h.look(watchers.Interval)
	}
	h.advance(end - h.passed)
}

func (h *host) set(by time.Duration) {
	h.now = h.now.Add(by)
	h.plan(watchers.Jumped, false)
	h.settle()
}

func (h *host) suspend(d time.Duration) {
	h.now = h.now.Add(d)
	h.plan(watchers.Jumped, false)
	h.settle()
}

func (h *host) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.log); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	h.log = nil
}

const (
	daily   = "schedules: ['0 10 * * *']\nduration: 1h\ntimezone: UTC\n"
	hourly  = "schedules: ['0 * * * *']\nduration: 10m\ntimezone: UTC\n"
	catchUp = "catch_up: once\n"
)

func TestWindowBeginsAndEnds(t *testing.T) {
	h := newHost(t, daily, "2026-03-01T09:00:00Z")
	h.start()
	h.expect(t, "01 09:00:00 fail")
	h.run(48 * time.Hour)
	h.expect(t, "01 10:00:00 success", "01 11:00:00 fail", "02 10:00:00 success", "02 11:00:00 fail")
}

func TestPayloadAndState(t *testing.T) {
	h := newHost(t, daily, "2026-03-01T09:59:00Z")
	h.start()
	h.run(time.Minute)
	want := watchers.Report{
		Outcome: "success", Message: "the window until 2026-03-01T11:00:00Z has begun",
		Payload: map[string]any{"start": "2026-03-01T10:00:00Z", "end": "2026-03-01T11:00:00Z"},
		State:   map[string]any{"state": "on"},
	}
	if diff := cmp.Diff(want, h.full[len(h.full)-1]); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestOverlappingAndTouchingWindowsAreOne(t *testing.T) {
	for _, schedules := range []string{"['0 10 * * *', '30 10 * * *']", "['0,30 10 * * *']"} {
		h := newHost(t, "schedules: "+schedules+"\nduration: 1h\ntimezone: UTC", "2026-03-01T09:00:00Z")
		h.start()
		h.run(20 * time.Hour)
		h.expect(t, "01 09:00:00 fail", "01 10:00:00 success", "01 11:30:00 fail")
	}
	h := newHost(t, "schedules: ['0 10,11 * * *']\nduration: 1h\ntimezone: UTC", "2026-03-01T09:00:00Z")
	h.start()
	h.run(20 * time.Hour)
	h.expect(t, "01 09:00:00 fail", "01 10:00:00 success", "01 12:00:00 fail")
}

func TestStartInsideAWindow(t *testing.T) {
	tests := []struct {
		name, properties string
		want             []string
	}{
		{"is not run", daily, []string{"01 10:30:00 fail", "02 10:00:00 success", "02 11:00:00 fail"}},
		{"is caught up with", daily + catchUp, []string{"01 10:30:00 success", "01 11:00:00 fail", "02 10:00:00 success", "02 11:00:00 fail"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.properties, "2026-03-01T10:30:00Z")
			h.start()
			h.run(26 * time.Hour)
			h.expect(t, tt.want...)
		})
	}
}

func TestResume(t *testing.T) {
	tests := []struct {
		name, properties, since, now string
		want                         []string
	}{
		{"in the window of its state", daily, "2026-03-01T10:00:00Z", "2026-03-01T10:30:00Z", []string{"01 11:00:00 fail"}},
		{"after the window of its state", daily, "2026-03-01T10:00:00Z", "2026-03-01T11:30:00Z", []string{"01 11:30:00 fail"}},
		{"before any window", daily, "2026-03-01T08:00:00Z", "2026-03-01T09:00:00Z", []string{"01 10:00:00 success", "01 11:00:00 fail"}},
		{"in a window that began meanwhile", daily, "2026-03-01T09:00:00Z", "2026-03-01T10:30:00Z", nil},
		{"catching up with an open one", daily + catchUp, "2026-03-01T09:00:00Z", "2026-03-01T10:30:00Z",
			[]string{"01 10:30:00 success", "01 11:00:00 fail"}},
		{"catching up with one that is over", daily + catchUp, "2026-03-01T09:00:00Z", "2026-03-01T11:30:00Z",
			[]string{"01 11:30:00 success", "01 12:30:00 fail"}},
		{"missed, not catching up", daily, "2026-03-01T09:00:00Z", "2026-03-01T11:30:00Z", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.properties, tt.now)
			h.since, _ = time.Parse(time.RFC3339, tt.since)
			h.resume()
			h.run(3 * time.Hour)
			h.expect(t, tt.want...)
		})
	}
}

func TestStartSplayDelaysTheBeginningOnly(t *testing.T) {
	h := newHost(t, daily+"start_splay: 30m\n", "2026-03-01T09:00:00Z")
	h.splay = func(below time.Duration) time.Duration { return below / 3 }
	h.start()
	h.run(90 * time.Minute)
	h.look(watchers.Poked) // a look in between changes nothing
	h.run(20 * time.Hour)
	h.expect(t, "01 09:00:00 fail", "01 10:10:00 success", "01 11:00:00 fail")
}

func TestPokedInTheDelay(t *testing.T) {
	h := newHost(t, daily+"start_splay: 30m\n", "2026-03-01T09:00:00Z")
	h.splay = func(below time.Duration) time.Duration { return below - 1 }
	h.start()
	h.run(65 * time.Minute)
	h.look(watchers.Poked)
	h.run(20 * time.Hour)
	h.expect(t, "01 09:00:00 fail", "01 10:29:59 success", "01 11:00:00 fail")
}

func TestRefusedEndIsLookedAtAgain(t *testing.T) {
	h := newHost(t, daily, "2026-03-01T09:00:00Z")
	h.start()
	h.run(119 * time.Minute)
	h.advance(time.Minute)
	h.plan(watchers.Looked, false) // the look at 11:00 was left out
	if got := h.due - h.passed; got != refusedAgain {
		t.Fatalf("looks again after %s, want %s", got, refusedAgain)
	}
	h.run(2 * time.Minute)
	h.expect(t, "01 09:00:00 fail", "01 10:00:00 success", "01 11:01:00 fail")
}

// jumpTest is a life of a host, after its start.
type jumpTest struct {
	name, properties, start string
	do                      func(h *host)
	want                    []string
}

func runJumps(t *testing.T, tests []jumpTest) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, tt.properties, tt.start)
			h.start()
			h.log = nil
			tt.do(h)
			h.expect(t, tt.want...)
		})
	}
}

func TestA04ClockSetBack(t *testing.T) {
	runJumps(t, []jumpTest{
		{"set back after a window: not again", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(2 * time.Hour) // 11:30
			h.set(-2 * time.Hour)
			h.run(4 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
		{"set back into a window that is over: still over", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(2 * time.Hour) // 11:30
			h.set(-time.Hour)
			h.run(4 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
		{"set back to before an open window: ends once, after its length at most", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(time.Hour)      // 10:30
			h.set(-2 * time.Hour) // 08:30
			h.run(6 * time.Hour)
		}, []string{"01 10:00:00 success", "01 09:30:00 fail"}},
		{"set back inside of an open window: ends when the clock says", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(time.Hour) // 10:30
			h.set(-20 * time.Minute)
			h.run(6 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
	})
}

func TestA04ClockSetForwardAndSuspension(t *testing.T) {
	runJumps(t, []jumpTest{
		{"set forward into a window: begins late", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.set(time.Hour)
			h.run(time.Hour)
		}, []string{"01 10:30:00 success", "01 11:00:00 fail"}},
		{"set forward over a window: missed", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.set(2 * time.Hour)
			h.run(time.Hour)
		}, nil},
		{"set forward over a window: caught up with", daily + catchUp, "2026-03-01T09:30:00Z", func(h *host) {
			h.set(2 * time.Hour)
			h.run(2 * time.Hour)
		}, []string{"01 11:30:00 success", "01 12:30:00 fail"}},
		{"set forward over a window and back: it comes", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.set(2 * time.Hour)
			h.run(time.Minute)
			h.set(-2 * time.Hour)
			h.run(2 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
		{"set forward out of a window: ends", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(time.Hour)
			h.set(time.Hour)
			h.run(time.Hour)
		}, []string{"01 10:00:00 success", "01 11:30:00 fail"}},
		{"set forward from one window into another: both are told", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(time.Hour)
			h.set(24 * time.Hour)
			h.run(time.Hour)
		}, []string{"01 10:00:00 success", "02 10:30:00 fail", "02 10:30:00 success", "02 11:00:00 fail"}},
		{"suspended for 8 h over windows", hourly, "2026-03-01T09:30:00Z", func(h *host) {
			h.suspend(8 * time.Hour) // 17:30
			h.run(time.Hour)
		}, []string{"01 18:00:00 success", "01 18:10:00 fail"}},
		{"suspended for 8 h over windows, caught up with once", hourly + catchUp, "2026-03-01T09:30:00Z", func(h *host) {
			h.suspend(8 * time.Hour) // 17:30
			h.run(time.Hour)
		}, []string{"01 17:30:00 success", "01 17:40:00 fail", "01 18:00:00 success", "01 18:10:00 fail"}},
		{"suspended for 8 h inside, caught up with after the end", hourly + catchUp, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(35 * time.Minute)  // 10:05
			h.suspend(8 * time.Hour) // 18:05
			h.run(10 * time.Minute)
		}, []string{"01 10:00:00 success", "01 18:05:00 fail", "01 18:05:00 success", "01 18:10:00 fail"}},
	})
}

func TestA04ClockFarAway(t *testing.T) {
	runJumps(t, []jumpTest{
		{"1970 and back: nothing twice", daily + catchUp, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(2 * time.Hour) // 11:30
			away := h.now.Sub(time.Unix(0, 0))
			h.set(-away)
			h.run(time.Minute)
			h.set(away)
			h.run(4 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
		{"1970 and back inside of a window: nothing twice", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.run(time.Hour) // 10:30
			away := h.now.Sub(time.Unix(0, 0))
			h.set(-away)
			h.run(61 * time.Minute)
			h.set(away - time.Hour) // 10:31
			h.run(4 * time.Hour)
		}, []string{"01 10:00:00 success", "01 01:00:00 fail"}},
		{"the far future and back: nothing is lost", daily, "2026-03-01T09:30:00Z", func(h *host) {
			h.set(4 * 365 * 24 * time.Hour)
			h.run(time.Minute)
			h.set(-4 * 365 * 24 * time.Hour)
			h.run(2 * time.Hour)
		}, []string{"01 10:00:00 success", "01 11:00:00 fail"}},
	})
}

// TestA04UnseenJump is a system that does not say when its clock is set.
func TestA04UnseenJump(t *testing.T) {
	h := newHost(t, hourly, "2026-03-01T09:30:00Z")
	h.start()
	h.log = nil
	h.now = h.now.Add(3 * time.Hour) // 12:30
	h.run(30 * time.Minute)          // woken at 13:00, for 10:00
	h.run(2 * time.Hour)
	h.expect(t, "01 13:00:00 success", "01 13:10:00 fail", "01 14:00:00 success", "01 14:10:00 fail", "01 15:00:00 success")
}

func TestMissedWindowsAreToldOf(t *testing.T) {
	h := newHost(t, hourly, "2026-03-01T09:30:00Z")
	h.start()
	h.suspend(8 * time.Hour)
	if got := h.full[len(h.full)-1].Message; got != "8 windows were missed; " {
		t.Errorf("message %q", got)
	}
}

func TestA04DaylightSavingWindow(t *testing.T) {
	h := newHost(t, "schedules: ['30 2 * * *']\nduration: 90m\ntimezone: Europe/Berlin", "2026-10-24T12:00:00Z")
	h.start()
	h.run(48 * time.Hour)
	h.expect(t, "24 12:00:00 fail", "25 00:30:00 success", "25 02:00:00 fail", "26 01:30:00 success", "26 03:00:00 fail")
}

// TestA04NeverTwiceNeverSkipped lets the clock jump at random. A window's beginning is reported once at most, and every
// window that passes without a jump near it is reported.
func TestA04NeverTwiceNeverSkipped(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		zone := rapid.SampledFrom(zones()).Draw(r, "zone")
		length := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 7 * time.Minute, time.Hour, 5 * time.Hour}).Draw(r, "length")
		h := newHost(t, fmt.Sprintf("schedules: ['%s', '%s']\nduration: %s\ntimezone: %s", drawEntry(r), drawEntry(r), length, zone),
			"2026-10-24T00:00:00Z")
		h.start()
		jump := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Map(rapid.IntRange(-200, 200), func(m int) time.Duration { return time.Duration(m) * time.Minute }))
		for range rapid.IntRange(1, 6).Draw(r, "jumps") {
			h.run(time.Duration(rapid.IntRange(1, 600).Draw(r, "minutes")) * time.Minute)
			h.set(jump.Draw(r, "jump"))
		}
		seen := map[any]bool{}
		on := false
		for i, rep := range h.full {
			switch rep.Outcome {
			case "success":
				if start := rep.Payload["start"]; on || seen[start] {
					r.Fatalf("the window of %v begins twice, or inside of another", start)
				}
				on, seen[rep.Payload["start"]] = true, true
			case "fail":
				if !on && i > 0 {
					r.Fatalf("a window ends that has not begun")
				}
				on = false
			}
		}
	})
}

func TestNeverSkippedWithoutJumps(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		zone := rapid.SampledFrom(zones()).Draw(r, "zone")
		entries := drawEntry(r)
		h := newHost(t, fmt.Sprintf("schedules: ['%s']\nduration: 1s\ntimezone: %s", entries, zone), "2026-10-24T11:59:30Z")
		h.start()
		h.log = nil
		h.run(30 * time.Hour)
		e := mustParse(t, entries, place(t, zone))
		var want []string
		end := h.now
		for at := e.next(end.Add(-30 * time.Hour)); !at.IsZero() && !at.After(end); at = e.next(at) {
			want = append(want, at.UTC().Format("02 15:04:05")+" success", at.Add(time.Second).UTC().Format("02 15:04:05")+" fail")
		}
		if strings.Join(want, "\n") != strings.Join(h.log, "\n") {
			r.Fatalf("outcomes (-want +got):\n%s", cmp.Diff(want, h.log))
		}
	})
}
