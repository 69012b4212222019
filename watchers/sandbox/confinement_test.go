//go:build linux

package sandbox

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// strangers have numbers that no account of a sane system has, so that the processes counted against them are these tests'.
const (
	stranger      = "421337042"
	strangerGroup = "421337043"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: changing the user needs root; run the tests as root to see that commands lose their rights")
	}
}

func asStranger(t *testing.T, c *Command) *Command {
	t.Helper()
	needRoot(t)
	who, err := LookUp(stranger, strangerGroup)
	if err != nil {
		t.Fatal(err)
	}
	c.Dir = "/"
	c.Confine = &Confinement{As: who, NoNewPrivileges: true}
	return c
}

func run(t *testing.T, c *Command) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := c.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return got.ExitCode, strings.TrimSpace(string(got.Stdout)), strings.TrimSpace(string(got.Stderr))
}

func TestB16BecomesTheUser(t *testing.T) {
	code, out, complaint := run(t, asStranger(t, script(t, "id -u; id -g; id -G; umask; grep -E 'NoNewPrivs|CapEff' /proc/self/status")))
	want := strings.Join([]string{stranger, strangerGroup, strangerGroup, "0077", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"}, "\n")
	if code != 0 || out != want {
		t.Errorf("got %d %s %s, want %s", code, out, complaint, want)
	}
}

func TestB16CannotReadWhatIsNotTheirs(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, script(t, "cat "+secret)); code != 0 || out != "secret" {
		t.Fatalf("the test cannot fail: without a sandbox it reads %d %q", code, out)
	}
	code, out, complaint := run(t, asStranger(t, script(t, "cat "+secret)))
	if code == 0 || out != "" || !strings.Contains(complaint, "denied") {
		t.Errorf("got %d %q %q", code, out, complaint)
	}
	code, _, _ = run(t, asStranger(t, script(t, "cat /proc/$PPID/environ")))
	if code == 0 {
		t.Error("the host's environment can be read")
	}
}

// TestB16InheritsNoDescriptor leaves a descriptor open as whoever starts a host may, and looks for it in what the host starts.
func TestB16InheritsNoDescriptor(t *testing.T) {
	leak, err := unix.Open("/dev/zero", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	c, _ := helper(t, "descriptors")
	permissive := exec.Cmd{Path: c.Path, Args: c.Args, Env: c.Env}
	if out, err := permissive.Output(); err != nil || !strings.Contains(string(out), "/dev/zero") {
		t.Fatalf("the test cannot fail: started by itself it gets %q, %v", out, err)
	}
	for name, confine := range map[string]*Confinement{"no sandbox": nil, "a sandbox": {}} {
		c.Confine = confine
		_, out, _ := run(t, c)
		if lines := strings.Split(out, "\n"); len(lines) != 3 || strings.Contains(out, "zero") || strings.Contains(out, "memfd") {
			t.Errorf("%s: got %s", name, out)
		}
	}
}

// TestB16ClosesDescriptorsOneByOne holds the way of kernels that cannot mark them all at once.
func TestB16ClosesDescriptorsOneByOne(t *testing.T) {
	leak, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	if err := closeEachOnExec(); err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(leak), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags are %x, %v", flags, err)
	}
}

func TestConfinedEnvironmentIsExact(t *testing.T) {
	c := script(t, "env")
	c.Env = []string{"A=b\xff c", "PWD=" + c.Dir}
	c.Confine = &Confinement{}
	_, out, _ := run(t, c)
	for entry := range strings.Lines(out) {
		if name, _, _ := strings.Cut(entry, "="); name != "A" && name != "PWD" && name != RunVariable && name != "OLDPWD" && name != "_" {
			t.Errorf("got %q", entry)
		}
	}
	if !strings.Contains(out, "A=b\xff c") {
		t.Errorf("got %q", out)
	}
}

func TestWithoutAUserNothingIsTakenButPrivileges(t *testing.T) {
	c := script(t, "id -u; grep NoNewPrivs /proc/self/status")
	c.Confine = &Confinement{NoNewPrivileges: true}
	_, confined, _ := run(t, c)
	c.Confine = nil
	_, free, _ := run(t, c)
	if want := strings.Replace(free, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1); confined != want {
		t.Errorf("got %q, want %q", confined, want)
	}
}

func TestB15LimitsAreSet(t *testing.T) {
	c := script(t, "ulimit -v; ulimit -t; ulimit -u 2>/dev/null || ulimit -p; ulimit -n; ulimit -f")
	c.Confine = &Confinement{Limits: Limits{Memory: 256 << 20, CPUSeconds: 5, Processes: 50, OpenFiles: 20, FileSize: 1 << 20}}
	code, out, complaint := run(t, c)
	if want := "262144\n5\n50\n20\n2048"; code != 0 || out != want {
		t.Errorf("got %d %q %q, want %q", code, out, complaint, want)
	}
}

func TestB15LimitsBreached(t *testing.T) {
	for name, test := range map[string]struct {
		script  string
		limits  Limits
		code    int  // 0: any but success
		endless bool // without the limit
	}{
		"memory":     {"dd if=/dev/zero of=/dev/null bs=256M count=1", Limits{Memory: 64 << 20}, 0, false},
		"processor":  {"while :; do :; done", Limits{CPUSeconds: 1}, 128 + int(syscall.SIGXCPU), true},
		"file size":  {"exec head -c 100000 /dev/zero > large", Limits{FileSize: 5000}, 128 + int(syscall.SIGXFSZ), false},
		"open files": {"exec 3</dev/null 4</dev/null 5</dev/null", Limits{OpenFiles: 4}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := script(t, test.script)
			if !test.endless {
				if code, _, complaint := run(t, c); code != 0 {
					t.Fatalf("the test cannot fail: without a limit it ends with %d %s", code, complaint)
				}
			}
			c.Confine = &Confinement{Limits: test.limits}
			if code, _, complaint := run(t, c); code == 0 || test.code != 0 && code != test.code {
				t.Errorf("got %d %s, want %d", code, complaint, test.code)
			}
		})
	}
}

func TestB15ProcessesBreached(t *testing.T) {
	const forks = "for i in 1 2 3 4 5 6; do sleep 0.2 & done; wait"
	if code, _, complaint := run(t, asStranger(t, script(t, forks))); code != 0 {
		t.Fatalf("the test cannot fail: without a limit it ends with %d %s", code, complaint)
	}
	c := asStranger(t, script(t, forks))
	c.Confine.Processes = 3
	if code, _, complaint := run(t, c); code == 0 {
		t.Errorf("six processes were started: %s", complaint)
	}
}

func TestNotConfinedIsNotRun(t *testing.T) {
	c := script(t, "echo ran")
	c.Path, c.Confine = filepath.Join(t.TempDir(), "none"), &Confinement{}
	code, out, complaint := run(t, c)
	if code != ExitNotConfined || out != "" || !strings.Contains(complaint, "no such file") {
		t.Errorf("got %d %q %q", code, out, complaint)
	}
}

func TestShimThatIsNotRecognisedRunsNothing(t *testing.T) {
	t.Setenv(shimVariable, "1")
	c := script(t, "echo ran")
	c.Confine = &Confinement{}
	if _, err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "sandbox.Main") {
		t.Errorf("got %v", err)
	}
}

func TestLookUp(t *testing.T) {
	if who, err := LookUp("", ""); who != nil || err != nil {
		t.Errorf("nobody: %v %v", who, err)
	}
	for _, name := range []string{"no-such-user-here", stranger, "4294967295", "-1"} {
		if who, err := LookUp(name, ""); err == nil {
			t.Errorf("%s is %v", name, who)
		}
	}
	if who, err := LookUp("", "no-such-group-here"); err == nil {
		t.Errorf("got %v", who)
	}
	who, err := LookUp(stranger, strangerGroup)
	if os.Geteuid() != 0 {
		if !errors.Is(err, ErrNotRoot) {
			t.Errorf("without root: %v", err)
		}
		return
	}
	if err != nil || who.UID != 421337042 || who.GID != 421337043 || len(who.Groups) != 0 || who.String() != "user "+stranger {
		t.Errorf("got %v %v", who, err)
	}
	if who, err := LookUp("0", "0"); who != nil || err != nil {
		t.Errorf("the host's own user: %v %v", who, err)
	}
	named, err := LookUp("nobody", "")
	if err != nil || named.UID == 0 || named.Name != "nobody" || named.Home == "" {
		t.Errorf("nobody: %v %v", named, err)
	}
}
