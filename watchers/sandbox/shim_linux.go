package sandbox

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	shimName = "statecraft-sandbox"
	shimPath = "/proc/self/exe" // the running program, also after its file was replaced
	// shimVariable tells the shim from a person who calls the program by the shim's name. Where it is set when a run
	// is about to be confined, the program has come through a shim that it did not recognise.
	shimVariable = "STATECRAFT_SHIM"
	// requestFD is where the shim finds its request: in neither the arguments nor the environment, which others
	// may read, and which a linker obeys.
	requestFD = 3
	// confinedMask keeps the files of a confined program to its user.
	confinedMask = 0o077
)

// ExitNotConfined is the exit code of a program that could not be confined, and therefore was not run. The
// standard error stream says why.
const ExitNotConfined = 125

// request is what the shim is to become. Its strings may hold any bytes, which JSON would not carry.
type request struct {
	Path    string
	Args    []string
	Env     []string
	Confine Confinement
}

// Main must be called before anything else by every program that confines. In the shim it becomes the confined
// program or ends; everywhere else it returns at once.
func Main() {
	if len(os.Args) == 0 || os.Args[0] != shimName || os.Getenv(shimVariable) == "" {
		return
	}
	err := shim()
	fmt.Fprintf(os.Stderr, "cannot run in the sandbox: %v\n", err)
	os.Exit(ExitNotConfined)
}

// request writes what the shim needs into memory that only the shim inherits.
func (c *Command) request(env []string) (*os.File, error) {
	if os.Getenv(shimVariable) != "" {
		return nil, errors.New("confining a program: this program does not call sandbox.Main at its start")
	}
	r := request{Path: c.Path, Args: c.Args, Env: env, Confine: *c.Confine}
	file, err := memory(shimName, func(w io.Writer) error { return gob.NewEncoder(w).Encode(r) })
	if err != nil {
		return nil, fmt.Errorf("confining %s: %w", c.Path, err)
	}
	return file, nil
}

// shimEnvironment is small on purpose: the shim may be root, and nothing of a manifest may reach it this way. It
// needs little of Go's runtime for its short life.
func shimEnvironment(mark string) []string {
	return []string{shimVariable + "=1", mark, "GOMAXPROCS=1", "GOGC=off"}
}

// shim lowers this process and becomes the program. It returns only with an error.
func shim() error {
	// Some attributes belong to the thread, and the program inherits those of the one that becomes it.
	runtime.LockOSThread()
	var r request
	file := os.NewFile(requestFD, "request")
	if err := gob.NewDecoder(file).Decode(&r); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	file.Close()
	if err := closeOnExec(); err != nil {
		return fmt.Errorf("closing the host's descriptors: %w", err)
	}
	syscall.Umask(confinedMask)
	if r.Confine.As != nil {
		if err := r.Confine.As.assume(); err != nil {
			return err
		}
	}
	if err := r.Confine.apply(); err != nil {
		return err
	}
	return r.become()
}

func (i *Identity) assume() error {
	groups := make([]int, len(i.Groups))
	for n, g := range i.Groups {
		groups[n] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("taking the groups of %s: %w", i, err)
	}
	if err := syscall.Setgid(int(i.GID)); err != nil {
		return fmt.Errorf("taking the group %d: %w", i.GID, err)
	}
	if err := syscall.Setuid(int(i.UID)); err != nil {
		return fmt.Errorf("becoming %s: %w", i, err)
	}
	return nil
}

// apply sets everything but the memory limit, under which Go's own runtime could not go on.
func (c *Confinement) apply() error {
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
		slack    uint64 // between the limit that signals and the one that kills
	}{
		{"cpu_seconds", unix.RLIMIT_CPU, c.CPUSeconds, 1},
		{"file_size", unix.RLIMIT_FSIZE, c.FileSize, 0},
		{"open_files", unix.RLIMIT_NOFILE, c.OpenFiles, 0},
		{"processes", unix.RLIMIT_NPROC, c.Processes, 0},
	} {
		limit, err := lowered(l.resource, l.value, l.slack)
		if l.value == 0 {
			continue
		}
		if err == nil {
			err = syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max})
		}
		if err != nil {
			return fmt.Errorf("setting the limit %s: %w", l.name, err)
		}
	}
	if !c.NoNewPrivileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	return nil
}

// lowered is the limit to set: the value, but never more than the host's own.
func lowered(resource int, value, slack uint64) (unix.Rlimit, error) {
	var own unix.Rlimit
	err := unix.Getrlimit(resource, &own)
	return unix.Rlimit{Cur: min(value, own.Max), Max: min(value+slack, own.Max)}, err
}

// become sets the memory limit and executes the program, with nothing in between that could need memory.
func (r *request) become() error {
	path, err := syscall.BytePtrFromString(r.Path)
	if err != nil {
		return fmt.Errorf("the program's path: %w", err)
	}
	args, err := syscall.SlicePtrFromStrings(r.Args)
	if err != nil {
		return fmt.Errorf("the program's arguments: %w", err)
	}
	env, err := syscall.SlicePtrFromStrings(r.Env)
	if err != nil {
		return fmt.Errorf("the program's environment: %w", err)
	}
	memory, err := lowered(unix.RLIMIT_AS, r.Confine.Memory, 0)
	if err != nil {
		return fmt.Errorf("reading the limit memory: %w", err)
	}
	var failed syscall.Errno
	if r.Confine.Memory > 0 {
		_, _, failed = syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_AS, uintptr(unsafe.Pointer(&memory)), 0, 0, 0)
	}
	if failed == 0 {
		_, _, failed = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
			uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
	}
	if folder := closedFolder(r.Path); failed == syscall.EACCES && folder != "" {
		return fmt.Errorf("running %s as %s: that user may not pass through the folder %s", r.Path, r.name(), folder)
	}
	return fmt.Errorf("as %s: %w", r.name(), startError(r.Path, failed))
}

// closedFolder is the first folder above a file that this process may not pass through, "" where there is none.
func closedFolder(file string) string {
	for end := 1; end < len(file); end++ {
		if file[end] == '/' && unix.Access(file[:end], unix.X_OK) != nil {
			return file[:end]
		}
	}
	return ""
}

func (r *request) name() string {
	if r.Confine.As == nil {
		return "the host's own user"
	}
	return r.Confine.As.String()
}
