package main

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// The exit codes, as docs/cli.md lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInvalid     = 3
	exitRefused     = 4
	exitUnreachable = 5
	exitPartial     = 6
	exitInterrupted = 130
)

// failure is an error with the exit code that it ends the program with and the next step for the person
// who reads it. Errors of other types exit with exitFailed.
type failure struct {
	code int
	hint string // "" where there is nothing to advise
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// fail makes a failure; format is that of fmt.Errorf.
func fail(code int, hint, format string, args ...any) error {
	return &failure{code: code, hint: hint, err: fmt.Errorf(format, args...)}
}

// usage is the failure of a command that cannot be meant as it was given.
func usage(hint, format string, args ...any) error { return fail(exitUsage, hint, format, args...) }

func interrupted() error { return fail(exitInterrupted, "", "interrupted") }

// defect is the failure of the program itself. Where it happened is logged for those who look for it.
func defect(inv *invocation, p any) error {
	inv.log.Debug("panic", "value", p, "stack", string(debug.Stack()))
	return fail(exitFailed, "please report it with the command, its input and what 'statecraft version' prints; --log-level debug shows where it happened",
		"this is a defect of statecraft: %v", p)
}

// report prints an error with its hint and returns the exit code, exitOK for none.
func (inv *invocation) report(err error) int {
	if err == nil {
		return exitOK
	}
	f := &failure{code: exitFailed, err: err}
	errors.As(err, &f)
	if errors.Is(err, identity.ErrUnsafe) {
		f = &failure{code: exitRefused, hint: "keys, tokens and state go where nobody else can write: docs/security.md, \"Folders\"", err: err}
	}
	fmt.Fprintf(inv.stderr, "statecraft: %s\n", oneLine(err.Error()))
	if f.hint != "" {
		fmt.Fprintf(inv.stderr, "statecraft: hint: %s\n", oneLine(f.hint))
	}
	return f.code
}

// oneLine keeps every line of a message recognisable as this program's.
func oneLine(s string) string {
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "\nstatecraft: ")
}

// reason is why the operating system refused a file, without the path that the message names already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
