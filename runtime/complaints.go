package runtime

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// The bounds of what the log says of looks that fail, for each watcher of a manifest, however many machines run it: what was said is not
// said again for a while, and what is new each time, as texts with a time in them are, is said a few times and then once a minute.
const (
	saidAgain     = 10 * time.Minute
	saidAtOnce    = 5
	saidEvery     = time.Minute
	saidKept      = 8     // texts of one watcher
	maxComplaints = 4_096 // watchers; a host that has more begins anew
)

// complaints is what the log was told of looks that failed.
type complaints struct {
	mu sync.Mutex
	of map[complainer]*complaint
}

type complainer struct{ machine, watcher string }

type complaint struct {
	said     []saying
	used     int           // of saidAtOnce
	at       time.Duration // until when it is counted what has come back since
	silenced int           // since the last line
}

type saying struct {
	text string
	at   time.Duration
}

// say reports whether a text is to be said now, and how many were not since the last one that was.
func (c *complaints) say(who complainer, text string, now time.Duration) (silenced int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[who]
	if of == nil {
		if c.of == nil || len(c.of) >= maxComplaints {
			c.of = map[complainer]*complaint{}
		}
		of = &complaint{}
		c.of[who] = of
	}
	of.said = slices.DeleteFunc(of.said, func(s saying) bool { return now-s.at >= saidAgain })
	back := int((now - of.at) / saidEvery)
	of.used, of.at = max(0, of.used-back), of.at+time.Duration(back)*saidEvery
	if of.used == saidAtOnce || slices.ContainsFunc(of.said, func(s saying) bool { return s.text == text }) {
		of.silenced++
		return 0, false
	}
	if of.used == 0 {
		of.at = now
	}
	of.used++
	if len(of.said) == saidKept {
		of.said = slices.Delete(of.said, 0, 1)
	}
	of.said = append(of.said, saying{text, now})
	silenced, of.silenced = of.silenced, 0
	return silenced, true
}

// complain has the log say why a look failed. That a condition does not hold, which is seen in the turn, is no fault, and neither is an answer
// of the type's own that the manifest has an event for.
func (u *unit) complain(i int, rep *watchers.Report) {
	watcher := u.prog.spec(i).Name
	attributes := []any{"machine", u.name, "watcher", watcher, "outcome", rep.Outcome, "message", rep.Message}
	level := slog.LevelDebug
	if !u.answers(i, rep.Outcome) {
		silenced, ok := u.host.complaints.say(complainer{u.prog.def.Manifest.Name, watcher}, rep.Outcome+" "+rep.Message, u.elapsed)
		if ok {
			level = slog.LevelWarn
		}
		if silenced > 0 {
			attributes = append(attributes, "silenced", silenced)
		}
	}
	u.host.log.Log(context.Background(), level, "look_failed", attributes...)
}

// answers reports whether an outcome tells what is, though it is a failure.
func (u *unit) answers(i int, outcome string) bool {
	switch outcome {
	case machine.OutcomeFail:
		return u.prog.prepared[i].Inline
	case machine.OutcomeTimeout, machine.OutcomePanic:
		return false
	default:
		_, named := u.prog.spec(i).On[outcome]
		return named
	}
}
