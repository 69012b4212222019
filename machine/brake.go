package machine

import (
	"fmt"
	"time"
)

// Brake says what slows a machine down. Operators' events never wait for it.
type Brake string

// The brakes.
const (
	// BrakeDefault is MaxRate where a manifest with a format says nothing. Turns count, as Brake.Counts says.
	BrakeDefault Brake = "default"
	// BrakeBackOff is what manifests without a format have: after a few turns without a quiet minute each waits for BackOff.
	BrakeBackOff Brake = "back-off"
	// BrakeGiven is the manifest's own max_rate, of all events.
	BrakeGiven Brake = "given"
	// BrakeNone is max_rate: none.
	BrakeNone Brake = "none"
)

// assumed reports whether the manifest says nothing of how fast the machine may be.
func (b Brake) assumed() bool { return b == BrakeDefault || b == BrakeBackOff }

// Rate is a number of events per interval; so many are taken at once before any waits.
type Rate struct {
	Count int
	Per   time.Duration
}

// DefaultRate is the MaxRate of a manifest with a format that gives none. The longest chain without a pause in the machines that come with
// the program is an enrollee, of 19 turns within a second; a machine that looks at the shortest interval, 500ms, and goes there and back
// at each look would turn four times a second for ever, and says so with a max_rate of its own.
func DefaultRate() Rate { return Rate{Count: 60, Per: time.Minute} }

// Counts reports whether a record is one of those that the brake is about. A rate that somebody has written is of every event that was
// taken. By default it is what a machine may do to itself without end: new visits, and what other machines' events have caused. What
// leaves the machine in its state and comes from outside, such as a message that is counted, is as frequent as those who send it.
func (b Brake) Counts(r *Record) bool {
	if r.Event == "" {
		return false
	}
	switch b {
	case BrakeGiven:
		return r.Kind == RecordTransition || r.Kind == RecordStay
	case BrakeDefault, BrakeBackOff:
		return r.Cause.Kind != CauseOperator && (r.Kind == RecordTransition || r.Kind == RecordStay && r.Cause.Kind == CauseSubscription)
	default:
		return false
	}
}

// QuietTime is how long nothing happens before a machine counts as not turning any more: the minute of Choria's back-off.
const QuietTime = time.Minute

// BackOff is the mean pause before the next turn of a machine that has made so many without a QuietTime, as go-choria v0.30.2 has it
// (backoff.FiveSecStartGrace, asked by aagent/machine.backoffTransition); the pause itself is a random one between half and one and a half
// times that. Choria begins with a grace of eleven pauses, 2.2 s in all, that grow from 0 to 750 ms. Here these turns are taken at once, so
// that a chain of a few states comes to its end, and a turn waits only for what is left of the pause since the one before, where Choria
// adds the pause to whatever time has passed.
func BackOff(turns int) time.Duration {
	const grace = 11
	pauses := [...]time.Duration{1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000} // ms
	if turns < grace {
		return 0
	}
	return pauses[min(turns-grace, len(pauses)-1)] * time.Millisecond
}

// Pace says in words how fast a machine may turn for long.
func (m *Manifest) Pace() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}
	switch m.Brake {
	case BrakeGiven:
		return fmt.Sprintf("its max_rate of %d/%s", m.MaxRate.Count, unit[m.MaxRate.Per])
	case BrakeDefault:
		return fmt.Sprintf("the default max_rate of %d/%s", m.MaxRate.Count, unit[m.MaxRate.Per])
	case BrakeBackOff:
		return "one transition in 5 s"
	default:
		return "no limit"
	}
}
