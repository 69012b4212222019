package credentials

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// clock drives a due watcher as the runtime does.
type clock struct {
	*fleet
	d        *due
	interval time.Duration
	random   func(below time.Duration) time.Duration
	next     watchers.Due
	at       time.Time // of the next look
	said     []string
}

func newClock(t testing.TB, lifetime time.Duration, at time.Duration) *clock {
	f := newFleet(t)
	f.now = noon.Add(at)
	if lifetime > 0 {
		f.assign(lifetime)
	}
	return &clock{fleet: f, d: f.watcher("token", "action: due").(*due), random: func(below time.Duration) time.Duration { return max(0, below) / 2 }}
}

func (c *clock) plan(m watchers.Moment) {
	c.next = c.d.Plan(watchers.Planning{Moment: m, Now: c.now, Interval: c.interval, Random: c.random})
	c.at = c.next.At
	if c.next.After > 0 {
		c.at = c.now.Add(c.next.After)
	}
}

func (c *clock) look() {
	r := c.d.Check(c.Context(), c.seen())
	if r.Outcome != watchers.OutcomeUnchanged {
		c.said = append(c.said, c.now.Sub(noon).String()+" "+r.Outcome)
	}
	c.plan(watchers.Looked)
}

func (c *clock) seen() *watchers.Look { return c.fleet.look("web1.example", nil) }

// until lets time pass, and takes the looks that are due.
func (c *clock) until(end time.Duration) {
	for range 1000 {
		if c.at.IsZero() || c.at.After(noon.Add(end)) {
			c.now = noon.Add(end)
			return
		}
		c.now = c.at
		c.look()
	}
	c.Fatal("it looks again and again")
}

func (c *clock) expect(want ...string) {
	c.Helper()
	if diff := cmp.Diff(want, c.said); diff != "" {
		c.Errorf("(-want +got):\n%s", diff)
	}
	c.said = nil
}

func TestDue(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Started)
	c.until(40 * time.Hour)
	c.expect("6h0m0s success", "10h0m0s expired")
}

func TestDueAfterRenewal(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(7 * time.Hour)
	c.assign(20 * time.Hour)
	c.until(40 * time.Hour) // its state was never left
	c.expect("6h0m0s success", "12h0m0s success", "20h0m0s expired")
}

func TestDueInANewVisit(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(7 * time.Hour)
	c.d.Reset()
	c.plan(watchers.Entered) // the renewal has failed
	c.until(40 * time.Hour)
	c.expect("6h0m0s success", "7h18m0s success", "10h0m0s expired")
}

// TestDueAfterALateLook has a look of a visit that is over: what it says is lost, and the next visit says it again.
func TestDueAfterALateLook(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(20 * time.Hour)
	c.d.Reset()
	c.plan(watchers.Entered)
	c.d.Check(c.Context(), c.seen())
	first := c.seen()
	first.Moment = watchers.Entered
	if got := c.d.Check(c.Context(), first); got.Outcome != OutcomeExpired {
		t.Errorf("the first look of a visit: %+v", got)
	}
}

// TestDueIsResetWhileItLooks fails under the race detector only.
func TestDueIsResetWhileItLooks(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	look := c.seen()
	var looking sync.WaitGroup
	looking.Go(func() { c.d.Check(t.Context(), look) })
	c.d.Reset()
	c.plan(watchers.Entered)
	looking.Wait()
}

func TestDueWhenPoked(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	for _, at := range []time.Duration{time.Hour, 5 * time.Hour, 6*time.Hour - time.Second} {
		c.until(at)
		c.look()
	}
	c.expect()
	c.until(6 * time.Hour)
	c.look()
	c.expect("6h0m0s success")
}

// TestD27DueAfterRestart begins at several ages of the token.
func TestD27DueAfterRestart(t *testing.T) {
	for _, tt := range []struct {
		at   time.Duration
		want []string
	}{
		{time.Hour, []string{"6h0m0s success", "10h0m0s expired"}},
		{6*time.Hour - time.Second, []string{"6h0m0s success", "10h0m0s expired"}},
		{8 * time.Hour, []string{"8h12m0s success", "10h0m0s expired"}}, // half of a fifth of what is left
		{10 * time.Hour, []string{"10h0m0s expired"}},
		{1000 * time.Hour, []string{"1000h0m0s expired"}},
	} {
		c := newClock(t, 10*time.Hour, tt.at)
		c.plan(watchers.Started)
		c.until(2000 * time.Hour)
		for i, s := range c.said { // the first look is a nanosecond after the start
			c.said[i] = trim(s)
		}
		c.expect(tt.want...)
	}
}

// trim rounds the time of what was said.
func trim(said string) string {
	text, outcome, _ := strings.Cut(said, " ")
	at, err := time.ParseDuration(text)
	if err != nil {
		return said
	}
	return at.Round(time.Second).String() + " " + outcome
}

// TestA04DueAfterJumps sets the clock.
func TestA04DueAfterJumps(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(time.Hour)
	c.now = noon.Add(11 * time.Hour)
	c.plan(watchers.Jumped)
	c.until(11*time.Hour + time.Minute)
	c.said[0] = trim(c.said[0])
	c.expect("11h0m0s expired")

	c = newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(5 * time.Hour)
	c.now = noon.Add(-time.Hour)
	c.plan(watchers.Jumped)
	c.until(40 * time.Hour)
	c.expect("6h0m0s success", "10h0m0s expired")

	c = newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(time.Hour)
	c.now = noon.Add(8 * time.Hour) // suspended: between due and the end
	c.plan(watchers.Jumped)
	c.until(40 * time.Hour)
	c.said[0] = trim(c.said[0])
	c.expect("8h0m0s success", "10h0m0s expired")
}

// TestDueAtIntervals notices a token that was renewed by somebody else.
func TestDueAtIntervals(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.interval = time.Hour
	c.plan(watchers.Entered)
	c.until(150 * time.Minute)
	if c.next.After != time.Hour {
		t.Errorf("the next look is %+v", c.next)
	}
	c.assign(4 * time.Hour)
	c.until(200 * time.Minute)
	c.said[0] = trim(c.said[0])
	c.expect("3h6m0s success")
}

func TestDueWithoutAToken(t *testing.T) {
	c := newClock(t, 0, 0)
	c.plan(watchers.Entered)
	c.until(time.Hour)
	if len(c.said) != 1 || c.next != (watchers.Due{}) {
		t.Errorf("%v, then %+v", c.said, c.next)
	}
	r := c.d.Check(t.Context(), c.seen())
	if r.Outcome != machine.OutcomeFail || r.Message == "" {
		t.Errorf("%+v", r)
	}
}

// TestDueThatIsLeftOut plans again and again without a look, as where a governor refuses it.
func TestDueThatIsLeftOut(t *testing.T) {
	c := newClock(t, 10*time.Hour, 0)
	c.plan(watchers.Entered)
	c.until(time.Hour)
	c.now = noon.Add(7 * time.Hour)
	c.plan(watchers.Looked)
	c.plan(watchers.Looked)
	if c.next.After != leftOut {
		t.Errorf("the next look is %+v", c.next)
	}
}

// TestD27RenewalIsSpread has 10,000 nodes that were given their tokens in the same second, and 10,000 that come back in the same second after
// their renewals were due.
func TestD27RenewalIsSpread(t *testing.T) {
	const nodes, whole = 10_000, 10 * time.Hour
	r := rand.New(rand.NewPCG(1, 2))
	random := func(below time.Duration) time.Duration {
		if below <= 0 {
			return 0
		}
		return time.Duration(r.Int64N(int64(below)))
	}
	token := life{id: "x", begins: noon, ends: noon.Add(whole)}
	for _, tt := range []struct {
		name     string
		now      time.Duration
		from, to time.Duration
	}{
		{"new", 0, whole / 2, whole * 7 / 10},
		{"back after an outage", whole * 8 / 10, whole * 8 / 10, whole * 84 / 100},
	} {
		var minutes [601]int
		for range nodes {
			at := token.renewal(watchers.Planning{Now: noon.Add(tt.now), Random: random}).Sub(noon)
			if at < tt.from || at > tt.to {
				t.Fatalf("%s: due at %s", tt.name, at)
			}
			minutes[int(at.Minutes())]++
		}
		fair := nodes / int((tt.to - tt.from).Minutes())
		for minute, n := range minutes {
			if n > 2*fair {
				t.Errorf("%s: %d nodes come in minute %d, fair is %d", tt.name, n, minute, fair)
			}
		}
	}
}
