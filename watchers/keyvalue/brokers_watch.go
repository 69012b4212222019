package keyvalue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of brokers beside success and fail.
const (
	outcomeJoined = "joined"
	outcomeLeft   = "left"
)

const (
	brokersInterval = 5 * time.Second
	brokersTimeout  = 10 * time.Second
)

// brokersSpec is the properties of a brokers watcher.
type brokersSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
}

func brokersType(c Connections) watchers.Type {
	who := map[string]machine.ValueType{"brokers": machine.Array, "joined": machine.Array, "left": machine.Array}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "brokers",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: who, Doc: "the first look: these brokers are there"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "no broker answers"},
				{Name: outcomeJoined, Class: machine.Neutral, Payload: who, Doc: "brokers are there that were not at the look before"},
				{Name: outcomeLeft, Class: machine.Neutral, Payload: who,
					Doc: "brokers that were there have not answered in two looks in a row; told at another look than what joined"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: who, Doc: "the same brokers are there as before"},
			},
		},
		Summary: "Looks which brokers with JetStream the connection's cluster has, and tells when one joins or leaves.",
	}, func(spec *brokersSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{
			New:      func() watchers.Watcher { return &brokers{spec: spec, connections: c} },
			Interval: brokersInterval, Timeout: brokersTimeout,
		}
	})
}

// brokers remembers who was there, also over states in which nobody looks.
type brokers struct {
	spec        *brokersSpec
	connections Connections
	known       roll // nil before the first look
	missed      roll // of the known, those that did not answer the last look
}

// Check implements watchers.Checker.
func (w *brokers) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	nc, err := connect(w.connections, look, w.spec.Connection)
	if err != nil {
		return failed(err)
	}
	present, err := callRoll(ctx, nc)
	if err != nil {
		return failed(err)
	}
	return w.compare(present)
}

// compare notes who is there. What left is told once nothing has joined, so that each outcome says one thing.
func (w *brokers) compare(present roll) watchers.Report {
	if w.known == nil {
		w.known = present
		return w.report(machine.OutcomeSuccess, nil, nil)
	}
	joined := present.without(w.known)
	maps.Copy(w.known, present)
	absent := w.known.without(present)
	if len(joined) > 0 {
		return w.report(outcomeJoined, joined, nil)
	}
	left := slices.DeleteFunc(slices.Clone(absent), func(name string) bool { return !w.missed[name] })
	w.missed = roll{}
	for _, name := range absent {
		w.missed[name] = true
	}
	for _, name := range left {
		delete(w.known, name)
		delete(w.missed, name)
	}
	if len(left) > 0 {
		return w.report(outcomeLeft, nil, left)
	}
	return w.report(watchers.OutcomeUnchanged, nil, nil)
}

func (w *brokers) report(outcome string, joined, left []string) watchers.Report {
	rep := watchers.Report{Outcome: outcome, Payload: map[string]any{
		"brokers": list(slices.Sorted(maps.Keys(w.known))), "joined": list(joined), "left": list(left),
	}}
	if len(joined)+len(left) > 0 {
		rep.Message = fmt.Sprintf("%s %s; there are %d", strings.Join(append(joined, left...), ", "), outcome, len(w.known))
	}
	return rep
}

// without returns those that are not in another roll, sorted.
func (r roll) without(other roll) []string {
	var names []string
	for name := range r {
		if !other[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// list makes texts a value of a payload.
func list(texts []string) []any {
	all := []any{}
	for _, text := range texts {
		all = append(all, text)
	}
	return all
}
