package runtime

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// ReadText reads a manifest, to just beyond the length that it may have, which machine.LoadText then refuses, and lets what lies beside it be read.
func ReadText(manifest string) (machine.Text, error) {
	src, err := readText(manifest)
	return machine.Text{File: manifest, Source: src, Files: FilesIn(filepath.Dir(manifest))}, err
}

func readText(manifest string) ([]byte, error) {
	f, err := statefile.Open(manifest, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
}

// FilesIn reads the files of a folder. Links that point out of it are refused.
func FilesIn(folder string) machine.Files {
	return func(name string) ([]byte, error) {
		text, err := readIn(folder, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", filepath.Join(folder, name), reason(err))
		}
		return text, nil
	}
}

func readIn(folder, name string) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	// A pipe without a writer would otherwise never be opened.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("it is not a regular file"), err)
	}
	return io.ReadAll(io.LimitReader(f, machine.MaxFile+1))
}

// FilesOf reads the files of a folder of a file system, such as an embedded one.
func FilesOf(fsys fs.FS, folder string) machine.Files {
	return func(name string) ([]byte, error) {
		return fs.ReadFile(fsys, strings.TrimPrefix(filepath.ToSlash(filepath.Join(folder, name)), "./"))
	}
}
