package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
)

// archive remembers between looks what it found right.
type archive struct {
	spec     *archiveSpec
	services Services

	want   *archiveWant
	intact *registry.Intact // of the present payload; nil where nothing is verified
	dir    string           // of the present payload, "" for none
	right  bool             // it was, at the last look
	was    bool             // one of this want was, at some look
	told   bool             // the last look reported tampering
	paths  []string
	next   time.Duration // elapsed time of the next look; 0 is none
	sweep  archiveSweep
}

// errAbsent is a payload that was never there.
var errAbsent = errors.New("not there")

// maxPaths bounds how many files of one payload are watched for changes; the interval finds those of the others.
const maxPaths = 500

// Plan looks on entry and at intervals, and at once after tampering. Between intervals it sweeps.
func (a *archive) Plan(p watchers.Planning) watchers.Due {
	switch p.Moment {
	case watchers.Started, watchers.Entered:
		return watchers.Due{After: 1}
	case watchers.Looked:
		a.next = 0
		if a.told {
			a.next = p.Elapsed
		} else if p.Interval > 0 {
			a.next = a.sweep.plan(a, p)
		}
	}
	if a.next == 0 && !a.told {
		return watchers.Due{}
	}
	return watchers.Due{After: max(1, a.next-p.Elapsed)}
}

// Paths are the files of the payload while it is right, and the link to it.
func (a *archive) Paths(*watchers.Look) []string { return a.paths }

// Check looks at what is there, and brings it where it is not. It deploys in place of reporting what was tampered with where the state has just
// been entered: that is what the state is for.
func (a *archive) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if a.sweep.finds(ctx, a, look) {
		return watchers.Report{}
	}
	want, err := a.spec.want(look, a.services)
	if err != nil {
		return watchers.Failed(err)
	}
	if !want.same(a.want) {
		*a = archive{spec: a.spec, services: a.services, sweep: a.sweep}
	}
	a.want = want
	mend := a.told || look.Moment == watchers.Started || look.Moment == watchers.Entered
	a.told = false
	err = a.present(ctx)
	var tampered *registry.Tampered
	switch {
	case err == nil:
		return a.report(watchers.OutcomeUnchanged, "as it was signed")
	case errors.As(err, &tampered):
		look.Log.Warn("payload_tampered", "machine", look.Machine, "watcher", look.Watcher, "payload", want.name, "found", tampered.Error())
		if !mend {
			a.told = true
			return a.report(outcomeTampered, tampered.Error())
		}
	case !errors.Is(err, errAbsent):
		return watchers.Failed(err)
	}
	if err := a.deploy(ctx, look); err != nil {
		return watchers.Failed(fmt.Errorf("deploying %s: %w", want.name, err))
	}
	if tampered != nil {
		return a.report(outcomeDeployed, "deployed anew: "+tampered.Error())
	}
	return a.report(outcomeDeployed, "deployed")
}

// present returns nil where the payload is there and right.
func (a *archive) present(ctx context.Context) error {
	w := a.want
	a.dir, a.right, a.paths = "", false, nil
	dir, digest, ok := w.slots.Current(w.name)
	if !ok || digest != w.checksum {
		if a.was {
			return &registry.Tampered{Changed: []string{w.name}}
		}
		return errAbsent
	}
	a.dir = dir
	return a.verify(ctx)
}

// verify remembers a payload that is right.
func (a *archive) verify(ctx context.Context) error {
	if a.want.sums != "" {
		if a.intact == nil {
			a.intact = registry.NewIntact(a.dir, a.want.sums, a.want.sumsSum)
		}
		if err := a.intact.Check(ctx); err != nil {
			return err
		}
	}
	a.accept()
	return nil
}

// accept notes that the payload is right, and which files that is of.
func (a *archive) accept() {
	paths := []string{filepath.Join(a.want.slots.Target, a.want.name)}
	if a.intact != nil {
		paths = append(paths, a.intact.Paths()...)
	}
	a.right, a.was, a.paths = true, true, paths[:min(len(paths), maxPaths)]
}

func (a *archive) report(outcome, message string) watchers.Report {
	payload := map[string]any{"directory": a.dir, "digest": a.want.checksum}
	return watchers.Report{
		Outcome: outcome, Message: a.want.name + ": " + message, Payload: payload, Quiet: outcome == watchers.OutcomeUnchanged,
		State: map[string]any{"name": a.want.name, "digest": a.want.checksum, "previous_outcome": outcome},
	}
}

// deploy makes the payload the present one. One that is still there from before needs no source.
func (a *archive) deploy(ctx context.Context, look *watchers.Look) error {
	w, limits := a.want, registry.DefaultLimits()
	a.intact = nil
	if _, ok := w.slots.Prepared(w.name, w.checksum, w.verify()); !ok {
		archive := newSpool(w.slots.Temporary)
		defer archive.close()
		if err := a.fetch(ctx, look, archive, limits.Compressed); err != nil {
			return err
		}
		return a.install(&lastingAt{ctx, archive}, archive, limits)
	}
	return a.install(nil, nil, limits)
}

// install says what an archive is that is not the one asked for.
func (a *archive) install(from io.ReaderAt, archive *spool, limits registry.Limits) error {
	w, size := a.want, int64(0)
	if archive != nil {
		size = archive.size()
	}
	var err error
	a.dir, err = w.slots.Install(w.name, w.checksum, from, size, a.verifying(), limits)
	switch {
	case errors.Is(err, registry.ErrDigest):
		return fmt.Errorf("%w; %s", err, archive.looksLike())
	case err != nil:
		return err
	}
	if a.intact != nil {
		a.intact.Moved(a.dir)
	}
	a.accept()
	return nil
}

// verifying verifies what is installed, and remembers it.
func (a *archive) verifying() func(dir string) error {
	if a.want.sums == "" {
		return nil
	}
	return func(dir string) error {
		a.intact = registry.NewIntact(dir, a.want.sums, a.want.sumsSum)
		return a.intact.Check(context.Background())
	}
}

// fetch downloads the archive.
func (a *archive) fetch(ctx context.Context, look *watchers.Look, into *spool, most int64) error {
	if a.want.source.Scheme == "object" {
		return a.fetchObject(ctx, look, into, most)
	}
	return a.fetchWeb(ctx, into, most)
}
