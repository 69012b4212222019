package identity

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// images are what a disk may hold after a crash at each point of a run.
type images struct {
	t      *testing.T
	dir    string
	synced map[string]string // contents that were synced, by name
	sure   map[string]string // what the folder's last sync made sure of
	all    []image
}

type image struct {
	point string
	files map[string]string
}

// done is the point after the run, of which nothing may be lost any more.
const done = "done"

// record takes two images after each operation: everything reached the disk, and only what was synced did.
func (im *images) record(operation string) {
	now := im.files()
	name, _ := strings.CutPrefix(operation, "sync ")
	switch {
	case operation == "syncdir":
		im.sure = map[string]string{}
		for file, content := range now {
			im.sure[file] = content
			if lasting, ok := im.synced[content]; !ok || lasting != content {
				im.t.Errorf("the folder is synced with %s, which was not", file)
			}
		}
	case name != operation:
		im.synced[now[name]] = now[name]
	}
	point := fmt.Sprintf("%d: %s", len(im.all)/2, operation)
	im.all = append(im.all, image{point + ", all written", now}, image{point + ", only what was synced", maps.Clone(im.sure)})
}

func (im *images) files() map[string]string {
	im.t.Helper()
	entries, err := os.ReadDir(im.dir)
	must(im.t, err)
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(im.dir, e.Name()))
		must(im.t, err)
		files[e.Name()] = string(content)
	}
	return files
}

// crashes runs do in a store that before made, and opens what a crash at each point leaves.
func crashes(t *testing.T, before, do func(s *Store) error, check func(t *testing.T, point string, s *Store)) {
	t.Helper()
	im := &images{t: t, dir: t.TempDir(), synced: map[string]string{}}
	plain := openStore(t, im.dir)
	must(t, before(plain))
	im.sure = im.files()
	for _, content := range im.sure {
		im.synced[content] = content
	}
	s := &Store{files: disk{dir: im.dir, step: im.record}}
	must(t, do(s))
	if len(im.all) < 4 {
		t.Fatalf("only %d images", len(im.all))
	}
	for _, i := range append(im.all, image{done, im.sure}) {
		dir := t.TempDir()
		for name, content := range i.files {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		check(t, i.point, openStore(t, dir))
	}
}

func prepared(steps ...func(s *Store) error) func(s *Store) error {
	return func(s *Store) error {
		var errs []error
		for _, step := range steps {
			errs = append(errs, step(s))
		}
		return errors.Join(errs...)
	}
}

func staging(name string) func(s *Store) error {
	return func(s *Store) error { return s.Stage(assignmentNamed(name)) }
}

// TestD29Crashes ends the process, and drops what was not synced, after every file operation of every change of assignments: what is
// active then is what was before or what was to be, whole; and doing it again leads to what was to be.
func TestD29Crashes(t *testing.T) {
	bare := prepared()
	settled := prepared(staging("a"), (*Store).Activate, (*Store).Commit)
	staged := prepared(settled, staging("b"))
	activated := prepared(staged, (*Store).Activate)
	renew := func(s *Store) error { return s.SetToken("renewed") }
	for _, tt := range []struct {
		name     string
		before   func(s *Store) error
		do       func(s *Store) error
		old, new string
	}{
		{"first stage", bare, staging("a"), "-", "-"},
		{"stage", settled, staging("b"), "a", "a"},
		{"first activate", staging("a"), (*Store).Activate, "-", "a"},
		{"activate", staged, (*Store).Activate, "a", "b"},
		{"commit", activated, (*Store).Commit, "b", "b"},
		{"rollback", activated, (*Store).Rollback, "b", "a"},
		{"rollback to none", prepared(staging("a"), (*Store).Activate), (*Store).Rollback, "a", "-"},
		{"forget", activated, (*Store).Forget, "b", "-"},
		{"renew", settled, renew, "a", "a"},
		{"a whole move", settled, prepared(staging("b"), (*Store).Activate, (*Store).Commit), "a", "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			crashes(t, tt.before, tt.do, func(t *testing.T, point string, s *Store) {
				if got := cell(t, s); got != tt.new && (got != tt.old || point == done) {
					t.Errorf("%s: active is %s, neither %s nor %s", point, got, tt.old, tt.new)
				}
				if a, err := s.Active(); err == nil && a.Token != "token-"+a.Cell && a.Token != "renewed" {
					t.Errorf("%s: the token is %s", point, a.Token)
				}
				if err := tt.do(s); err != nil {
					t.Errorf("%s: again: %v", point, err)
				}
				if got := cell(t, s); got != tt.new {
					t.Errorf("%s: done again, active is %s, not %s", point, got, tt.new)
				}
			})
		})
	}
}

// TestD29RollbackAfterCrash holds that after any crash in an activation there is still a way back.
func TestD29RollbackAfterCrash(t *testing.T) {
	before := prepared(staging("a"), (*Store).Activate, (*Store).Commit, staging("b"))
	crashes(t, before, (*Store).Activate, func(t *testing.T, point string, s *Store) {
		if pending := s.Pending(); pending != (cell(t, s) == "b") {
			t.Errorf("%s: pending %t with %s", point, pending, cell(t, s))
		}
		must(t, s.Rollback())
		if got := cell(t, s); got != "a" {
			t.Errorf("%s: back to %s", point, got)
		}
	})
}

func TestD29KeysAfterCrash(t *testing.T) {
	ensure := func(s *Store) error { _, _, err := s.EnsureKey(); return err }
	replace := func(s *Store) error { _, err := s.ReplaceKey(); return err }
	for name, tt := range map[string]struct{ before, do func(s *Store) error }{
		"the first key":  {prepared(), ensure},
		"a replaced key": {ensure, replace},
		"a damaged key":  {prepared(ensure, func(s *Store) error { return s.files.write(keyFile, nil) }), replace},
	} {
		crashes(t, tt.before, tt.do, func(t *testing.T, point string, s *Store) {
			_, err := s.Key()
			if err != nil && (name == "a replaced key" || point == done) || err != nil && !errors.Is(err, ErrNoKey) && name == "the first key" {
				t.Errorf("%s, %s: %v", name, point, err)
			}
			if name == "a damaged key" {
				must(t, replace(s))
			}
			if err := ensure(s); err != nil {
				t.Errorf("%s, %s: %v", name, point, err)
			}
		})
	}
}

// TestD29TornStage holds that a file that was written in part is invisible.
func TestD29TornStage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	must(t, prepared(staging("a"), (*Store).Activate, (*Store).Commit)(s))
	must(t, os.WriteFile(filepath.Join(dir, assignmentPrefix+"0123456789abcdef"), []byte("half of it"), 0o600))
	s = openStore(t, dir)
	if err := s.Activate(); !errors.Is(err, ErrNothing) || cell(t, s) != "a" {
		t.Errorf("activated: %v, %s", err, cell(t, s))
	}
	must(t, s.Stage(assignmentNamed("b")))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
