package keyvalue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const outcomeFilling = "filling"

const (
	usageInterval = 30 * time.Second
	usageTimeout  = 10 * time.Second
)

// usageSpec is the properties of a usage watcher.
type usageSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
	// Above is from how many percent of its bytes or messages a stream is filling, until it has a
	// sixteenth less than that.
	Above int `yaml:"above" default:"80" min:"1" max:"100"`
}

func usageType(c Connections) watchers.Type {
	read := map[string]machine.ValueType{
		"filling": machine.Object, "unbounded": machine.Array, "reason": machine.String,
	}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "usage",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: read,
					Doc: "no stream is filling, and each on disk has a bound; told when a state is entered and when none is any more"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "the streams cannot be read: JetStream is not ready"},
				{Name: outcomeFilling, Class: machine.Neutral, Payload: read,
					Doc: "streams are filling or have no bound, told again when they are others; filling is how many percent each has by name, reason the same in " +
						"words, unbounded the streams on disk without max_bytes, which may take the room of all"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: read, Doc: "as before"},
			},
		},
		Summary: "Looks how full the streams, buckets and object stores of the account are.",
	}, func(spec *usageSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{
			New:      func() watchers.Watcher { return &usage{spec: spec, connections: c} },
			Interval: usageInterval, Timeout: usageTimeout,
		}
	})
}

// usage remembers what was told, also over states in which nobody looks.
type usage struct {
	spec        *usageSpec
	connections Connections
	told        bool
	filling     map[string]bool // that were told
}

// Check implements watchers.Checker.
func (w *usage) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	nc, err := connect(w.connections, look, w.spec.Connection)
	if err != nil {
		return failed(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return failed(err)
	}
	all, err := within(ctx, usageTimeout, func(ctx context.Context) ([]*jetstream.StreamInfo, error) {
		var all []*jetstream.StreamInfo
		list := js.ListStreams(ctx)
		for info := range list.Info() {
			all = append(all, info)
		}
		return all, list.Err()
	})
	if err != nil {
		return failed(fmt.Errorf("reading how full the streams are: %w", err))
	}
	return w.judge(look, all)
}

// judge finds the streams that are filling.
func (w *usage) judge(look *watchers.Look, all []*jetstream.StreamInfo) watchers.Report {
	filling, names, words, unbounded := map[string]any{}, map[string]bool{}, []string{}, []any{}
	slices.SortFunc(all, func(a, b *jetstream.StreamInfo) int { return strings.Compare(a.Config.Name, b.Config.Name) })
	for _, info := range all {
		name := info.Config.Name
		if info.Config.MaxBytes <= 0 && info.Config.Storage == jetstream.FileStorage {
			unbounded = append(unbounded, name)
			names[name] = true
			words = append(words, name+" has no max_bytes, and may take the room of all")
		}
		above := w.spec.Above
		if w.filling[name] {
			above -= above / 16
		}
		percent := fullness(info)
		if percent < above {
			continue
		}
		filling[name], names[name] = percent, true
		words = append(words, fmt.Sprintf("%s has %d %% of what it may%s", name, percent, givesWay(info)))
	}
	rep := watchers.Report{
		Outcome: machine.OutcomeSuccess, Message: strings.Join(words, "; "),
		Payload: map[string]any{"filling": filling, "unbounded": unbounded, "reason": strings.Join(words, "; ")},
	}
	same := len(names) == len(w.filling)
	for name := range names {
		same = same && w.filling[name]
	}
	switch {
	case w.told && look.Moment == watchers.Interval && same:
		rep.Outcome = watchers.OutcomeUnchanged
	case len(names) > 0:
		rep.Outcome = outcomeFilling
	}
	w.told, w.filling = true, names
	return rep
}

// fullness is how many percent of its bytes or messages a stream has, of that of which it has more; 0 where it has no bounds.
func fullness(info *jetstream.StreamInfo) int {
	percent := 0
	if most := info.Config.MaxBytes; most > 0 {
		percent = int(float64(info.State.Bytes) / float64(most) * 100)
	}
	if most := info.Config.MaxMsgs; most > 0 {
		percent = max(percent, int(float64(info.State.Msgs)/float64(most)*100))
	}
	return percent
}

// givesWay says what comes of a stream that is full.
func givesWay(info *jetstream.StreamInfo) string {
	if info.Config.Discard == jetstream.DiscardOld {
		return ", and drops what is oldest when it is full"
	}
	return ", and takes nothing more when it is full"
}
