// Command statecraft checks, draws, replays and runs machines.
//
// A verb is a struct with tags and a Run method, in a file of its own, and a field of cli in app.go. Results
// go to standard output, everything else to standard error; docs/cli.md holds the exit codes.
package main

import (
	"context"
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
	err := execute(inv, args)
	if ctx.Err() != nil && err != nil {
		inv.log.Debug("interrupted", "error", err)
		err = interrupted()
	}
	if err == nil {
		err = inv.out.failure()
	}
	return inv.report(err)
}
