package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a time zone database

	"github.com/robfig/cron/v3"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// entry is one schedule: the instants at which windows begin.
//
// An entry whose hours are given ("30 2 * * *", "@daily") means civil time: a time that the clocks skip happens
// when they have skipped it, one that they show twice happens the first time. An entry for every hour or every n-th
// ("*/5 * * * *", "@hourly"; the hours begin with a star) means a rhythm: it follows real time, so that it does not
// pause while the clocks show an hour for the second time. "@every 90m" counts from a fixed instant in the past, so
// that it is the same on every host and after every restart.
type entry struct {
	cron     cron.Schedule // over civil time
	place    *time.Location
	rhythmic bool
	every    time.Duration // of @every, 0 for others
}

var errNoEntry = errors.New("there is no schedule")

// parseEntry reads five cron fields or a descriptor, after an optional CRON_TZ=Area/City or TZ=Area/City.
func parseEntry(text string, place *time.Location) (*entry, error) {
	fields := strings.Fields(text)
	if len(fields) > 0 {
		if prefix, zone, given := strings.Cut(fields[0], "TZ="); given && (prefix == "" || prefix == "CRON_") {
			var err error
			if place, err = time.LoadLocation(zone); err != nil {
				return nil, err
			}
			fields = fields[1:]
		}
	}
	switch {
	case len(fields) == 0:
		return nil, errNoEntry
	case strings.Contains(fields[0], "TZ="):
		return nil, errors.New("the time zone is given twice")
	case fields[0] == "@every":
		return parseEvery(fields[1:])
	}
	schedule, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return nil, err
	}
	rhythmic := fields[0] == "@hourly" || len(fields) > 1 && strings.ContainsRune("*?", rune(fields[1][0]))
	return &entry{cron: schedule, place: place, rhythmic: rhythmic}, nil
}

func parseEvery(fields []string) (*entry, error) {
	if len(fields) != 1 {
		return nil, errors.New("@every takes one duration, such as @every 90m")
	}
	length, err := strict.ParseDuration(fields[0])
	if err != nil {
		return nil, err
	}
	every := length.Std()
	if every < time.Second {
		return nil, fmt.Errorf("@every %s is too often, the shortest is 1s", fields[0])
	}
	return &entry{every: every.Truncate(time.Second)}, nil
}

// next returns the first beginning after t, the zero time when there is none within five years.
func (e *entry) next(t time.Time) time.Time {
	switch {
	case e.every > 0:
		return t.Truncate(e.every).Add(e.every)
	case e.rhythmic:
		return e.nextReal(t)
	default:
		return e.nextCivil(t)
	}
}

// nextCivil passes over civil times whose first showing is not after t: t is in the second showing then.
func (e *entry) nextCivil(t time.Time) time.Time {
	for c := e.cron.Next(civil(t, e.place)); !c.IsZero(); c = e.cron.Next(c) {
		if at := instant(c, e.place); at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// nextReal goes through the spans in which the clocks of the place are not set.
func (e *entry) nextReal(t time.Time) time.Time {
	from := civil(t, e.place)
	for {
		local := t.In(e.place)
		_, offset := local.Zone()
		c := e.cron.Next(from)
		if c.IsZero() {
			return time.Time{}
		}
		at := c.Add(-time.Duration(offset) * time.Second).In(e.place)
		_, end := local.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		t, from = end, civil(end, e.place).Add(-time.Second) // Next is later than what it is given
	}
}
