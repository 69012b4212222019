package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// ToldHead is what a signed head of a journal says, whose signature is good.
type ToldHead struct {
	Identity string // whose journal it is
	Key      string // who signed it, as hexadecimal digits
	At       time.Time
}

// ReadHead reads a signed head of a journal. The error is that it is none, or that its signature is not good.
type ReadHead func(envelope []byte) (ToldHead, error)

// signedHeadSpec is the properties of a signed_head watcher.
type signedHeadSpec struct {
	// Head is an expression for the signed head, a mapping as journal_head makes it.
	Head *watchers.Formula `yaml:"head,required" gives:"mapping"`
	// Key is an expression for the public key that must have signed it, as hexadecimal digits.
	Key *watchers.Formula `yaml:"key,required" gives:"text"`
	// Of is an expression for the identity whose journal it must be of.
	Of *watchers.Formula `yaml:"of,required" gives:"text"`
	// Skew is how far its time may be from that of this host.
	Skew strict.Duration `yaml:"skew" default:"5m" min:"1s" max:"24h"`
}

// SignedHeadType returns the signed_head watcher. read may be nil: nothing is verified then.
func SignedHeadType(read ReadHead) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "signed_head",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: map[string]machine.ValueType{"at": machine.String},
					Doc: "the signature is good, and of the key; the head is of that journal and of now; at is its time (RFC 3339)"},
				{Name: OutcomeRefused, Class: machine.Failure, Payload: map[string]machine.ValueType{"reason": machine.String}, Doc: "it is not, and reason says why"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "head, key or of has no value, or this program reads no heads"},
			},
		},
		Summary: "Verifies a signed head of a journal: its signature, whose it is, and that it is of now.",
	}, func(spec *signedHeadSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return headReader{read, spec} }}
	})
}

// headReader verifies one head a look.
type headReader struct {
	read ReadHead
	spec *signedHeadSpec
}

var errReadsNoHeads = errors.New("this program reads no heads of journals; run the machine in an overlay host")

// Check implements watchers.Checker.
func (r headReader) Check(_ context.Context, look *watchers.Look) watchers.Report {
	if r.read == nil {
		return watchers.Failed(errReadsNoHeads)
	}
	head, err := r.spec.Head.Object(look, nil)
	if err != nil {
		return watchers.Failed(fmt.Errorf("head: %w", err))
	}
	key, err := r.spec.Key.Text(look, nil)
	if err != nil {
		return watchers.Failed(fmt.Errorf("key: %w", err))
	}
	of, err := r.spec.Of.Text(look, nil)
	if err != nil {
		return watchers.Failed(fmt.Errorf("of: %w", err))
	}
	envelope, err := json.Marshal(head)
	if err != nil {
		return watchers.Failed(fmt.Errorf("head: %w", err))
	}
	told, err := r.read(envelope)
	apart := told.At.Sub(look.At)
	switch {
	case err != nil:
		return headRefused(diag.Brief(err.Error(), diag.MaxBrief))
	case told.Key != key:
		return headRefused("the head is not signed with the key that the register has for this node")
	case told.Identity != of:
		return headRefused("the head is of the journal of " + diag.Brief(told.Identity, diag.MaxBrief))
	case max(apart, -apart) > r.spec.Skew.Std():
		return headRefused(fmt.Sprintf("the head is of %s, and here it is %s: set the clock, and tell one of now",
			told.At.UTC().Format(time.RFC3339), look.At.UTC().Format(time.RFC3339)))
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"at": told.At.UTC().Format(time.RFC3339)}}
}

func headRefused(reason string) watchers.Report {
	return watchers.Report{Outcome: OutcomeRefused, Message: reason, Payload: map[string]any{"reason": reason}}
}
