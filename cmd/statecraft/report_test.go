package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// panics is an output that no verb can survive.
type panics struct{}

func (panics) Write([]byte) (int, error) { panic("the tape is torn") }

func TestDefectsAreReportedWithoutAStack(t *testing.T) {
	var errs bytes.Buffer
	if code := run([]string{"version"}, strings.NewReader(""), panics{}, &errs); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	want := "statecraft: this is a defect of statecraft: the tape is torn\nstatecraft: hint: please report it "
	if !strings.HasPrefix(errs.String(), want) || strings.Contains(errs.String(), "goroutine") {
		t.Errorf("standard error is\n%s", errs.String())
	}

	errs.Reset()
	run([]string{"version", "--log-level", "debug"}, strings.NewReader(""), panics{}, &errs)
	if !strings.Contains(errs.String(), "goroutine") {
		t.Errorf("the log does not show where it happened:\n%s", errs.String())
	}
}

// interrupts is standard input at which somebody presses ctrl-c instead of typing.
type interrupts struct{ t *testing.T }

func (i interrupts) Read([]byte) (int, error) {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		i.t.Errorf("interrupting the test: %v", err)
	}
	<-i.t.Context().Done()
	return 0, io.EOF
}

func TestInterruptedIs130(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"replay", "-"}, interrupts{t}, &out, &errs); code != exitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, errs.String())
	}
	if diff := cmp.Diff("statecraft: interrupted\n", errs.String()); diff != "" {
		t.Errorf("standard error: -want +got\n%s", diff)
	}
}

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code int
		want string
	}{
		"none":        {nil, exitOK, ""},
		"plain":       {errors.New("no luck"), exitFailed, "statecraft: no luck\n"},
		"hint":        {fail(exitRefused, "ask for it", "not allowed"), exitRefused, "statecraft: not allowed\nstatecraft: hint: ask for it\n"},
		"wrapped":     {fmt.Errorf("asking: %w", fail(exitUnreachable, "start it", "no answer")), exitUnreachable, "statecraft: asking: no answer\nstatecraft: hint: start it\n"},
		"lines":       {errors.Join(errors.New("a"), errors.New("b")), exitFailed, "statecraft: a\nstatecraft: b\n"},
		"interrupted": {interrupted(), exitInterrupted, "statecraft: interrupted\n"},
	} {
		var errs bytes.Buffer
		inv := &invocation{stderr: &errs}
		if code := inv.report(c.err); code != c.code {
			t.Errorf("%s: exit code %d, want %d", name, code, c.code)
		}
		if diff := cmp.Diff(c.want, errs.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestColourIsDecoration(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "machine.yaml")
	if err := os.WriteFile(manifest, []byte("format: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	print := func(colour bool) string {
		var out bytes.Buffer
		inv := &invocation{ctx: t.Context(), out: &results{w: &out}, stderr: io.Discard, log: slog.New(slog.DiscardHandler), colour: colour}
		var f *failure
		if err := (&checkVerb{Paths: []string{manifest}}).Run(inv); !errors.As(err, &f) || f.code != exitInvalid {
			t.Fatalf("check says %v", err)
		}
		return out.String()
	}
	plain, coloured := print(false), print(true)
	if strings.Contains(plain, "\x1b") || !strings.Contains(coloured, "\x1b[31mSC103\x1b[0m") {
		t.Errorf("without colour %q, with %q", plain, coloured)
	}
	bare := strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(coloured)
	if diff := cmp.Diff(plain, bare); diff != "" {
		t.Errorf("colour changes the words: -without +with\n%s", diff)
	}
}

func TestReasonLeavesThePathOut(t *testing.T) {
	_, err := os.Open(filepath.Join(t.TempDir(), "nothing"))
	if got := reason(err); !errors.Is(got, fs.ErrNotExist) || strings.Contains(got.Error(), "nothing") {
		t.Errorf("the reason is %v", got)
	}
}
