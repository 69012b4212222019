package runtime

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// program is a definition made ready to run: shared by everything that runs it, never changed.
type program struct {
	def       *machine.Definition
	prepared  []*watchers.Prepared // by watcher
	classes   []map[string]machine.OutcomeClass
	directory string
	content   string // identifies the payload, so that a change of any file of it counts
	intact    func() error
	origin    Origin
	// records counts by kind; looking the counters up by their labels would cost as much as the rest of a turn's accounting.
	records map[machine.RecordKind]prometheus.Counter
	secrets []string // keys of data
	// subscribed lists the transitions that an event of another machine fires.
	subscribed map[subscription][]string
}

type subscription struct{ machine, event string }

// prepare makes a program, or says why the watchers' properties cannot work.
func (h *Host) prepare(d Deployment) (*program, diag.List) {
	def := d.Definition
	key := def.Manifest.Name
	h.mu.RLock()
	known := h.programs[key]
	h.mu.RUnlock()
	if wanted := (&program{def: def, directory: d.Directory, content: d.Content, origin: d.Origin}); known != nil && known.same(wanted) {
		return known, nil // many units may run one program
	}
	if known != nil && known.def == def {
		return known.in(d), nil
	}
	p := &program{def: def, directory: d.Directory, content: d.Content, intact: d.Intact, origin: d.Origin, subscribed: map[subscription][]string{},
		records: h.metrics.recordsOf(def.Manifest.Name), secrets: def.SecretData()}
	var problems diag.List
	for i := range def.Manifest.Watchers {
		spec := &def.Manifest.Watchers[i]
		prepared, found := h.cfg.Catalogue.Prepare(spec)
		problems = append(problems, found...)
		p.prepared = append(p.prepared, prepared)
		p.classes = append(p.classes, h.outcomeClasses(spec.Type))
	}
	for _, t := range def.Manifest.Transitions {
		for _, s := range t.Subscribe {
			key := subscription{s.Machine, s.Event}
			if !slices.Contains(p.subscribed[key], t.Name) {
				p.subscribed[key] = append(p.subscribed[key], t.Name)
			}
		}
	}
	if !problems.HasErrors() {
		h.mu.Lock()
		h.programs[key] = p
		h.mu.Unlock()
	}
	return p, problems
}

// in is the same program in another folder.
func (p *program) in(d Deployment) *program {
	q := *p
	q.directory, q.content, q.intact, q.origin = d.Directory, d.Content, d.Intact, d.Origin
	return &q
}

// same reports whether two programs would do the same.
func (p *program) same(q *program) bool {
	return p.def.Manifest.Digest == q.def.Manifest.Digest && slices.Equal(p.def.Files(), q.def.Files()) && p.directory == q.directory && p.content == q.content && p.origin.equal(q.origin)
}

// outcomeClasses returns which outcomes of a watcher type are failures, for retries.
func (h *Host) outcomeClasses(typ string) map[string]machine.OutcomeClass {
	classes := map[string]machine.OutcomeClass{
		machine.OutcomeSuccess: machine.Success, machine.OutcomeFail: machine.Failure,
		machine.OutcomeTimeout: machine.Failure, machine.OutcomeInterrupted: machine.Failure, machine.OutcomePanic: machine.Failure,
	}
	if t, ok := h.cfg.Catalogue.Find(typ); ok {
		for _, o := range t.Outcomes {
			classes[o.Name] = o.Class
		}
	}
	return classes
}

func (p *program) spec(i int) *machine.WatcherSpec { return &p.def.Manifest.Watchers[i] }

// requires returns the machines of which a watcher requires a state.
func (p *program) requires() []string {
	var names []string
	for _, w := range p.def.Manifest.Watchers {
		for _, f := range w.ForeignStateRequired {
			names = append(names, f.Machine)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// interval returns the time between looks, 0 for looks on entry only.
func (p *program) interval(i int) time.Duration {
	if d := p.spec(i).Interval; d > 0 {
		return d
	}
	return p.prepared[i].Interval
}

// timeout returns the bound of a look.
func (p *program) timeout(i int) time.Duration {
	switch s, q := p.spec(i), p.prepared[i]; {
	case s.Timeout > 0:
		return s.Timeout
	case q.Timeout > 0:
		return q.Timeout
	default:
		return defaultLookTimeout
	}
}

// governor returns the governor that admits a look, and how long to wait for it.
func (p *program) governor(i int) (name string, wait time.Duration) {
	s, q := p.spec(i), p.prepared[i]
	name, wait = s.Governor, s.GovernorTimeout
	if name == "" {
		name, wait = q.Governor, q.GovernorTimeout
	}
	if wait <= 0 {
		wait = defaultGovernorTimeout
	}
	return name, wait
}

// onLeave returns what becomes of a running look when its activation ends.
func (p *program) onLeave(i int) machine.OnLeave {
	if o := p.spec(i).OnLeave; o != "" {
		return o
	}
	if o := p.prepared[i].OnLeave; o != "" {
		return o
	}
	return machine.Cancel
}

// guarded reports whether the watcher's looks must not happen twice, so that their start is recorded.
func (p *program) guarded(i int) bool {
	o := p.spec(i).OnInterrupt
	return o == machine.Fail || o == machine.Ask
}

// takes returns the transition that a subscription fires in a state: the first that leaves it, else the first.
func (p *program) takes(key subscription, state string) string {
	names := p.subscribed[key]
	for _, t := range p.def.Manifest.Transitions {
		if slices.Contains(names, t.Name) && (slices.Contains(t.From, state) || slices.Contains(t.From, "*")) {
			return t.Name
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

const (
	defaultLookTimeout     = time.Minute
	defaultGovernorTimeout = 5 * time.Minute // COMPAT: exec's and archive's governor_timeout
)
