package schedule

import "time"

// calendar is the windows of a watcher: each begins at an instant of one of the entries and lasts length.
type calendar struct {
	entries []*entry
	length  time.Duration
}

// next returns the first beginning after t, the zero time when there is none.
func (c *calendar) next(t time.Time) time.Time {
	var first time.Time
	for _, e := range c.entries {
		if at := e.next(t); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// latest returns the beginning of the last window that has begun at t and not ended, the zero time where there is
// none. As all windows are of one length, it is the one that ends last. It looks back in growing steps, because most
// calendars have either many windows a day or few.
func (c *calendar) latest(t time.Time) time.Time {
	for back := min(time.Minute, c.length); ; back = min(2*back, c.length) {
		if s := c.next(t.Add(-back)); !s.IsZero() && !s.After(t) {
			return c.last(s, t)
		}
		if back == c.length {
			return time.Time{}
		}
	}
}

// last returns the last beginning from s on that is not after t.
func (c *calendar) last(s, t time.Time) time.Time {
	for {
		following := c.next(s)
		if following.IsZero() || following.After(t) {
			return s
		}
		s = following
	}
}

// endsWithin reports whether a window ends in (from, to].
func (c *calendar) endsWithin(from, to time.Time) bool {
	s := c.next(from.Add(-c.length))
	return !s.IsZero() && !s.Add(c.length).After(to)
}

// missed counts the windows that began after from and ended until to, up to maxMissed.
func (c *calendar) missed(from, to time.Time) int {
	n := 0
	for s := c.next(from); n < maxMissed && !s.IsZero() && !s.Add(c.length).After(to); s = c.next(s) {
		n++
	}
	return n
}

// maxMissed is as many as are worth counting.
const maxMissed = 100
