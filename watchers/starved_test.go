//go:build linux

package watchers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

func TestWantOfTheHostIsToldFromFailure(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no descriptor":        {&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, machine.OutcomeStarved},
		"none of the system":   {os.NewSyscallError("pipe2", syscall.ENFILE), machine.OutcomeStarved},
		"no space":             {fmt.Errorf("writing motd: %w", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), machine.OutcomeStarved},
		"no space of the user": {syscall.EDQUOT, machine.OutcomeStarved},
		"no process":           {fmt.Errorf("a: %w", &sandbox.StartError{Path: "/bin/x", Err: syscall.EAGAIN}), machine.OutcomeStarved},
		"no memory to start":   {&sandbox.StartError{Path: "/bin/x", Err: syscall.ENOMEM}, machine.OutcomeStarved},
		"not yet":              {&fs.PathError{Op: "read", Path: "x", Err: syscall.EAGAIN}, machine.OutcomeFail},
		"no program":           {&sandbox.StartError{Path: "/bin/x", Err: syscall.ENOENT}, machine.OutcomeFail},
		"no such file":         {fs.ErrNotExist, machine.OutcomeFail},
		"other":                {errors.New("no space left on device"), machine.OutcomeFail},
	} {
		if got := Failed(test.err); got.Outcome != test.want || got.Message != test.err.Error() {
			t.Errorf("%s: got %s %q, want %s", name, got.Outcome, got.Message, test.want)
		}
	}
}

// TestWithoutDescriptorsLooksAreStarved takes the process all descriptors while looks that need some are made.
func TestWithoutDescriptorsLooksAreStarved(t *testing.T) {
	b := newExecBench(t, "command: 'true'")
	if err := os.WriteFile(filepath.Join(b.look.Directory, "motd"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	looks := map[string]Checker{"a command": b.watcher}
	for name, properties := range map[string]string{"a file": "path: motd", "a file that is written": "path: issue\ncontents: hello\nowner: root\ngroup: root\nmode: '0644'"} {
		node, problems := strict.Parse("machine.yaml", []byte(properties))
		prepared, found := File().Prepare(&machine.WatcherSpec{Name: "check", Type: "file", Properties: node, Strict: true})
		if problems.HasErrors() || found.HasErrors() {
			t.Fatal(problems, found)
		}
		looks[name] = prepared.New().(Checker)
	}
	withoutDescriptors(t, func() {
		for name, w := range looks {
			if r := w.Check(t.Context(), &b.look); r.Outcome != machine.OutcomeStarved {
				t.Errorf("%s: got %s %q", name, r.Outcome, r.Message)
			}
		}
	})
	b.want(machine.OutcomeSuccess, "")
}

// withoutDescriptors calls f while no descriptor can be opened.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := syscall.Rlimit{Cur: 0, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
