package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// H78: no verb writes a key, a token or state where others could replace it.
func TestH78EveryVerbRefusesTheFolderOfAnother(t *testing.T) {
	join := filepath.Join(t.TempDir(), "join.jwt")
	if err := os.WriteFile(join, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"somebody else's": func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("NOT RUN: only root can make a folder of somebody else; run the tests as root")
			}
			if err := os.Chown(dir, 61234, 61234); err != nil {
				t.Fatal(err)
			}
		},
		"one that all can write to": func(t *testing.T, dir string) {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, args := range []string{
			"overlay init --cell lon1 --host o1.example=127.0.0.1 DIR/cell",
			"overlay rotate --dir DIR/copy o1.example",
			"token issue client --dir DIR/copy --name a --right fleet_view --output DIR/client",
			"keys new DIR/a.key",
			"node run --identity n1.example --state DIR/node --join " + join,
			"run --state DIR/state DIR/machines --allow-unsigned",
		} {
			t.Run(name+"/"+strings.Join(strings.Fields(args)[:2], " "), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "top")
				if err := os.MkdirAll(filepath.Join(dir, "machines"), 0o700); err != nil {
					t.Fatal(err)
				}
				statecraft(t, "overlay", "init", "--cell", "lon1", "--host", "o1.example=127.0.0.1", filepath.Join(dir, "copy"))
				spoil(t, dir)
				before := filesOf(t, dir)
				cmd := exec.CommandContext(t.Context(), "statecraft", strings.Fields(strings.ReplaceAll(args, "DIR", dir))...)
				cmd.WaitDelay = time.Second
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState.ExitCode() != exitRefused || !strings.Contains(string(out), "others could replace what is written there") {
					t.Errorf("%v\n%s", err, out)
				}
				if after := filesOf(t, dir); after != before {
					t.Errorf("it has left\n%s", after)
				}
			})
		}
	}
}

// filesOf are the names of everything below a folder.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	if err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		all = append(all, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// H78: a symbolic link in the place of the authority's folder, and a key that somebody else has put there, are not used.
func TestH78OverlayInitIsNotLedElsewhere(t *testing.T) {
	top := t.TempDir()
	if err := os.Mkdir(filepath.Join(top, "cell"), 0o755); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(top, "cell", "authority")); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("statecraft", "overlay", "init", "--cell", "lon1", "--host", "o1.example=127.0.0.1", filepath.Join(top, "cell")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "authority is a symbolic link") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
		t.Errorf("it has written %v", left)
	}
}
