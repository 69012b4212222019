package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// traceVerbs are the verbs about what was recorded.
type traceVerbs struct {
	Export traceVerb       `cmd:"" default:"withargs" help:"Export what was recorded of a machine as a trace."`
	Verify traceVerifyVerb `cmd:"" help:"Hold a trace or a journal against the signed heads that were published of it."`
	Heads  traceHeadsVerb  `cmd:"" help:"Print the signed heads that the cell has of a journal, for trace verify --heads."`
}

// traceVerb exports what a host recorded of a machine.
type traceVerb struct {
	stateFlags
	Output   string   `short:"o" placeholder:"FILE" help:"Write the trace to a file instead of standard output."`
	Manifest []string `placeholder:"FILE" help:"A manifest that the machine ran, where the host has kept no copy of it. May be given several times."`
	Machine  string   `arg:"" help:"The machine."`
}

// traceResult is what trace --json prints, with --output.
type traceResult struct {
	Machine string `json:"machine"`
	Output  string `json:"output"`
	Records int    `json:"records"`
	LeftOut int    `json:"left_out"` // records that none of the manifests decided
	Gaps    int    `json:"gaps"`
}

// Run writes the trace.
func (v *traceVerb) Run(inv *invocation) error {
	if inv.json && v.Output == "" {
		return usage("a trace is JSON lines already; with --output FILE --json prints what was written", "--json needs --output")
	}
	dir, err := v.host()
	if err != nil {
		return err
	}
	x := runtime.Export{StateDir: dir, Machine: v.Machine, Catalogue: catalogue(), At: time.Now()}
	if err := v.definitions(inv, &x); err != nil {
		return err
	}
	done, err := v.export(inv, x)
	if err != nil {
		return v.exportError(inv.ctx, err, dir)
	}
	if inv.json {
		r := traceResult{Machine: v.Machine, Output: v.Output, Records: done.Records, LeftOut: done.LeftOut, Gaps: done.Gaps}
		if err := inv.printJSON(r); err != nil {
			return err
		}
	}
	if done.LeftOut > 0 {
		return fail(exitPartial, "name the manifests that the host has not kept with --manifest; the trace holds a gap where records are missing",
			"%s written, %d left out", counted(done.Records, "record"), done.LeftOut)
	}
	inv.notef("%s written", counted(done.Records, "record"))
	return nil
}

// definitions collects manifests beside those that the host kept: the ones that were named, and the one that runs.
func (v *traceVerb) definitions(inv *invocation, x *runtime.Export) error {
	for _, path := range v.Manifest {
		d, err := inv.oneMachine(path)
		if err != nil {
			return err
		}
		if d.Manifest.Name != v.Machine {
			return usage("name manifests of the machine whose trace is wanted", "%s is the manifest of %s, not of %s", path, d.Manifest.Name, v.Machine)
		}
		x.Definitions = append(x.Definitions, d)
	}
	client := control.NewClient(x.StateDir)
	defer client.Close()
	text, err := client.Definition(inv.ctx, v.Machine)
	var refused *control.Error
	switch {
	case err == nil:
		d, err := loadText("the manifest of "+v.Machine, string(text))
		if err != nil {
			return fail(exitFailed, "the host is of another release; use its statecraft", "the manifest that runs does not load: %w", err)
		}
		x.Definitions = append(x.Definitions, d)
		health, err := client.Health(inv.ctx)
		x.Host = health.Identity
		return hostError(err, x.StateDir)
	case errors.Is(err, control.ErrNoHost), errors.As(err, &refused) && (refused.Status == http.StatusNotFound || len(x.Definitions) > 0):
		return nil
	default:
		return hostError(err, x.StateDir)
	}
}

// export writes the trace to where it is wanted. A file is there when it is complete, or not at all.
func (v *traceVerb) export(inv *invocation, x runtime.Export) (runtime.Exported, error) {
	if v.Output == "" {
		return x.Write(inv.ctx, inv.out)
	}
	f, err := renameio.NewPendingFile(v.Output, renameio.WithPermissions(0o600))
	if err != nil {
		return runtime.Exported{}, fail(exitFailed, "check that the folder is there and who may write to it", "writing %q: %w", v.Output, reason(err))
	}
	defer func() { _ = f.Cleanup() }()
	done, err := x.Write(inv.ctx, io.Writer(f))
	if err == nil {
		err = f.CloseAtomicallyReplace()
	}
	return done, err
}

func (v *traceVerb) exportError(ctx context.Context, err error, dir string) error {
	var told *failure
	switch {
	case errors.As(err, &told):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitUnreachable, "name the state folder of the host with --state", "no host has recorded anything in %s", dir)
	case errors.Is(err, runtime.ErrNotExportable):
		return v.nothing(ctx, dir)
	default:
		return err
	}
}

// nothing says why there is no record to export.
func (v *traceVerb) nothing(ctx context.Context, dir string) error {
	kept, err := readRecorded(ctx, dir, fs.ErrNotExist)
	if err != nil {
		return err
	}
	if _, ok := kept.last[v.Machine]; !ok {
		return kept.unknown(v.Machine)
	}
	return fail(exitFailed, "name the manifest that the machine ran with --manifest FILE", "no record of %s was decided by a manifest at hand", v.Machine)
}
