package identity

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// below is the content of the files below a folder, by path, each with its mode.
func below(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(at)
		name, _ := filepath.Rel(dir, at)
		found[filepath.ToSlash(name)] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// generous is an assignment with everything that other programs can be given.
func generous() *Assignment {
	a := assignmentNamed("a")
	a.Certificate, a.CertificateCA = "certificate", "authority"
	a.Policies = json.RawMessage(`{"action": {"service": "allow *", "_x.y-z": ""}, "opa": {"main": "package x"}}`)
	return a
}

func giving(a *Assignment) func(s *Store) error {
	return prepared(func(s *Store) error { return s.Stage(a) }, (*Store).Activate, (*Store).Commit, (*Store).Provide)
}

// TestProvide goes from one assignment to another, and to one without anything.
func TestProvide(t *testing.T) {
	dir := t.TempDir()
	s, given := openStore(t, dir), filepath.Join(dir, givenDir)
	if err := s.Provide(); !errors.Is(err, ErrNothing) {
		t.Errorf("without an assignment: %v", err)
	}
	must(t, giving(assignmentNamed("a"))(s))
	if _, err := os.Stat(given); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a folder for nothing: %v", err)
	}
	must(t, giving(generous())(s))
	all := map[string]string{
		"certificate.pem": "-rw------- certificate", "ca.pem": "-rw------- authority",
		"policies/service.policy": "-rw------- allow *", "policies/_x.y-z.policy": "-rw------- ", "policies/rego/main.rego": "-rw------- package x",
	}
	if diff := cmp.Diff(all, below(t, given)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}

	must(t, os.WriteFile(filepath.Join(given, "ca.pem"), []byte("another"), 0o600), os.Chmod(filepath.Join(given, "certificate.pem"), 0o644),
		os.Remove(filepath.Join(given, "policies", "service.policy")), os.WriteFile(filepath.Join(given, "policies", "rego", "more.rego"), nil, 0o600),
		os.WriteFile(filepath.Join(given, beside+"1"), nil, 0o600), os.Chmod(given, 0o755), s.Provide())
	if diff := cmp.Diff(all, below(t, given)); diff != "" {
		t.Errorf("after changes by others: -want +got\n%s", diff)
	}
	if info, err := os.Stat(given); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}

	must(t, giving(assignmentNamed("b"))(s))
	if left := below(t, given); len(left) > 0 {
		t.Errorf("an assignment without files leaves %v", left)
	}
	if diff := cmp.Diff("b", cell(t, openStore(t, dir))); diff != "" {
		t.Error(diff)
	}
}

// TestProvideIsRepeated writes nothing where everything is as it is to be.
func TestProvideIsRepeated(t *testing.T) {
	dir := t.TempDir()
	must(t, giving(generous())(openStore(t, dir)))
	s := &Store{files: disk{dir: dir, step: func(operation string) { t.Errorf("it did: %s", operation) }}}
	must(t, s.Provide())
}

func TestProvideInMemory(t *testing.T) { must(t, giving(generous())(openStore(t, ""))) }

// TestPoliciesThatAreNoFiles are not staged: nothing of an assignment leads out of the folder.
func TestPoliciesThatAreNoFiles(t *testing.T) {
	for name, policies := range map[string]string{
		"up": `{"action": {"../x": ""}}`, "absolute": `{"opa": {"/x": ""}}`, "hidden": `{"opa": {".x": ""}}`, "empty": `{"opa": {"": ""}}`,
		"flag": `{"action": {"-rf": ""}}`, "null": `{"action": {"a\u0000": ""}}`, "long": `{"action": {"` + strings.Repeat("x", 101) + `": ""}}`,
		"number": `{"action": {"a": 1}}`, "list": `[]`, "another script": `{"opa": {"ä": ""}}`,
	} {
		places(t, func(t *testing.T, s *Store) {
			a := assignmentNamed("a")
			a.Policies = json.RawMessage(policies)
			if err := s.Stage(a); err == nil || !strings.Contains(err.Error(), "the policies of the assignment") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestViewStore reads without leaving a trace: also what another process has not finished is its own.
func TestViewStore(t *testing.T) {
	dir := t.TempDir()
	unfinished := filepath.Join(dir, beside+"1")
	must(t, giving(generous())(openStore(t, dir)), os.WriteFile(unfinished, nil, 0o600))
	before := below(t, dir)
	if got := cell(t, ViewStore(dir)); got != "a" {
		t.Errorf("it is of the cell %s", got)
	}
	if diff := cmp.Diff(before, below(t, dir)); diff != "" {
		t.Error(diff)
	}
	none := filepath.Join(dir, "none")
	if _, err := ViewStore(none).Key(); !errors.Is(err, ErrNoKey) {
		t.Errorf("where there is nothing: %v", err)
	}
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there now: %v", err)
	}
}
