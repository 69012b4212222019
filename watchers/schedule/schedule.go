// Package schedule is the watcher type that follows a calendar: windows that begin at cron times and last for a
// while. The cron library gives the next civil time of an expression; what that means where clocks are set forward,
// set back or wrong is decided here. It never sleeps or reads a clock: the runtime says what time it is.
package schedule

import (
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the properties can have wrong.
const (
	CodeSchedule diag.Code = "SC251" // a schedule that cannot be read, or none at all
	CodeNever    diag.Code = "SC252" // a schedule that never comes
	CodeSplay    diag.Code = "SC253" // a start_splay longer than half of the duration
	CodeTimezone diag.Code = "SC254" // a time zone that is not known
	CodeOdd      diag.Code = "SC260" // a schedule that means something else than it looks like
)

// catchUpOnce is the value of catch_up that makes up for missed windows.
const catchUpOnce = "once"

// Spec is the properties of a schedule watcher.
type Spec struct {
	// Schedules say when windows begin: five cron fields (minute, hour, day of month, month, day of week) or @yearly,
	// @monthly, @weekly, @daily, @hourly, @every 90m or @every 1d. Given hours are civil time: where daylight saving skips one
	// it comes at the next instant there is, where it repeats one it comes once. A star for the hours follows real time.
	Schedules []string `yaml:"schedules,required"`
	// Duration is how long a window lasts. Windows that overlap or touch are one.
	Duration strict.Duration `yaml:"duration" default:"1m" min:"1s" max:"1y"`
	// StartSplay delays each beginning by a random time below it, at most half of the duration. The end stays.
	StartSplay strict.Duration `yaml:"start_splay"`
	// SkipTriggerOnReenter reports nothing when a matching state is entered inside a window that has begun before.
	SkipTriggerOnReenter bool `yaml:"skip_trigger_on_reenter"`
	// Timezone is the place whose clocks count, such as Europe/Berlin; by default the host's own.
	Timezone string `yaml:"timezone"`
	// CatchUp says what becomes of windows that were missed because the host was down, suspended, or its clock was
	// set forward: none drops them; once begins an open one late, or runs one in place of all that are over.
	CatchUp string `yaml:"catch_up" default:"none" enum:"none|once"`

	calendar calendar
}

// Validate reads the schedules.
func (s *Spec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	at := func(key string) diag.Position { return w.Properties.Get(key).Pos }
	place := time.Local
	if s.Timezone != "" {
		var err error
		if place, err = time.LoadLocation(s.Timezone); err != nil {
			list.Add(diag.Error, CodeTimezone, at("timezone"), "write a name such as Europe/Berlin or UTC", "timezone: %q is not known", s.Timezone)
			return list
		}
	}
	if s.StartSplay > s.Duration/2 {
		list.Add(diag.Error, CodeSplay, at("start_splay"), "write at most "+(s.Duration/2).String(),
			"start_splay: %s is longer than half of the duration", s.StartSplay)
	}
	if len(s.Schedules) == 0 {
		list.Add(diag.Error, CodeSchedule, at("schedules"), `add one, such as "0 8 * * *"`, "schedules: there is none")
	}
	s.calendar.length = s.Duration.Std()
	for i, text := range s.Schedules {
		at := w.Properties.Get("schedules").Items[i].Pos
		if s.read(text, place, at, &list) {
			odd(text, at, w.Strict, &list)
		}
	}
	return list
}

// odd reports what the schedule means otherwise than it looks. Choria takes all of it.
func odd(text string, at diag.Position, strict bool, list *diag.List) {
	severity := diag.Warning
	if strict {
		severity = diag.Error
	}
	faults, notes := oddities(text)
	for _, what := range faults {
		list.Add(severity, CodeOdd, at, "list the values, such as 0,30, or write @every 70m for each 70 minutes", "schedules: %q: %s", text, what)
	}
	for _, what := range notes {
		list.Add(diag.Note, CodeOdd, at, "@every counts on over hours and days, as in @every 45m or @every 5h", "schedules: %q: %s", text, what)
	}
}

func (s *Spec) read(text string, place *time.Location, at diag.Position, list *diag.List) (readable bool) {
	e, err := parseEntry(text, place)
	if err != nil {
		hint := "write minute, hour, day of month, month and day of week, such as \"30 8 * * 1-5\", or @daily"
		if strings.HasPrefix(text, "@every") {
			hint = "write a time such as @every 90m or @every 1d"
		}
		list.Add(diag.Error, CodeSchedule, at, hint, "schedules: %q cannot be read: %v", text, err)
		return false
	}
	// From here five years have every date that there is.
	if e.next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		list.Add(diag.Error, CodeNever, at, "write a date that there is", "schedules: %q never comes", text)
		return false
	}
	s.calendar.entries = append(s.calendar.entries, e)
	return true
}

// Type is the watcher type that follows a calendar.
func Type() watchers.Type {
	payload := map[string]machine.ValueType{"start": machine.String, "end": machine.String}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "schedule", Clock: true,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: payload,
					Doc: "a window has begun, or a matching state was entered inside of one"},
				{Name: machine.OutcomeFail, Class: machine.Failure,
					Doc: "the window has ended, or a matching state was entered outside of any"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Doc: "nothing has begun or ended since the last look"},
			},
		},
		Summary: "Follows a calendar: windows that begin at cron times and last for a while.",
	}, func(spec *Spec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &watcher{spec: spec} }, Inline: true, Waits: true}
	})
}
