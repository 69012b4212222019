package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Transcript renders a record as one line for people: its number, time of day (UTC), what happened, by whom and why, the
// guards that were read (by their place in the manifest) and the data that changed. replay, why and golden
// transcripts print it.
//
//	#3 10:00:01.000 idle --gather--> gathering  by watcher facts (success)  guards[0=true]  set{seen=3}
//	#4 10:00:02.000 gathering --failed--> idle  by watcher facts (fail)  because no facts: every source failed
func Transcript(r *Record) string {
	parts := []string{fmt.Sprintf("#%d %s %s", r.Seq, r.At.UTC().Format("15:04:05.000"), r.moved())}
	if by := r.Cause.transcript(r.Outcome); by != "" {
		parts = append(parts, by)
	}
	if r.Message != "" {
		parts = append(parts, "because "+r.Message)
	}
	if len(r.Guards) > 0 {
		parts = append(parts, guardsTranscript(r.Guards))
	}
	if len(r.Set) > 0 {
		parts = append(parts, "set"+objectTranscript(r.Set))
	}
	if len(r.Payload) > 0 {
		parts = append(parts, "payload"+objectTranscript(r.Payload))
	}
	return strings.Map(printable, strings.Join(parts, "  "))
}

// printable keeps a line one line and what a machine was told out of the terminal's control.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

func (r *Record) moved() string {
	switch r.Kind {
	case RecordStart:
		return "start --> " + r.To
	case RecordRecovery, RecordUpgrade:
		if r.Reason != "" {
			return fmt.Sprintf("%s ==%s==> %s: %s", r.From, r.Kind, r.To, r.Reason)
		}
		return fmt.Sprintf("%s ==%s==> %s", r.From, r.Kind, r.To)
	case RecordEffect:
		return fmt.Sprintf("%s starts look %d of %s", r.From, r.Cause.Run, r.Cause.Name)
	case RecordRefused:
		return fmt.Sprintf("%s --%s--x refused: %s", r.From, r.Event, r.Reason)
	case RecordStay:
		if r.Event == "" {
			return r.From + " data"
		}
		return fmt.Sprintf("%s --%s--> stays", r.From, r.Event)
	default:
		return fmt.Sprintf("%s --%s--> %s", r.From, r.Event, r.To)
	}
}

func (c Cause) transcript(outcome string) string {
	switch c.Kind {
	case CauseWatcher:
		if outcome == "" {
			return "by watcher " + c.Name
		}
		return fmt.Sprintf("by watcher %s (%s)", c.Name, outcome)
	case CauseDeadline:
		if c.Group != "" {
			return "by deadline " + c.Name + " of " + c.Group
		}
		return "by deadline " + c.Name
	case CauseSubscription:
		return fmt.Sprintf("by %s#%d", c.Machine, c.Seq)
	case CauseOperator:
		return strings.TrimSpace("by operator " + c.Identity)
	case CauseRecovery:
		return "by " + c.Name
	case CauseSignal:
		return "by signal"
	default:
		return ""
	}
}

func guardsTranscript(guards []GuardValue) string {
	out := make([]string, len(guards))
	for i, g := range guards {
		out[i] = fmt.Sprintf("%d=%t", g.Transition, g.Value)
		if g.Error != "" {
			out[i] = fmt.Sprintf("%d=error: %s", g.Transition, g.Error)
		}
	}
	return "guards[" + strings.Join(out, ", ") + "]"
}

func objectTranscript(m map[string]any) string {
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+toJSON(concealedValue(m[k])))
	}
	return "{" + strings.Join(out, ", ") + "}"
}
