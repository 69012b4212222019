package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAnInterruptEndsAVerbThatReadsAPipe: a pipe as an argument is waited for, as with the shell's <(…), and no longer than until an interrupt.
func TestAnInterruptEndsAVerbThatReadsAPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"token", "inspect", pipe}, {"token", "revoke", "--reason", "r", pipe}, {"sign", "--key", "k", pipe}, {"verify", pipe}, {"publish", "--envelope", pipe},
		{"publish", "--spec", pipe}, {"keys", "rotate", "--envelope", pipe}, {"trace", "verify", "--heads", pipe, "trace"},
		{"node", "run", "--state", filepath.Join(dir, "state"), "--join", pipe},
	} {
		ctx, stop := context.WithCancel(t.Context())
		inv := &invocation{ctx: ctx, stdin: &input{ctx: ctx}, out: &results{w: io.Discard}, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
		ended := make(chan error, 1)
		go func() { ended <- inv.ended(execute(inv, args)) }()
		var writer *os.File
		until(t, func() (reads bool) { // a pipe that nobody reads cannot be opened
			f, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			writer = f
			return err == nil
		})
		stop()
		select {
		case err := <-ended:
			if code := inv.report(err); code != exitInterrupted {
				t.Errorf("%q ends with %d: %v", args, code, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%q goes on after an interrupt", args)
		}
		if err := writer.Close(); err != nil { // which ends the read that was left behind
			t.Error(err)
		}
	}
}
