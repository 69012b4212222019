package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Templates knows how many instances of templates run. The host implements it.
type Templates interface {
	// Instances lists the templates of which a number of instances may run at once.
	Instances() []Instances
}

// Instances is how many instances of a template run, and may.
type Instances struct {
	Template     string
	Running, Max int
}

const (
	outcomeCrowded    = "crowded"
	instancesInterval = 10 * time.Second
)

var errNoTemplates = errors.New("this program counts no instances; run the machine with overlay run")

// instancesSpec is the properties of an instances watcher.
type instancesSpec struct {
	// Above is from how many percent of the instances that may run a template is crowded, until it has a sixteenth less than that.
	Above int `yaml:"above" default:"80" min:"1" max:"100"`
}

func instancesType(t Templates) watchers.Type {
	read := map[string]machine.ValueType{"crowded": machine.Object, "reason": machine.String}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "instances",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: read, Doc: "no template is crowded, told when a state is entered and when none is any more"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "nobody counts instances here"},
				{Name: outcomeCrowded, Class: machine.Neutral, Payload: read,
					Doc: "templates are crowded, told again when they are others; crowded is how many percent each has by name, reason the same in words"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: read, Doc: "as before"},
			},
		},
		Summary: "Looks how many instances of the host's templates run, of those that may by the limit of spawn.",
	}, func(spec *instancesSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &instances{spec: spec, of: t} }, Interval: instancesInterval}
	})
}

// instances remembers what was told.
type instances struct {
	spec    *instancesSpec
	of      Templates
	told    bool
	crowded map[string]bool
}

// Check implements watchers.Checker.
func (w *instances) Check(_ context.Context, look *watchers.Look) watchers.Report {
	if w.of == nil {
		return watchers.Failure(errNoTemplates.Error())
	}
	all := w.of.Instances()
	slices.SortFunc(all, func(a, b Instances) int { return strings.Compare(a.Template, b.Template) })
	crowded, percents, words := map[string]bool{}, map[string]any{}, []string{}
	for _, i := range all {
		above := w.spec.Above
		if w.crowded[i.Template] {
			above -= above / 16
		}
		if i.Running*100 < i.Max*above {
			continue
		}
		crowded[i.Template], percents[i.Template] = true, i.Running*100/i.Max
		words = append(words, fmt.Sprintf("%d of %d instances of %s run", i.Running, i.Max, i.Template))
	}
	reason := strings.Join(words, "; ")
	rep := watchers.Report{Outcome: machine.OutcomeSuccess, Message: reason, Payload: map[string]any{"crowded": percents, "reason": reason}}
	switch {
	case w.told && look.Moment == watchers.Interval && maps.Equal(crowded, w.crowded):
		rep.Outcome = watchers.OutcomeUnchanged
	case len(crowded) > 0:
		rep.Outcome = outcomeCrowded
	}
	w.told, w.crowded = true, crowded
	return rep
}
