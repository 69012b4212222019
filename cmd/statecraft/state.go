package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/statecraft-io/statecraft/runtime/control"
)

// stateFlags are the flags of the verbs that need a host's state folder.
type stateFlags struct {
	State string `placeholder:"DIR" help:"State folder of the host (default /var/lib/statecraft for root, else $XDG_STATE_HOME/statecraft or ~/.local/state/statecraft)."`
}

// dir returns the state folder, absolute.
func (f stateFlags) dir() (string, error) {
	const hint = "name the state folder with --state"
	switch base := os.Getenv("XDG_STATE_HOME"); {
	case f.State != "":
		dir, err := filepath.Abs(f.State)
		if err != nil {
			return "", fail(exitFailed, hint, "finding the state folder: %w", err)
		}
		return dir, nil
	case os.Geteuid() == 0:
		return "/var/lib/statecraft", nil
	case filepath.IsAbs(base):
		return filepath.Join(base, "statecraft"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usage(hint, "finding the state folder: %w", err)
	}
	return filepath.Join(home, ".local", "state", "statecraft"), nil
}

// host returns the state folder of a host that is asked. What overlay run and node run are given holds it in a folder of its own, state.
func (f stateFlags) host() (string, error) {
	dir, err := f.dir()
	if err != nil {
		return "", err
	}
	if inner := filepath.Join(dir, "state"); !isHost(dir) && isHost(inner) {
		return inner, nil
	}
	return dir, nil
}

// isHost reports whether a host has kept its state in a folder.
func isHost(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "journal"))
	return err == nil && info.IsDir()
}

// hostError gives an error of the control socket its exit code and the next step.
func hostError(err error, dir string) error {
	var refused *control.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, control.ErrNoHost):
		return fail(exitUnreachable, "is the host running? "+runAgain(dir)+" starts one; --state names the folder of another, also the one that node run or overlay run was given", "%w", err)
	case errors.Is(err, control.ErrNotAllowed):
		return fail(exitRefused, "run the command as the user that the host runs as, or as root", "%w", err)
	case errors.Is(err, control.ErrTooLong):
		return usage("choose a state folder with a shorter path", "%w", err)
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return fail(exitRefused, refused.Hint, "%w", err)
	case errors.As(err, &refused):
		return fail(exitFailed, refused.Hint, "%w", err)
	default:
		return err
	}
}

// runAgain is the command that starts the host of a state folder.
func runAgain(dir string) string {
	above := filepath.Dir(dir)
	_, noConfig := os.Stat(filepath.Join(above, "overlay.yaml"))
	switch {
	case filepath.Base(dir) != nodeStateDir:
	case noConfig == nil:
		return "statecraft overlay run " + above
	case isFolder(filepath.Join(above, nodeIdentityDir)):
		return "statecraft node run --state " + above
	}
	return "statecraft run --state " + dir + " PATH"
}

// table prints rows in columns.
func (inv *invocation) table(rows [][]string) {
	w := tabwriter.NewWriter(inv.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = w.Flush() // inv.out remembers what went wrong
}

// printable keeps what a machine was told on its line, and the terminal out of its control.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// instant writes a time for people, "-" for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// orDash is what a table shows where there is nothing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
