package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestH78TokensAndPassphrasesOfOthersAreNotRead has them in a folder that all can write to: who puts one there decides to which cell a node goes.
func TestH78TokensAndPassphrasesOfOthersAreNotRead(t *testing.T) {
	top := t.TempDir()
	open, cell, key := filepath.Join(top, "open"), filepath.Join(top, "cell"), filepath.Join(top, "me.key")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	statecraft(t, "overlay", "init", "--cell", "lon1", "--host", "o1.example=127.0.0.1", cell)
	join, err := os.ReadFile(filepath.Join(cell, "join.jwt"))
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(open, "join.jwt"), join, 0o600), os.WriteFile(filepath.Join(open, "phrase"), []byte("phrase\n"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	statecraft(t, "keys", "new", key)
	for _, args := range []string{
		"node run --identity n1.example --state " + filepath.Join(top, "node") + " --join " + filepath.Join(open, "join.jwt"),
		"keys passphrase --new-file " + filepath.Join(open, "phrase") + " " + key,
	} {
		cmd := exec.CommandContext(t.Context(), "statecraft", strings.Fields(args)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitRefused || !strings.Contains(string(out), open+" can be written to by others") {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
