package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func assignmentNamed(name string) *Assignment {
	return &Assignment{
		Identity: "web1.example", Cell: name, URLs: []string{"tls://" + name + ":4222"}, CA: "pem", Token: "token-" + name,
		Configuration: json.RawMessage(`{"a":1}`),
	}
}

// places are the two kinds of store.
func places(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("disk", func(t *testing.T) { f(t, openStore(t, filepath.Join(t.TempDir(), "identity"))) })
	t.Run("memory", func(t *testing.T) { f(t, openStore(t, "")) })
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// cell is the active assignment's cell, "-" where there is none.
func cell(t testing.TB, s *Store) string {
	t.Helper()
	a, err := s.Active()
	if errors.Is(err, ErrNothing) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return a.Cell
}

func TestStoreKey(t *testing.T) {
	places(t, func(t *testing.T, s *Store) {
		if _, err := s.Key(); !errors.Is(err, ErrNoKey) {
			t.Errorf("no key gives %v", err)
		}
		k, made, err := s.EnsureKey()
		if err != nil || !made {
			t.Fatalf("made %t, %v", made, err)
		}
		again, made, err := s.EnsureKey()
		if err != nil || made || again.Public() != k.Public() {
			t.Errorf("the second time made %t, %v, %v", made, again, err)
		}
		other, err := s.ReplaceKey()
		if err != nil || other.Public() == k.Public() {
			t.Errorf("replaced by %v, %v", other, err)
		}
		if now, err := s.Key(); err != nil || now.Public() != other.Public() {
			t.Errorf("the key is %v, %v", now, err)
		}
		if content, err := s.get(asideFile); err != nil || !bytes.Equal(content, k.seedLine()) {
			t.Errorf("the key before is not set aside: %v", err)
		}
	})
}

func TestStoreSteps(t *testing.T) {
	a, b, c := assignmentNamed("a"), assignmentNamed("b"), assignmentNamed("c")
	steps := map[string]func(s *Store) error{
		"stage a": func(s *Store) error { return s.Stage(a) }, "stage b": func(s *Store) error { return s.Stage(b) },
		"stage c":  func(s *Store) error { return s.Stage(c) },
		"activate": (*Store).Activate, "commit": (*Store).Commit, "rollback": (*Store).Rollback, "forget": (*Store).Forget,
	}
	for _, tt := range []struct {
		do      string
		active  string
		pending bool
	}{
		{"stage a", "-", false},
		{"stage a, activate", "a", true},
		{"stage a, activate, activate", "a", true},
		{"stage a, activate, commit", "a", false},
		{"stage a, activate, rollback", "-", false},
		{"stage a, activate, rollback, rollback", "-", false},
		{"stage a, stage b, activate", "b", true},
		{"stage a, activate, commit, stage b", "a", false},
		{"stage a, activate, commit, stage b, rollback", "a", false},
		{"stage a, activate, commit, stage b, activate", "b", true},
		{"stage a, activate, commit, stage b, activate, rollback", "a", false},
		{"stage a, activate, commit, stage b, activate, rollback, commit, commit", "a", false},
		{"stage a, activate, commit, stage b, activate, commit, rollback", "b", false},
		{"stage a, activate, commit, stage b, activate, stage c, activate", "c", true},
		{"stage a, activate, commit, stage b, activate, stage c, activate, rollback", "a", false},
		{"stage a, activate, commit, stage a, activate, rollback", "a", false},
		{"stage a, activate, commit, stage b, forget", "-", false},
		{"stage a, activate, forget, forget", "-", false},
		{"commit, rollback, forget", "-", false},
	} {
		t.Run(tt.do, func(t *testing.T) {
			places(t, func(t *testing.T, s *Store) {
				for step := range strings.SplitSeq(tt.do, ", ") {
					must(t, steps[step](s))
				}
				if got := cell(t, s); got != tt.active || s.Pending() != tt.pending {
					t.Errorf("active %s, pending %t; want %s, %t", got, s.Pending(), tt.active, tt.pending)
				}
			})
		})
	}
}

func TestStoreRefuses(t *testing.T) {
	places(t, func(t *testing.T, s *Store) {
		if err := s.Activate(); !errors.Is(err, ErrNothing) {
			t.Errorf("activating nothing: %v", err)
		}
		must(t, s.Stage(assignmentNamed("a")), s.Rollback())
		if err := s.Activate(); !errors.Is(err, ErrNothing) {
			t.Errorf("activating what was rolled back: %v", err)
		}
		if err := s.SetToken("t"); !errors.Is(err, ErrNothing) {
			t.Errorf("a token for no assignment: %v", err)
		}
		if _, err := s.JoinToken(); !errors.Is(err, ErrNothing) {
			t.Errorf("no join token: %v", err)
		}
		for _, a := range []*Assignment{{}, {Identity: "A"}, {Identity: "a", Roots: []string{"x"}}} {
			if err := s.Stage(a); err == nil {
				t.Errorf("%+v is staged", a)
			}
		}
	})
}

func TestStoreKeepsWhatItWasGiven(t *testing.T) {
	places(t, func(t *testing.T, s *Store) {
		want := assignmentNamed("a")
		must(t, s.SetJoinToken(" j1\n"), s.Stage(want), s.Activate(), s.SetToken("renewed\n"))
		want.Token = "renewed"
		if got, err := s.Active(); err != nil || cmp.Diff(want, got) != "" || !s.Pending() {
			t.Errorf("%v, pending %t (-want +got):\n%s", err, s.Pending(), cmp.Diff(want, got))
		}
		must(t, s.Forget())
		if got, err := s.JoinToken(); err != nil || got != "j1" {
			t.Errorf("the join token is %q, %v", got, err)
		}
	})
}

func TestStoreIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "identity")
	s := openStore(t, dir)
	k, _, err := s.EnsureKey()
	must(t, err, s.SetJoinToken("j"), s.Stage(assignmentNamed("a")), s.Activate(), s.Commit(), s.Stage(assignmentNamed("b")), s.Activate())
	again := openStore(t, dir)
	if got, err := again.Key(); err != nil || got.Public() != k.Public() {
		t.Errorf("the key is %v, %v", got, err)
	}
	if cell(t, again) != "b" || !again.Pending() {
		t.Errorf("active %s, pending %t", cell(t, again), again.Pending())
	}
	must(t, again.Rollback())
	if cell(t, again) != "a" {
		t.Errorf("after the rollback %s", cell(t, again))
	}
}

// TestStoreIsPrivate also holds that nothing is left over.
func TestStoreIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	must(t, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, beside+"1"), nil, 0o600))
	s := openStore(t, dir)
	_, _, err := s.EnsureKey()
	must(t, err, s.SetJoinToken("j"))
	for _, name := range []string{"a", "b", "c"} {
		must(t, s.Stage(assignmentNamed(name)), s.Activate(), s.SetToken("x"), s.Commit())
	}
	var names []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		names = append(names, strings.TrimRight(d.Name(), "0123456789abcdef"))
		return nil
	})
	must(t, err)
	if diff := cmp.Diff([]string{"identity", "assignment-", "join", "key", "slots"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestD29Damage damages each file in each way: it is found, and never replaced in silence.
func TestD29Damage(t *testing.T) {
	for what, damage := range map[string]func(content []byte) []byte{
		"emptied":                        func([]byte) []byte { return nil },
		"truncated":                      func(c []byte) []byte { return c[:len(c)-3] },
		"a flipped bit at its end":       func(c []byte) []byte { c[len(c)-2] ^= 1; return c },
		"a flipped bit at its beginning": func(c []byte) []byte { c[0] ^= 1; return c },
		"extended":                       func(c []byte) []byte { return append(c, 'x') },
	} {
		for _, file := range []string{keyFile, joinFile, slotsFile, assignmentPrefix + "*"} {
			dir := t.TempDir()
			s := openStore(t, dir)
			_, _, err := s.EnsureKey()
			must(t, err, s.SetJoinToken("j"), s.Stage(assignmentNamed("a")), s.Activate(), s.Commit())
			found, err := filepath.Glob(filepath.Join(dir, file))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %v, %v", file, found, err)
			}
			content, err := os.ReadFile(found[0])
			must(t, err)
			content = damage(content)
			must(t, os.WriteFile(found[0], content, 0o600))
			noticed := map[string]bool{}
			_, err = s.Key()
			noticed[keyFile] = errors.Is(err, ErrDamaged)
			_, _, err = s.EnsureKey()
			noticed["ensure"] = errors.Is(err, ErrDamaged)
			_, err = s.JoinToken()
			noticed[joinFile] = errors.Is(err, ErrDamaged)
			_, err = s.Active()
			noticed["active"] = errors.Is(err, ErrDamaged)
			want := map[string]bool{keyFile: file == keyFile, "ensure": file == keyFile, joinFile: file == joinFile,
				"active": file == slotsFile || strings.HasPrefix(file, assignmentPrefix)}
			if diff := cmp.Diff(want, noticed); diff != "" {
				t.Errorf("%s %s: damaged (-want +got):\n%s", file, what, diff)
			}
			if now, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(now, content) {
				t.Errorf("%s %s: replaced", file, what)
			}
		}
	}
}

func TestD29DamageIsMended(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, _, err := s.EnsureKey()
	must(t, err, s.Stage(assignmentNamed("a")), s.Activate(), s.Commit())
	must(t, os.WriteFile(filepath.Join(dir, keyFile), nil, 0o600), os.WriteFile(filepath.Join(dir, slotsFile), []byte("x"), 0o600))
	if err := s.Stage(assignmentNamed("b")); !errors.Is(err, ErrDamaged) {
		t.Errorf("staging over damage: %v", err)
	}
	k, err := s.ReplaceKey()
	must(t, err, s.Forget(), s.Stage(assignmentNamed("b")), s.Activate())
	if now, err := s.Key(); err != nil || now.Public() != k.Public() || cell(t, s) != "b" {
		t.Errorf("mended: %v, %v, %s", now, err, cell(t, s))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 { // key, key.aside, slots, an assignment
		t.Errorf("%v, %v", entries, err)
	}
}

// TestStoreLikeItsModel draws lives of both kinds of store.
func TestStoreLikeItsModel(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			r.Fatal(err)
		}
		stores := []*Store{openStore(t, dir), openStore(t, "")}
		m := model{active: "-", previous: "-", staged: "-"}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			step := rapid.SampledFrom([]string{"stage", "activate", "commit", "rollback", "forget", "reopen"}).Draw(r, "step")
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "name")
			want := m.step(step, name)
			for _, s := range stores {
				if got := apply(s, step, name) == nil; got != want {
					r.Fatalf("%s %s: done %t, want %t", step, name, got, want)
				}
			}
			if step == "reopen" {
				stores[0] = openStore(t, dir)
			}
			for _, s := range stores {
				if cell(t, s) != m.active || s.Pending() != m.pending {
					r.Fatalf("after %s: active %s, pending %t; want %+v", step, cell(t, s), s.Pending(), m)
				}
			}
		}
	})
}

type model struct {
	active, previous, staged string
	pending                  bool
}

func (m *model) step(step, name string) bool {
	switch step {
	case "stage":
		m.staged = name
	case "activate":
		if m.staged == "-" {
			return m.pending
		}
		if !m.pending {
			m.previous = m.active
		}
		m.active, m.staged, m.pending = m.staged, "-", true
	case "commit":
		m.pending = false
	case "rollback":
		if m.pending {
			m.active = m.previous
		}
		m.staged, m.pending = "-", false
	case "forget":
		*m = model{active: "-", previous: "-", staged: "-"}
	}
	return true
}

func apply(s *Store, step, name string) error {
	switch step {
	case "stage":
		return s.Stage(assignmentNamed(name))
	case "activate":
		return s.Activate()
	case "commit":
		return s.Commit()
	case "rollback":
		return s.Rollback()
	case "forget":
		return s.Forget()
	default:
		return nil
	}
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	places(t, func(t *testing.T, s *Store) {
		must(t, s.Stage(assignmentNamed("a")), s.Activate(), s.Commit())
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					_ = s.Stage(assignmentNamed("b"))
					_ = s.Activate()
					_, _, _ = s.EnsureKey()
					if _, err := s.Active(); err != nil {
						t.Error(err)
					}
					_ = s.SetToken("t")
					_ = s.Commit()
				}
			})
		}
		all.Wait()
		if cell(t, s) != "b" {
			t.Errorf("active %s", cell(t, s))
		}
	})
}

// TestA03AJoinTokenThatIsKeptIsNotWrittenAgain has a node start with the token that it has, as it does each time where its service names it:
// on a disk that has become read-only it could not write it.
func TestA03AJoinTokenThatIsKeptIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenStore(dir)
	must(t, err, s.SetJoinToken("j"))
	before, err := os.Stat(filepath.Join(dir, joinFile))
	must(t, err, s.SetJoinToken("j\n"))
	after, err := os.Stat(filepath.Join(dir, joinFile))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the token was written again")
	}
	must(t, s.SetJoinToken("k"))
	if got, err := s.JoinToken(); err != nil || got != "k" {
		t.Errorf("the token is %q, %v", got, err)
	}
}
