package credentials

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// JournalHead is a signed head of a host's journal.
type JournalHead struct {
	Text    string // the head and its signature, as one line of JSON
	Sum     string // of what the head is of: two of the same state of a journal have the same
	Segment uint64 // of the journal
	Size    int64  // bytes of the segment
	At      time.Time
}

// Heads signs the head of the host's journal with the key of an identity. Errors are ErrNoJournal and those of reading, signing and keeping it.
type Heads func(ctx context.Context, id string) (JournalHead, error)

// ErrNoJournal is the cause where a host keeps none.
var ErrNoJournal = errors.New("this host keeps no journal")

// journalHeadSpec is the properties of a journal_head watcher.
type journalHeadSpec struct {
	// Known is the sum of a head that is known already: where the journal has not come further since, the outcome is unchanged.
	Known watchers.Text `yaml:"known"`
}

// JournalHeadType returns the journal_head watcher. Heads may be nil: there is no journal then.
func JournalHeadType(heads Heads) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "journal_head", On: []machine.Place{machine.OnNode, machine.OnOverlay},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: map[string]machine.ValueType{
					"head": machine.String, "sum": machine.String, "segment": machine.Integer, "size": machine.Integer, "at": machine.String,
				}, Doc: "head is the signed head as one line of JSON, a DSSE envelope of some 750 bytes: how far the journal has come, and a digest of " +
					"all of it; at is its time (RFC 3339)"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Doc: "the journal has not come further than the head that is known"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "the journal could not be read, or there is no key to sign with"},
				{Name: OutcomeMissing, Class: machine.Failure, Doc: "the host keeps no journal"},
			},
		},
		Summary: "Signs how far the host's journal has come, and a digest of all that is in it, with the key of who the machine runs as.",
	}, func(spec *journalHeadSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return headSigner{heads, spec} }, Timeout: time.Minute}
	})
}

// headSigner signs one head a look.
type headSigner struct {
	heads Heads
	spec  *journalHeadSpec
}

// Check implements watchers.Checker.
func (s headSigner) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if s.heads == nil {
		return watchers.Report{Outcome: OutcomeMissing, Message: ErrNoJournal.Error()}
	}
	known, err := look.Expand(s.spec.Known)
	if err != nil {
		return watchers.Failed(fmt.Errorf("known: %w", err))
	}
	h, err := s.heads(ctx, look.Identity)
	switch {
	case errors.Is(err, ErrNoJournal):
		return watchers.Report{Outcome: OutcomeMissing, Message: err.Error()}
	case err != nil:
		return failure(err)
	case h.Sum == known:
		return watchers.Report{Outcome: watchers.OutcomeUnchanged}
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{
		"head": h.Text, "sum": h.Sum, "segment": int(h.Segment), "size": int(h.Size), "at": h.At.UTC().Format(time.RFC3339),
	}}
}
