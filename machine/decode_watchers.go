package machine

import (
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// watcherYAML is what every watcher has, whatever its type, as written.
type watcherYAML struct {
	Name                 string            `yaml:"name,required"`
	Type                 string            `yaml:"type,required"`
	StateMatch           []string          `yaml:"state_match"`
	ForeignStateRequired foreignStatesYAML `yaml:"foreign_state_required"`
	SuccessTransition    string            `yaml:"success_transition"`
	FailTransition       string            `yaml:"fail_transition"`
	On                   map[string]string `yaml:"on"`
	Interval             strict.Duration   `yaml:"interval"`
	AnnounceInterval     strict.Duration   `yaml:"announce_interval"`
	Timeout              strict.Duration   `yaml:"timeout"`
	Splay                strict.Duration   `yaml:"splay"`
	Governor             string            `yaml:"governor"`
	GovernorTimeout      strict.Duration   `yaml:"governor_timeout"`
	Retry                *retryYAML        `yaml:"retry"`
	When                 string            `yaml:"when"`
	OnLeave              string            `yaml:"on_leave" enum:"cancel|finish"`
	OnInterrupt          string            `yaml:"on_interrupt" enum:"rerun|fail|ask"`
	Secret               []string          `yaml:"secret"`
	Properties           *strict.Node      `yaml:"properties"`
}

type foreignStateYAML struct {
	Machine string `yaml:"machine_name,required"`
	State   string `yaml:"state,required"`
}

// retryYAML is the retry section as written.
type retryYAML struct {
	Max     *int   `yaml:"max" min:"1" max:"1000"`
	Backoff string `yaml:"backoff" default:"1s..1m"`
	Then    string `yaml:"then"`
}

// The shortest intervals: of looks, which bounds what a fleet's machines cost, and of announcements,
// which bounds what they send. Both are Choria's.
const (
	minInterval         = 500 * time.Millisecond
	minAnnounceInterval = time.Minute
)

func (d *decoder) watchers(y []watcherYAML) {
	section := d.root.Get("watchers")
	if !d.m.Strict() && (section == nil || section.Kind == strict.Sequence && len(section.Items) == 0) {
		d.fault("SC113", d.m.place("watchers"), `add a watcher, or write "format: 2" where deadlines and operators drive the machine`,
			"a machine needs a watcher")
	}
	for i := range y {
		if n := section.Items[i]; n.Kind == strict.Mapping {
			d.m.Watchers = append(d.m.Watchers, d.watcher(n, &y[i]))
		}
	}
}

func (d *decoder) watcher(n *strict.Node, y *watcherYAML) WatcherSpec {
	w := WatcherSpec{
		Name: y.Name, Type: y.Type, StateMatch: y.StateMatch,
		SuccessTransition: y.SuccessTransition, FailTransition: y.FailTransition, On: y.On,
		Interval: y.Interval.Std(), AnnounceInterval: y.AnnounceInterval.Std(), Timeout: y.Timeout.Std(),
		Splay: y.Splay.Std(), Governor: y.Governor, GovernorTimeout: y.GovernorTimeout.Std(), When: y.When,
		OnLeave: OnLeave(y.OnLeave), OnInterrupt: OnInterrupt(y.OnInterrupt),
		Secret: y.Secret, Properties: y.Properties, Pos: n.Pos, Strict: d.m.Strict(), Marked: d.m.Marked(),
		Data: d.m.declared(), places: placesOf(n),
	}
	if w.Properties != nil && w.Properties.Kind == strict.Null {
		w.Properties = nil
	}
	for i, f := range y.ForeignStateRequired {
		at := item(n.Get("foreign_state_required"), i).Pos
		w.ForeignStateRequired = append(w.ForeignStateRequired, ForeignState{Machine: f.Machine, State: f.State, Pos: at})
	}
	d.checkName("a watcher", w.Name, w.Place("name"))
	d.intervals(&w)
	w.Retry = d.retry(&w, y.Retry)
	return w
}

func (d *decoder) intervals(w *WatcherSpec) {
	if w.Interval > 0 && w.Interval < minInterval {
		d.fault("SC114", w.Place("interval"), "write 500ms or more, or leave the key out for looks on entry only",
			"an interval of %s is too short", w.Interval)
	}
	if w.AnnounceInterval > 0 && w.AnnounceInterval < minAnnounceInterval {
		d.fault("SC115", w.Place("announce_interval"), "write 1m or more", "an announce_interval of %s is too short", w.AnnounceInterval)
	}
}

func (d *decoder) retry(w *WatcherSpec, y *retryYAML) *Retry {
	if y == nil {
		return nil
	}
	r := &Retry{Then: y.Then}
	if y.Max == nil {
		d.fault("SC116", w.Place("retry"), `add "max: 3"`, "watcher %s retries without an end", w.Name)
	} else {
		r.Max = *y.Max
	}
	from, to, err := backoff(y.Backoff)
	if err != nil || from <= 0 || to < from {
		d.fault("SC117", w.Place("retry.backoff"), `write the first and the longest pause, such as "1s..1m"`, "%q is not a back-off", y.Backoff)
		return r
	}
	r.From, r.To = from, to
	return r
}
