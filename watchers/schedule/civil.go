package schedule

import "time"

// Civil time is what a wall calendar and clock show. It is held in a time.Time of UTC, whose day has no jumps.

// civil returns what the clocks of a place show at an instant.
func civil(t time.Time, place *time.Location) time.Time {
	_, offset := t.In(place).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns when the clocks of a place first show a civil time or, where they never do because they were
// set forward over it, when they were set.
func instant(c time.Time, place *time.Location) time.Time {
	t := time.Date(c.Year(), c.Month(), c.Day(), c.Hour(), c.Minute(), c.Second(), c.Nanosecond(), place)
	start, end := t.ZoneBounds()
	switch shown := civil(t, place); {
	case shown.After(c):
		return start
	case shown.Before(c):
		return end
	case start.IsZero():
		return t
	}
	_, before := start.Add(-1).Zone()
	if earlier := c.Add(-time.Duration(before) * time.Second).In(place); earlier.Before(start) && civil(earlier, place).Equal(c) {
		return earlier
	}
	return t
}
