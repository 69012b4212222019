// Command statecraft checks, draws, replays and runs machines.
//
// A verb is a struct with tags and a Run method, in a file of its own, and a field of cli in app.go. Results
// go to standard output, everything else to standard error; docs/cli.md holds the exit codes.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

func main() {
	sandbox.Main()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it. It returns the exit code and never panics.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	inv := &invocation{
		ctx: ctx, stdin: &input{ctx: ctx, r: stdin}, out: &results{w: stdout}, stderr: stderr,
		log: slog.New(slog.DiscardHandler),
	}
	defer func() {
		if p := recover(); p != nil {
			code = inv.report(defect(inv, p))
		}
	}()
	err := inv.ended(execute(inv, args))
	if err == nil {
		err = inv.out.failure()
	}
	return inv.report(err)
}

// ended takes what an interrupt made of a verb for the interrupt. What went wrong besides, such as a host that could not be stopped
// in order, stays what it is.
func (inv *invocation) ended(err error) error {
	var own *failure
	cut := errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(inv.ctx)) || !errors.As(err, &own)
	if err == nil || inv.ctx.Err() == nil || !cut {
		return err
	}
	inv.log.Debug("interrupted", "error", err)
	return interrupted()
}
