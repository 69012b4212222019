// Package policy is the watcher type that asks a Rego policy for a decision, in this process and without a policy server.
//
// A policy sees its input, base documents and the time of the look, and nothing else: no network, no files, no environment,
// no chance. It ends with the look's context. What OPA does not bound is memory: a policy that doubles a text in every
// rule can take the host's, so that policies come from whoever the machine itself comes from.
//
// The package never fetches a policy and keeps no decision.
package policy

import (
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// OutcomeDenied is the outcome of a decision that is not in favour.
const OutcomeDenied = "denied"

// patience bounds a decision where the manifest has no timeout. Decisions take microseconds.
const patience = 2 * time.Second

// Types returns the watcher types of this package.
func Types() []watchers.Type {
	return []watchers.Type{watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "policy", Reads: reads,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success,
					Payload: map[string]machine.ValueType{"result": machine.Any, "reason": machine.String},
					Doc:     "the result is true, or an object that is not empty and whose allow, where it has one, is true"},
				{Name: OutcomeDenied, Class: machine.Neutral,
					Payload: map[string]machine.ValueType{"reason": machine.String},
					Doc:     "the result is anything else, or there is none; reason says which"},
				{Name: machine.OutcomeFail, Class: machine.Failure,
					Doc: "there was no decision: the evaluation of the policy ended with an error"},
			},
		},
		Summary: "Asks a Rego policy for a decision.",
	}, prepare)}
}

func prepare(s *spec, _ *machine.WatcherSpec) *watchers.Prepared {
	return &watchers.Prepared{
		New:     func() watchers.Watcher { return &watcher{spec: s} },
		Timeout: patience,
	}
}
