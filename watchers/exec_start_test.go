//go:build linux

package watchers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
)

// TestEveryFailureOfACommandSaysWhy has commands that cannot start, or fail, in the ways that people meet.
func TestEveryFailureOfACommandSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		file string // run.sh
		mode os.FileMode
		exec string // properties, run.sh where none are given
		want string
	}{
		"carriage return":         {"#!/bin/sh\r\necho hello\r\n", 0o755, "", `its first line ends in a carriage return, so that the system looks for "/bin/sh\r"; save the file with the line ends of Unix`},
		"interpreter":             {"#!/usr/bin/python9 -u\nprint(1)\n", 0o755, "", "its interpreter /usr/bin/python9 is not there; install it, or name another in the first line"},
		"interpreter, no program": {"#!/etc/hostname\n", 0o755, "", "its interpreter /etc/hostname "},
		"no #! line":              {"echo hello\n", 0o755, "", "it has no #! line that says what runs it; begin it with a line such as #!/bin/sh"},
		"byte order mark":         {"\ufeff#!/bin/sh\n", 0o755, "", "a byte order mark stands before its #! line"},
		"empty":                   {"", 0o755, "", "it is empty"},
		"another machine's":       {"\x7fELF\x02\x01\x01", 0o755, "", "it is a program for another kind of machine or system"},
		"not executable":          {"#!/bin/sh\n", 0o644, "", "it may not be executed, as its mode is 0644; chmod +x "},
		"not there":               {"", 0o755, "command: ./other.sh", "other.sh: there is no such file"},
		"a folder":                {"", 0o755, "command: ./", "it is a folder"},
		"not installed":           {"", 0o755, "command: check_nothing -w 1", `there is no program "check_nothing" in PATH or the machine's directory; install it or write its path`},
		"in PATH, not executable": {"", 0o644, "command: run.sh", "run.sh may not be executed, as its mode is none of a program; chmod +x "},
		"in a sandbox":            {"#!/usr/bin/python9\n", 0o755, "command: ./run.sh\nsandbox: {no_new_privileges: true}", "its interpreter /usr/bin/python9 is not there"},
		"nearly JSON":             {"", 0o755, "command: 'printf \"{\\n \\\"a\\\": NaN}\"'\nparse_output: true", "reading the output as a JSON object: line 2, column 7: invalid character 'N'"},
		"exit code":               {"#!/bin/sh\necho first >&2; echo last >&2; echo ' ' >&2; exit 4", 0o755, "", "exit code 4: last"},
		"exit code, on stdout":    {"#!/bin/sh\necho CRITICAL - disk is full; exit 2", 0o755, "", "exit code 2: CRITICAL - disk is full"},
		"exit code, a lot":        {"#!/bin/sh\nyes noise | head -c 300000 >&2; echo >&2; echo last >&2; exit 1", 0o755, "", "exit code 1: last"},
		"exit code, silent":       {"#!/bin/sh\nexit 1", 0o755, "", "exit code 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.exec == "" {
				test.exec = "command: ./run.sh"
			}
			b := newExecBench(t, test.exec)
			file := filepath.Join(b.look.Directory, "run.sh")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, test.mode); err != nil {
				t.Fatal(err)
			}
			r := b.run()
			if r.Outcome != machine.OutcomeFail || !strings.Contains(r.Message, test.want) {
				t.Errorf("got %s %q, want %q", r.Outcome, r.Message, test.want)
			}
		})
	}
}
