package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// invocation is what a verb is given besides its own flags and arguments. It ends with the program.
type invocation struct {
	ctx    context.Context // ends when the program is interrupted
	stdin  io.Reader
	out    *results
	stderr io.Writer
	log    *slog.Logger
	level  slog.Level // of log, for verbs that log in another way
	json   bool
	colour bool // of results; it decorates what is said in words too
}

// input is standard input that an interrupt ends, also while nobody types.
type input struct {
	ctx context.Context
	r   io.Reader
}

// Read returns what was read, or the cause of the interrupt.
func (i *input) Read(p []byte) (int, error) {
	data, err := interruptibly(i.ctx, func() ([]byte, error) {
		buffer := make([]byte, len(p))
		n, err := i.r.Read(buffer)
		return buffer[:n], err
	})
	return copy(p, data), err
}

// interruptibly leaves a read that blocks behind when ctx ends; the program is about to end then.
func interruptibly(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// readFile reads a file that somebody names. It may be a pipe, such as the shell's <(…), which is waited for until there is an interrupt.
func (inv *invocation) readFile(name string) ([]byte, error) {
	return interruptibly(inv.ctx, func() ([]byte, error) { return os.ReadFile(name) })
}

// results is standard output. It remembers a failed write, so that a full disk or a closed pipe is not
// taken for success, and no verb needs to look at every print.
type results struct {
	w   io.Writer
	err error
}

func (r *results) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.w.Write(p)
	r.err = err
	return n, err
}

func (r *results) failure() error {
	if r.err == nil {
		return nil
	}
	return fail(exitFailed, "make room, or send the output somewhere else", "writing the result: %w", reason(r.err))
}

func (inv *invocation) printf(format string, args ...any) { fmt.Fprintf(inv.out, format, args...) }

// notef tells the person at the terminal something that is not part of the result.
func (inv *invocation) notef(format string, args ...any) {
	fmt.Fprintf(inv.stderr, "statecraft: "+format+"\n", args...)
}

// printJSON prints one JSON document. Types that are printed only ever gain fields.
func (inv *invocation) printJSON(v any) error {
	e := json.NewEncoder(inv.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil && inv.out.err == nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	return nil
}

// ink is the number of a terminal's colour.
type ink int

// The colours in use.
const (
	red    ink = 31
	yellow ink = 33
	cyan   ink = 36
)

// paint colours a text where the result goes to a terminal that wants it.
func (inv *invocation) paint(c ink, text string) string {
	if !inv.colour {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, text)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
