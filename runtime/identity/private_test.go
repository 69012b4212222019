package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// somebody is a user who is not this one: nobody has to be called so.
const somebody = 61234

// hostile gives a file or folder to somebody else, which root alone can do.
func hostile(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: only root can make a folder of somebody else; run the tests as root")
	}
	if err := os.Lchown(path, somebody, somebody); err != nil {
		t.Fatal(err)
	}
}

func makeFolder(t *testing.T, mode os.FileMode, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t *testing.T, to, at string) string {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
	return at
}

// folderCase is a folder that a key is to be written to.
type folderCase struct {
	name string
	make func(t *testing.T, dir string) string // the folder
	want string                                // "" where it is written
}

func folderCases() []folderCase {
	return []folderCase{
		{"a folder of one's own", func(_ *testing.T, dir string) string { return dir }, ""},
		{"one that others can read", func(t *testing.T, dir string) string { return makeFolder(t, 0o755, dir, "a") }, ""},
		{"below one that all can write to, with the sticky bit", func(t *testing.T, dir string) string {
			return makeFolder(t, 0o700, makeFolder(t, 0o777|os.ModeSticky, dir, "a"), "b")
		}, ""},
		{"by a link of one's own above it", func(t *testing.T, dir string) string {
			makeFolder(t, 0o700, dir, "a", "b")
			return filepath.Join(link(t, "a", filepath.Join(dir, "l")), "b")
		}, ""},
		{"one that is somebody else's", func(t *testing.T, dir string) string {
			a := makeFolder(t, 0o755, dir, "a")
			hostile(t, a)
			return a
		}, "belongs to uid 61234"},
		{"below one that is somebody else's", func(t *testing.T, dir string) string {
			b := makeFolder(t, 0o700, dir, "a", "b")
			hostile(t, filepath.Dir(b))
			return b
		}, "a belongs to uid 61234"},
		{"one that all can write to", func(t *testing.T, dir string) string { return makeFolder(t, 0o777, dir, "a") }, "can be written to by others (mode 0777)"},
		{"one that a group of several can write to", func(t *testing.T, dir string) string {
			a := makeFolder(t, 0o770, dir, "a")
			if os.Geteuid() != 0 {
				t.Skip("NOT RUN: only root can give a folder to any group; run the tests as root")
			}
			if err := os.Lchown(a, -1, somebody); err != nil {
				t.Fatal(err)
			}
			return a
		}, "(mode 0770)"},
		{"one that the user's own group can write to", func(t *testing.T, dir string) string {
			if os.Getegid() != os.Geteuid() {
				t.Skip("NOT RUN: this user has no group of the same number")
			}
			return makeFolder(t, 0o770, dir, "a")
		}, ""},
		{"below one that all can write to", func(t *testing.T, dir string) string {
			return makeFolder(t, 0o700, makeFolder(t, 0o777, dir, "a"), "b")
		}, "a can be written to by others"},
		{"a link", func(t *testing.T, dir string) string {
			makeFolder(t, 0o700, dir, "a")
			return link(t, "a", filepath.Join(dir, "l"))
		}, "is a symbolic link"},
		{"a link above it that is somebody else's", func(t *testing.T, dir string) string {
			makeFolder(t, 0o700, dir, "a", "b")
			l := link(t, "a", filepath.Join(makeFolder(t, 0o777|os.ModeSticky, dir, "tmp"), "l"))
			hostile(t, l)
			return filepath.Join(l, "b")
		}, "l belongs to uid 61234"},
		{"a link above it into a folder of somebody else's", func(t *testing.T, dir string) string {
			a := makeFolder(t, 0o755, dir, "a")
			hostile(t, a)
			makeFolder(t, 0o700, a, "b")
			return filepath.Join(link(t, "a", filepath.Join(dir, "l")), "b")
		}, "a belongs to uid 61234"},
		{"links in a circle", func(t *testing.T, dir string) string {
			return filepath.Join(link(t, "l", filepath.Join(dir, "l")), "b")
		}, "too many levels"},
		{"a file", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "is no folder"},
	}
}

// H78: a key is not written where others could replace it.
func TestH78FoldersOfOthersAreRefused(t *testing.T) {
	for _, tt := range folderCases() {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.make(t, makeFolder(t, 0o700, t.TempDir(), "top"))
			path := filepath.Join(dir, "node.key")
			key, err := NewKey()
			if err != nil {
				t.Fatal(err)
			}
			err = key.Save(path)
			_, left := os.Lstat(path)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case tt.want != "" && left == nil:
				t.Error("a key was written all the same")
			}
		})
	}
}

// H78: what is there already is not written through.
func TestH78WhatIsThereIsNotWrittenThrough(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string){
		"a link": func(t *testing.T, path string) { link(t, filepath.Join(t.TempDir(), "elsewhere"), path) },
		"a pipe": func(t *testing.T, path string) {
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a folder": func(t *testing.T, path string) { makeFolder(t, 0o700, path) },
		"somebody else's file": func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			hostile(t, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ca.key")
			make(t, path)
			if err := WriteFile(path, []byte("secret")); !errors.Is(err, ErrUnsafe) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTheModeIsOfTheFileThatIsRead puts another file in the place of a key again and again: what others may read is never taken by the mode of the other one.
func TestTheModeIsOfTheFileThatIsRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	stop, swapped := make(chan struct{}), make(chan error, 1)
	swap := func() error {
		for {
			for content, mode := range map[string]os.FileMode{"own": 0o600, "open": 0o644} {
				err := os.WriteFile(at("new"), []byte(content), mode)
				if err == nil {
					err = os.Chmod(at("new"), mode)
				}
				if err == nil {
					err = os.Rename(at("new"), at("key"))
				}
				select {
				case <-stop:
					return nil
				default:
				}
				if err != nil {
					return err
				}
			}
		}
	}
	go func() { swapped <- swap() }()
	for range 3000 {
		if content, err := ReadPrivate(at("key")); err == nil && string(content) == "open" {
			t.Error("a file that others can read is taken for one of the owner")
			break
		}
	}
	close(stop)
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
}
