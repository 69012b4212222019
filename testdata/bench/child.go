package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// endsWithin is how long a process may take to end, which is a hang guard and no measurement.
const endsWithin = time.Minute

// command is the program with arguments. It is asked to stop when ctx ends or this process does, and made to when it does not.
func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endsWithin
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

// output runs the program to its end and returns what it prints.
func (b *bench) output(args ...string) ([]byte, error) {
	out, err := b.command(b.ctx, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w, %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("statecraft %s: %w", strings.Join(args[:min(2, len(args))], " "), err)
	}
	return out, nil
}

// child is a process that runs until it is ended.
type child struct {
	*exec.Cmd
	name  string
	words string        // the file that has what it said on standard error
	ended chan struct{} // closed when it has ended, and then
	err   error         // is how
}

// launch starts a process. What it says on standard error goes to a file, and is shown where the process does not end well.
func launch(cmd *exec.Cmd, name, words string) (*child, error) {
	file, err := os.Create(words)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer file.Close()
	cmd.Stderr = file
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c := &child{Cmd: cmd, name: name, words: words, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// end stops the process, which must be there still and end well.
func (c *child) end() error {
	guard := time.AfterFunc(endsWithin, func() { _ = c.Process.Kill() })
	defer guard.Stop()
	asked := c.Process.Signal(syscall.SIGTERM)
	<-c.ended
	if err := errors.Join(asked, c.err); err != nil {
		return fmt.Errorf("%s did not stop cleanly: %w; %s", c.name, err, c.lastWords())
	}
	return nil
}

// lastWords is the end of what it said, since its file is about to be removed.
func (c *child) lastWords() string {
	const most = 2000
	text, err := os.ReadFile(c.words)
	if err != nil || len(text) == 0 {
		return "it said nothing"
	}
	return "it said last:\n" + strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// waitFor lets time pass, unless the context ends.
func waitFor(ctx context.Context, span time.Duration) error {
	select {
	case <-time.After(span):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until polls until something holds, for a while. An error is the reason why it does not hold yet.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	const patience, every = time.Minute, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(every)
	defer poll.Stop()
	for {
		ok, err := holds()
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(context.Cause(ctx), err))
		case <-poll.C:
		}
	}
}
