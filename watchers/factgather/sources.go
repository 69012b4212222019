package factgather

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// entry is one thing to ask: a part of the built-in gatherer, a file, a command, or a file of a directory.
type entry struct {
	id       string // unique in the watcher, the same at every look
	source   string // as statecraft.sources names it
	key      string // where the facts go, "" for the top
	interval time.Duration
	fetch    func(ctx context.Context, look *watchers.Look) (map[string]any, error)
}

// named gives every source the name that statecraft.sources shows: its key or what it reads, without dots.
func named(sources []Source) []string {
	names, used := make([]string, len(sources)), map[string]int{builtinName: 1}
	for i, s := range sources {
		read := cmp.Or(s.File, s.Directory)
		if len(s.argv) > 0 {
			read = s.argv[0]
		}
		name := strings.ReplaceAll(cmp.Or(s.Key, filepath.Base(read)), ".", "_")
		used[name]++
		if n := used[name]; n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		names[i] = name
	}
	return names
}

// entries returns what a source asks at this look.
func (s *Source) entries(look *watchers.Look, name string) ([]entry, error) {
	one := entry{id: name, source: name, key: s.Key, interval: s.Interval.Std()}
	switch {
	case s.File != "":
		one.fetch = s.readFile(s.File)
	case s.Command != "":
		one.fetch = s.runCommand
	default:
		return s.directoryEntries(look, one)
	}
	return []entry{one}, nil
}

func (s *Source) readFile(path string) func(context.Context, *watchers.Look) (map[string]any, error) {
	return func(_ context.Context, look *watchers.Look) (map[string]any, error) {
		text, err := look.ReadFile(path, int64(s.outputLimit))
		if err != nil {
			return nil, err
		}
		return parse(filepath.Base(path), text)
	}
}

func (s *Source) runCommand(ctx context.Context, look *watchers.Look) (map[string]any, error) {
	return s.printed(ctx, look, s.argv)
}

// printed runs a program and reads what it prints.
func (s *Source) printed(ctx context.Context, look *watchers.Look, argv []string) (map[string]any, error) {
	c := command{argv: argv, directory: look.Directory, limit: s.outputLimit, timeout: s.Timeout.Std()}
	text, err := c.run(ctx)
	if err != nil {
		return nil, err
	}
	return parse(filepath.Base(argv[0]), text)
}

// directoryEntries lists a directory as facter reads facts.d: data files by their ending, of the rest
// what is executable. Hidden files and editors' copies are left out.
func (s *Source) directoryEntries(look *watchers.Look, like entry) ([]entry, error) {
	path := s.Directory
	if !filepath.IsAbs(path) {
		path = filepath.Join(look.Directory, path)
	}
	files, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var found []entry
	for _, file := range files {
		fetch := s.fileFetch(filepath.Join(s.Directory, file.Name()), filepath.Join(path, file.Name()))
		if fetch == nil {
			continue
		}
		one := like
		one.id, one.fetch = like.id+"/"+file.Name(), fetch
		found = append(found, one)
	}
	return found, nil
}

// fileFetch returns how to read one file of a directory, nil for files that hold no facts. Files are
// named as the manifest does, so that relative ones stay confined; programs need the whole path.
func (s *Source) fileFetch(relative, path string) func(context.Context, *watchers.Look) (map[string]any, error) {
	name := filepath.Base(path)
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return nil
	}
	if slices.Contains([]string{".json", ".yaml", ".yml", ".txt"}, filepath.Ext(name)) {
		return s.readFile(relative)
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return nil
	}
	return func(ctx context.Context, look *watchers.Look) (map[string]any, error) {
		return s.printed(ctx, look, []string{path})
	}
}

// guarded keeps a panic of one entry from ending the host: entries run in goroutines of their own.
func (e entry) guarded(ctx context.Context, look *watchers.Look) (facts map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			facts, err = nil, fmt.Errorf("gathering %s: panic: %v", e.id, p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return e.fetch(ctx, look)
}
