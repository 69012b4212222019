package factgather

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the properties can have wrong.
const (
	CodeSource  diag.Code = "SC345" // a source that is not exactly one of file, command and directory, or none at all
	CodeSize    diag.Code = "SC346" // a size that cannot be read or is out of range
	CodePath    diag.Code = "SC347" // a path that leaves the machine's directory
	CodeKey     diag.Code = "SC348" // a key that cannot be merged under
	CodeCommand diag.Code = "SC349" // a command that cannot be split into words
)

// Spec is the properties of a facts watcher.
type Spec struct {
	// Builtin gathers what the host is: os, kernel, processors, memory, disks, mountpoints, networking,
	// virtualisation, identity, uptime, load, time zone, dmi.
	Builtin bool `yaml:"builtin" default:"true"`
	// Sources add to that, later ones over earlier ones.
	Sources []Source `yaml:"sources"`
	// File is written with the whole document as JSON, relative to the machine's directory or absolute. The directory of a published
	// machine is signed: name a file elsewhere.
	File string `yaml:"file"`
	// Deny are patterns of facts to leave out, beyond those that look like secrets. A pattern with a dot is
	// held against the dotted path, one without against each name in it; * is any text.
	Deny []string `yaml:"deny"`
	// MaxBytes bounds the document, 1KiB to 64MiB; a larger one is a failure and the facts stay as they were.
	MaxBytes string `yaml:"max_bytes" default:"512KiB"`

	maxBytes int // MaxBytes, read
}

// Source is one place that facts come from: exactly one of file, command and directory.
type Source struct {
	// File is a JSON or YAML object.
	File string `yaml:"file"`
	// Command prints a JSON or YAML object or key=value lines. Split into words, never
	// run by a shell, no template.
	Command string `yaml:"command"`
	// Directory holds *.json, *.yaml, *.yml and *.txt (key=value) files and executables that print like a
	// command; read in the order of their names.
	Directory string `yaml:"directory"`
	// Key is where the facts go, a dotted path; without it they are merged at the top.
	Key string `yaml:"key"`
	// Timeout bounds a command and each executable of a directory.
	Timeout strict.Duration `yaml:"timeout" default:"30s" min:"100ms"`
	// OutputLimit bounds what a file or command may give, 1KiB to 64MiB.
	OutputLimit string `yaml:"output_limit" default:"1MiB"`
	// Interval is the time after which the source is read again; without it, at every look.
	Interval strict.Duration `yaml:"interval"`

	outputLimit int      // OutputLimit, read
	argv        []string // Command, split
}

const (
	smallestSize = 1 << 10
	largestSize  = 64 << 20
)

// Validate reads sizes and commands and holds the properties against each other.
func (s *Spec) Validate(w *machine.WatcherSpec) (list diag.List) {
	s.maxBytes = readSize("max_bytes", s.MaxBytes, place(w, "max_bytes"), &list)
	checkPath("file", s.File, place(w, "file"), &list)
	if !s.Builtin && len(s.Sources) == 0 {
		list.Add(diag.Error, CodeSource, w.Place("properties"), "add sources, or remove builtin: false", "there is nothing to gather")
	}
	for i := range s.Sources {
		list = append(list, s.Sources[i].validate(w.Properties.Get("sources").Items[i])...)
	}
	return list
}

// place is where a property stands, or the properties where it is not written.
func place(w *machine.WatcherSpec, key string) diag.Position {
	if n := w.Properties.Get(key); n != nil {
		return n.Pos
	}
	return w.Place("properties")
}

func (s *Source) validate(n *strict.Node) (list diag.List) {
	given := 0
	for _, text := range []string{s.File, s.Command, s.Directory} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		list.Add(diag.Error, CodeSource, n.Pos, "write one entry of the list for each", "a source is one of file, command and directory, found %d", given)
	}
	checkPath("file", s.File, n.Pos, &list)
	checkPath("directory", s.Directory, n.Pos, &list)
	s.outputLimit = readSize("output_limit", s.OutputLimit, n.Pos, &list)
	var err error
	if s.argv, err = watchers.SplitWords(s.Command); err != nil {
		list.Add(diag.Error, CodeCommand, n.Pos, "put words that hold spaces between quotes", "%v", err)
	}
	if s.Command != "" && err == nil && (len(s.argv) == 0 || s.argv[0] == "") {
		list.Add(diag.Error, CodeCommand, n.Pos, "write the program as the first word", "the command is empty")
	}
	if syntax := watchers.ShellSyntax(s.Command, false); syntax != "" {
		list.Add(diag.Warning, watchers.CodeShellSyntax, n.Pos, "write sh -c '...', or put it between single quotes where it is meant as it stands",
			"command: no shell reads it, and %s means nothing without one", syntax)
	}
	if s.Key != "" && !validKey(s.Key) {
		list.Add(diag.Error, CodeKey, n.Pos, `write names with dots between them, such as "site.rack"; "statecraft" is taken`,
			"key %q is no place for facts", s.Key)
	}
	return list
}

func checkPath(key, path string, at diag.Position, list *diag.List) {
	if machine.EscapesDirectory(path) {
		list.Add(diag.Error, CodePath, at, "write a path below the machine's directory, or an absolute one",
			"%s %q leaves the machine's directory", key, path)
	}
}

func validKey(key string) bool {
	names := strings.Split(key, ".")
	for _, name := range names {
		if name == "" {
			return false
		}
	}
	return names[0] != reserved
}

// readSize reads a number of bytes, written plain or with the unit KiB or MiB.
func readSize(key, text string, at diag.Position, list *diag.List) int {
	size, err := parseSize(text)
	if err != nil || size < smallestSize || size > largestSize {
		list.Add(diag.Error, CodeSize, at, `write a number of bytes such as 524288 or "512KiB", from 1KiB to 64MiB`,
			"%s: %q is not a size", key, text)
	}
	return int(size)
}

func parseSize(text string) (int64, error) {
	units := []struct {
		name  string
		bytes int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"", 1}}
	for _, unit := range units {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			return n * unit.bytes, err
		}
	}
	return 0, fmt.Errorf("reading size %q", text)
}

// patience is how long all sources together may take, for a watcher without a timeout of its own.
func (s *Spec) patience() time.Duration {
	longest := 20 * time.Second
	for _, source := range s.Sources {
		longest = max(longest, source.Timeout.Std()+10*time.Second)
	}
	return longest
}
