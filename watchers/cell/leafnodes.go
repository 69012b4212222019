package cell

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of leafnodes beside success, fail and unchanged.
const (
	outcomeLost = "lost"
	outcomeNone = "none"
)

// leafnodesSpec is the properties of a leafnodes watcher.
type leafnodesSpec struct {
	// Patience is for how long the host may have no connection to a server before that is lost: it comes back by itself, mostly within seconds.
	Patience strict.Duration `yaml:"patience" default:"30s" min:"0s"`
}

func leafnodesType(b Broker) watchers.Type {
	read := map[string]machine.ValueType{"lost": machine.Array, "reason": machine.String, "leafnodes": machine.Object}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "leafnodes",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: read, Doc: "the host is connected to all of them; told when a state is entered, and when it is again"},
				{Name: outcomeLost, Class: machine.Neutral, Payload: read, Doc: "for patience there has been no connection to some of them, which lost names; told again when they are others. " +
					"leafnodes has of each, by region, connected, and in waiting the messages on their way to it, by stream, of the streams that this host leads"},
				{Name: outcomeNone, Class: machine.Neutral, Payload: read, Doc: "the host's configuration names none; told when a state is entered"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "there is no broker"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: read, Doc: "as before"},
			},
		},
		Summary: "Says whether the host is connected to the servers elsewhere that its configuration names (leafnodes), without asking anything over the network.",
	}, func(spec *leafnodesSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &leafnodesWatch{spec: spec, broker: b} }, Interval: brokerInterval, Timeout: brokerTimeout}
	})
}

// leafnodesWatch remembers since when a connection is away, also over states in which nobody looks.
type leafnodesWatch struct {
	spec   *leafnodesSpec
	broker Broker
	away   map[string]time.Time
	told   bool
	last   string // that was lost when it was told
}

// Check implements watchers.Checker.
func (w *leafnodesWatch) Check(_ context.Context, look *watchers.Look) watchers.Report {
	if w.broker == nil {
		return watchers.Failure(errNoBroker.Error())
	}
	all := w.broker.Health().Leafnodes
	lost, reason := w.judge(all, look.At)
	rep := watchers.Report{Outcome: machine.OutcomeSuccess, Message: reason, Payload: map[string]any{
		"lost": texts(lost), "reason": reason, "leafnodes": leafnodesDocument(all),
	}}
	now := strings.Join(lost, " ")
	switch {
	case w.told && look.Moment == watchers.Interval && now == w.last:
		rep.Outcome = watchers.OutcomeUnchanged
	case len(lost) > 0:
		rep.Outcome = outcomeLost
	case len(all) == 0:
		rep.Outcome = outcomeNone
	}
	w.told, w.last = true, now
	return rep
}

// judge finds which are lost by now.
func (w *leafnodesWatch) judge(all []Leafnode, now time.Time) (lost []string, reason string) {
	away := map[string]time.Time{}
	for _, l := range all {
		if l.Connected {
			continue
		}
		since, before := w.away[l.Region]
		if !before {
			since = now
		}
		away[l.Region] = since
		if now.Sub(since) >= w.spec.Patience.Std() {
			lost = append(lost, l.Region)
		}
	}
	w.away = away
	if len(lost) > 0 {
		reason = fmt.Sprintf("there is no connection to %s", strings.Join(lost, ", "))
	}
	return lost, reason
}

// leafnodesDocument is what is known of them, by region.
func leafnodesDocument(all []Leafnode) map[string]any {
	document := map[string]any{}
	for _, l := range all {
		document[l.Region] = map[string]any{"connected": l.Connected, "waiting": numbers(l.Waiting)}
	}
	return document
}
