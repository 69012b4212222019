package factgather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	// reserved is the key of what the document says about itself.
	reserved    = "statecraft"
	builtinName = "builtin"
	// parallel bounds how many sources are asked at once.
	parallel = 4
	// fileMode of the written document: other programs of the host read it.
	fileMode fs.FileMode = 0o644
)

// kept is the last that is known of an entry.
type kept struct {
	facts map[string]any // the last good ones; never changed
	at    time.Time      // when they were gathered
	err   error          // of the last try
}

// watcher remembers the last good facts of every entry.
type watcher struct {
	spec     *Spec
	names    []string // of spec.Sources
	volatile []string
	listed   map[string][]entry // the last good listing of each source
	known    map[string]*kept   // by entry id
	hash     string             // of the stable part, at the last look
}

func newWatcher(spec *Spec) *watcher {
	w := &watcher{spec: spec, names: named(spec.Sources), listed: map[string][]entry{}, known: map[string]*kept{}}
	var keys []string
	for _, s := range spec.Sources {
		if s.Key != "" {
			keys = append(keys, s.Key)
		}
	}
	w.volatile = volatileBelow(keys)
	return w
}

// Check gathers all facts that are due and reports the whole document.
func (w *watcher) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	entries, failures := w.entries(look)
	w.refresh(ctx, look, entries)
	worked := 0
	for _, e := range entries {
		if err := w.known[e.id].err; err != nil {
			failures = append(failures, failure{source: e.source, id: e.id, err: err})
			continue
		}
		worked++
	}
	w.log(look, failures)
	if worked == 0 && len(failures) > 0 {
		return allFailed(failures)
	}
	return w.report(look, entries, failures)
}

// allFailed is the report of a look at which no source worked.
func allFailed(failures []failure) watchers.Report {
	rep := watchers.Failure("no facts: every source failed: " + describe(failures))
	if slices.ContainsFunc(failures, func(f failure) bool { return watchers.Starved(f.err) }) {
		rep.Outcome = machine.OutcomeStarved
	}
	return rep
}

// failure is one entry, or one directory, that gave nothing at this look.
type failure struct {
	source, id string
	err        error
}

// entries lists what to ask. A directory that cannot be listed is asked for what it held before.
func (w *watcher) entries(look *watchers.Look) (all []entry, failures []failure) {
	if w.spec.Builtin {
		all = append(all, builtinEntries()...)
	}
	for i := range w.spec.Sources {
		name := w.names[i]
		found, err := w.spec.Sources[i].entries(look, name)
		if err != nil {
			failures = append(failures, failure{source: name, id: name, err: err})
			found = w.listed[name]
		}
		w.listed[name] = found
		all = append(all, found...)
	}
	return all, failures
}

// refresh asks the entries that are due and forgets those that are gone.
func (w *watcher) refresh(ctx context.Context, look *watchers.Look, entries []entry) {
	ctx, cancel := budget(ctx, look)
	defer cancel()
	known := make(map[string]*kept, len(entries))
	slots := make(chan struct{}, parallel)
	var asked sync.WaitGroup
	for _, e := range entries {
		k, seen := w.known[e.id]
		if !seen {
			k = &kept{}
		}
		known[e.id] = k
		if !seen || k.due(e.interval, look.At) {
			slots <- struct{}{}
			asked.Go(func() {
				defer supervise.Recover(ctx)
				defer func() { <-slots }()
				k.update(ctx, look, e)
			})
		}
	}
	asked.Wait()
	w.known = known
}

// budget leaves a tenth of the look's time for what follows, so that one source that hangs does not cost the
// facts of all others.
func budget(ctx context.Context, look *watchers.Look) (context.Context, context.CancelFunc) {
	if look.Deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	left := look.Deadline.Sub(look.At)
	return context.WithTimeoutCause(ctx, left-left/10, errors.New("not done before the watcher's timeout"))
}

// due reports whether an entry is to be asked: a failure is repeated at the next look.
func (k *kept) due(interval time.Duration, at time.Time) bool {
	age := at.Sub(k.at)
	return k.err != nil || age < 0 || age >= interval
}

func (k *kept) update(ctx context.Context, look *watchers.Look, e entry) {
	facts, err := e.guarded(ctx, look)
	k.err = err
	if err == nil {
		k.facts, k.at = facts, look.At
	}
}

func (w *watcher) report(look *watchers.Look, entries []entry, failures []failure) watchers.Report {
	document, denied := w.document(look, entries, failures)
	raw, err := json.Marshal(document)
	if err != nil {
		return watchers.Failed(fmt.Errorf("no facts: writing them as JSON: %w", err))
	}
	if len(raw) > w.spec.maxBytes {
		return watchers.Failure(fmt.Sprintf("the facts are %d bytes, more than max_bytes (%d): raise it, or deny what is not needed", len(raw), w.spec.maxBytes))
	}
	hash, err := stableHash(document, w.volatile)
	if err != nil {
		return watchers.Failed(fmt.Errorf("no facts: hashing them: %w", err))
	}
	if w.spec.File != "" {
		if err := look.WriteFile(w.spec.File, raw, fileMode); err != nil {
			return watchers.Failed(fmt.Errorf("the facts were gathered, but not written: %w", err))
		}
	}
	outcome := outcomeUnchanged
	if hash != w.hash {
		outcome = outcomeChanged
	}
	w.hash = hash
	count := countLeaves(document)
	return watchers.Report{
		Outcome: outcome,
		Payload: map[string]any{"sha256": hash, "count": count, "failed": len(failures), "bytes": len(raw)},
		Facts:   raw,
		Message: summary(count, failures, denied),
	}
}

// document joins what is known, later entries over earlier ones, and says how the sources are.
func (w *watcher) document(look *watchers.Look, entries []entry, failures []failure) (map[string]any, *denier) {
	document, deny := map[string]any{}, newDenier(w.spec.Deny)
	for _, e := range entries {
		merge(document, deny.object("", wrap(e.key, w.known[e.id].facts)))
	}
	about := map[string]any{"release": machine.Release, "sources": w.sources(look, entries, failures)}
	if version, ok := look.Facts.Get(reserved + ".version"); ok { // which only the program itself knows, and says at the start
		about["version"] = version
	}
	document[reserved] = about
	return document, deny
}

// sources describes every source: whether all of it worked, what it said if not, and the age of its
// oldest facts.
func (w *watcher) sources(look *watchers.Look, entries []entry, failures []failure) map[string]any {
	states := map[string]any{}
	for _, e := range entries {
		state, ok := states[e.source].(map[string]any)
		if !ok {
			state = map[string]any{"ok": true}
			states[e.source] = state
		}
		k := w.known[e.id]
		if k.at.IsZero() {
			continue
		}
		age := max(0, int64(look.At.Sub(k.at).Seconds()))
		if oldest, ok := state["age_seconds"].(int64); !ok || age > oldest {
			state["age_seconds"] = age
		}
	}
	for _, f := range failures {
		state, ok := states[f.source].(map[string]any)
		if !ok {
			state = map[string]any{}
			states[f.source] = state
		}
		state["ok"], state["error"] = false, short(f.err)
	}
	return states
}

// log tells what programs wrote to stderr, which no fact and no journal should hold.
func (w *watcher) log(look *watchers.Look, failures []failure) {
	if look.Log == nil {
		return
	}
	for _, f := range failures {
		var exit *exitError
		if errors.As(f.err, &exit) {
			look.Log.Warn("fact source failed", "source", f.id, "error", f.err, "stderr", string(exit.stderr))
		}
	}
}

func summary(count int, failures []failure, denied *denier) string {
	parts := []string{fmt.Sprintf("%d facts", count)}
	if len(failures) > 0 {
		parts = append(parts, fmt.Sprintf("%d failed and kept their last good facts (%s)", len(failures), describe(failures)))
	}
	if text := denied.summary(); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// describe names the first failures.
func describe(failures []failure) string {
	const named = 3
	var parts []string
	for _, f := range failures[:min(named, len(failures))] {
		parts = append(parts, f.id+": "+short(f.err))
	}
	if len(failures) > named {
		parts = append(parts, "...")
	}
	return strings.Join(parts, ", ")
}

// short is the first line of an error, at most 200 bytes.
func short(err error) string {
	return diag.Brief(firstLine(err.Error()), 200)
}
