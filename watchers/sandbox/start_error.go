package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// StartError is a program that could not be started, and why in words.
type StartError struct {
	Path   string
	Reason string // what is missing, and what to do
	Err    error
}

// Error implements error.
func (e *StartError) Error() string { return "running " + e.Path + ": " + e.Reason }

// Unwrap returns what the system said.
func (e *StartError) Unwrap() error { return e.Err }

// startError says why a program did not start. The system has few words for that, so the file is looked at.
func startError(path string, err error) *StartError {
	var errno syscall.Errno
	errors.As(err, &errno)
	e := &StartError{Path: path, Reason: err.Error(), Err: err}
	switch errno {
	case syscall.ENOENT:
		e.Reason = notThere(path)
	case syscall.EACCES:
		e.Reason = notAllowed(path)
	case syscall.ENOEXEC:
		e.Reason = notExecutable(path)
	case syscall.E2BIG:
		e.Reason = "its arguments and environment are longer than the system takes; give it what is long on the standard input or in a file"
	case syscall.ETXTBSY:
		e.Reason = "its file is being written to; write it beside and rename it"
	case syscall.EAGAIN:
		e.Reason = "no further process may be started: the limit of processes of the user, the unit or the container is reached"
	case syscall.ENOMEM:
		e.Reason = "there is no memory to start a process with"
	case syscall.EMFILE, syscall.ENFILE:
		e.Reason = "there is no file descriptor left to start a process with"
	}
	return e
}

const noSuchFile = "there is no such file"

// notThere explains ENOENT: the file is missing, or what the system starts in its place.
func notThere(path string) string {
	if _, err := os.Stat(path); err != nil {
		if to, err := os.Readlink(path); err == nil {
			return fmt.Sprintf("it is a link to %s, and %s", to, noSuchFile)
		}
		return noSuchFile
	}
	line, script := interpreterLine(path)
	switch interpreter, _, _ := strings.Cut(line, " "); {
	case !script:
		return "it is a program of another system: the loader that it names is not there"
	case strings.HasSuffix(interpreter, "\r"):
		return fmt.Sprintf("its first line ends in a carriage return, so that the system looks for %q; save the file with the line ends of Unix", interpreter)
	default:
		return fmt.Sprintf("its interpreter %s is not there; install it, or name another in the first line", interpreter)
	}
}

// notAllowed explains EACCES.
func notAllowed(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "permission denied: the host's user may not pass through a folder above it"
	}
	line, script := interpreterLine(path)
	interpreter, _, _ := strings.Cut(line, " ")
	switch {
	case info.IsDir():
		return "it is a folder"
	case info.Mode()&0o111 == 0:
		return fmt.Sprintf("it may not be executed, as its mode is %#o; chmod +x %s", info.Mode().Perm(), path)
	case script && interpreter != "" && !executable(interpreter):
		return fmt.Sprintf("its interpreter %s may not be executed", interpreter)
	default:
		return "permission denied: its mode does not let the host's user execute it, or its file system is mounted with noexec"
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// notExecutable explains ENOEXEC.
func notExecutable(path string) string {
	const begin = "begin it with a line such as #!/bin/sh"
	switch head := fileHead(path); {
	case len(head) == 0:
		return "it is empty"
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf#!")):
		return "a byte order mark stands before its #! line; save the file without one"
	case bytes.HasPrefix(head, []byte("\x7fELF")), bytes.HasPrefix(head, []byte("MZ")), bytes.HasPrefix(head, []byte("\xcf\xfa\xed\xfe")):
		return "it is a program for another kind of machine or system"
	case bytes.HasPrefix(head, []byte("#!")):
		line, _ := interpreterLine(path)
		if interpreter, _, _ := strings.Cut(line, " "); interpreter != "" {
			return fmt.Sprintf("its interpreter %s is no program", interpreter)
		}
		return "its #! line names no interpreter; " + begin
	default:
		return "it has no #! line that says what runs it; " + begin
	}
}

// interpreterLine is the first line of a script behind its #!, as the system reads it; false where the file is no script.
func interpreterLine(path string) (line string, script bool) {
	head := fileHead(path)
	if !bytes.HasPrefix(head, []byte("#!")) {
		return "", false
	}
	first, _, _ := bytes.Cut(head[2:], []byte("\n"))
	return strings.ToValidUTF8(strings.Trim(string(first), " \t"), "\uFFFD"), true
}

// headSize is how much of a file the system looks at to know what runs it.
const headSize = 256

// fileHead is the beginning of a regular file, nothing where it cannot be read.
func fileHead(path string) []byte {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	head := make([]byte, headSize)
	n, _ := io.ReadFull(file, head)
	return head[:n]
}
