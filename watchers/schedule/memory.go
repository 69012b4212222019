package schedule

import "time"

// span is a piece of the wall clock's time.
type span struct{ from, to time.Time }

func (s span) holds(t time.Time) bool { return !t.Before(s.from) && !t.After(s.to) }

// memory is which pieces of the wall clock's time have been lived through, so that a clock that is set back does not
// bring a window again. A clock that stood in the future or in 1970 for a while takes no window away either.
type memory struct {
	present span
	past    []span // oldest first
}

// maxPast is how many jumps of the clock are remembered.
const maxPast = 8

// live says that time has passed until now without a jump.
func (m *memory) live(now time.Time) {
	if m.present.from.IsZero() || now.Before(m.present.to) {
		m.jump(now)
		return
	}
	m.present.to = now
}

// jump begins a new piece at now.
func (m *memory) jump(now time.Time) {
	if !m.present.from.IsZero() {
		m.add(m.present)
	}
	m.present = span{now, now}
}

// add takes a piece for lived through. Pieces that touch become one, so that a clock that is set back by a little
// again and again does not use up the memory.
func (m *memory) add(s span) {
	for i, p := range m.past {
		if p.holds(s.from) || s.holds(p.from) {
			m.past[i] = span{earlier(p.from, s.from), later(p.to, s.to)}
			return
		}
	}
	if len(m.past) == maxPast {
		m.past = append(m.past[:0], m.past[1:]...)
	}
	m.past = append(m.past, s)
}

// lived returns the piece that t belongs to.
func (m *memory) lived(t time.Time) (span, bool) {
	if m.present.holds(t) {
		return m.present, true
	}
	for _, s := range m.past {
		if s.holds(t) {
			return s, true
		}
	}
	return span{}, false
}

// before returns the end of the last piece that had ended at t, or the zero time.
func (m *memory) before(t time.Time) time.Time {
	var last time.Time
	for _, s := range m.past {
		if !s.to.After(t) && s.to.After(last) {
			last = s.to
		}
	}
	return last
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
