package machinetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Run starts a machine at midnight of 1 January 2026 (UTC), gives it events and returns the transcript, one line
// a record. Empty lines and those that begin with "#" are skipped; the others are:
//
//	event NAME KEY=VALUE...               an operator's event with a payload
//	outcome WATCHER OUTCOME KEY=VALUE...  what a watcher reports, firing what the manifest says
//	data KEY=VALUE...                     a change of data without an event
//	deadline AFTER                        the deadline of that length of the state or a group that it is in, at its time
//	at +DURATION                          time passes
//	restart                               the host restarts
//
// A VALUE is JSON, or text where it is none; it has no spaces.
func Run(d *machine.Definition, events string) ([]string, error) {
	s := script{d: d, at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := s.record(d.Start(machine.Origin{}, s.at)); err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(events) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.line(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("events line %d: %q: %w", n, strings.TrimSpace(line), err)
		}
	}
	return s.transcript, nil
}

// script is a run in progress.
type script struct {
	d          *machine.Definition
	at         time.Time
	s          machine.Snapshot
	transcript []string
}

func (s *script) line(verb string, words []string) error {
	switch {
	case verb == "restart" && len(words) == 0:
		return s.record(s.d.Recover(&s.s, s.at))
	case verb == "data":
		data, err := pairs(words)
		return errors.Join(err, s.step(machine.Event{Data: data, Cause: machine.Cause{Kind: machine.CauseOperator}}))
	case verb == "event" && len(words) > 0:
		payload, err := pairs(words[1:])
		return errors.Join(err, s.step(machine.Event{Name: words[0], Payload: payload, Cause: machine.Cause{Kind: machine.CauseOperator}}))
	case verb == "outcome" && len(words) > 1:
		return s.outcome(words[0], words[1], words[2:])
	case verb == "deadline" && len(words) == 1:
		return s.deadline(words[0])
	case verb == "at" && len(words) == 1:
		return s.pass(words[0])
	default:
		return errors.New("no such line: event, outcome, data, deadline, at or restart with what they take")
	}
}

func (s *script) step(ev machine.Event) error { return s.record(s.d.Step(&s.s, ev, s.at)) }

func (s *script) record(r machine.Record) error {
	_, head, err := machine.EncodeRecord(&r)
	if err != nil {
		return err
	}
	s.s = s.s.Apply(&r, head)
	s.transcript = append(s.transcript, machine.Transcript(&r))
	return nil
}

func (s *script) outcome(watcher, outcome string, words []string) error {
	w := slices.IndexFunc(s.d.Manifest.Watchers, func(w machine.WatcherSpec) bool { return w.Name == watcher })
	if w < 0 {
		return fmt.Errorf("the manifest has no watcher %q", watcher)
	}
	if !s.d.Matches(w, s.s.State) {
		return fmt.Errorf("watcher %q is not active in state %q", watcher, s.s.State)
	}
	event := s.d.EventFor(w, outcome)
	if event == "" {
		return fmt.Errorf("outcome %q of watcher %q fires nothing", outcome, watcher)
	}
	payload, err := pairs(words)
	if err != nil {
		return err
	}
	return s.step(machine.Event{Name: event, Outcome: outcome, Payload: payload, Cause: machine.Cause{Kind: machine.CauseWatcher, Name: watcher}})
}

// deadline moves time to the state's deadline and fires it.
func (s *script) deadline(text string) error {
	after, err := strict.ParseDuration(text)
	if err != nil {
		return err
	}
	state, _ := s.d.State(s.s.State)
	due := s.s.Entered.Add(after.Std())
	ev := s.d.DeadlineEvent(state.Name, slices.IndexFunc(state.After, func(d machine.Deadline) bool { return d.After == after.Std() }))
	for _, g := range s.d.TimedGroups(state.Name) {
		i := slices.IndexFunc(g.After, func(d machine.Deadline) bool { return d.After == after.Std() })
		if ev.Name == "" && i >= 0 {
			due, ev = s.s.Groups[g.Name].Entered.Add(after.Std()), g.DeadlineEvent(&g.After[i])
		}
	}
	if ev.Name == "" {
		return fmt.Errorf("neither state %q nor a group that it is in has a deadline after %s", state.Name, after)
	}
	if due.Before(s.at) {
		return fmt.Errorf("that deadline was due %s ago", s.at.Sub(due))
	}
	s.at = due
	return s.step(ev)
}

func (s *script) pass(text string) error {
	d, err := strict.ParseDuration(strings.TrimPrefix(text, "+"))
	if err != nil {
		return err
	}
	s.at = s.at.Add(d.Std())
	return nil
}

// pairs reads KEY=VALUE words.
func pairs(words []string) (map[string]any, error) {
	out := map[string]any{}
	for _, w := range words {
		key, text, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is not key=value", w)
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			v = text
		}
		out[key] = v
	}
	return out, nil
}
