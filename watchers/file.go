package watchers

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The outcomes of a file watcher beyond those every type has.
const (
	outcomeChanged   = "changed"
	outcomeUnchanged = "unchanged"
	outcomeMissing   = "missing"
)

// The codes of what the file watcher's properties can have wrong.
const (
	CodeFilePath  diag.Code = "SC340" // a path that leaves the machine's directory
	CodeFileMode  diag.Code = "SC341" // a mode that is not octal
	CodeFileOwner diag.Code = "SC342" // contents without owner, group and mode
	CodeFileOdd   diag.Code = "SC359" // a mode that gives others more than the owner
	CodeFileRuns  diag.Code = "SC358" // a template in contents that are run
)

const fileInterval = 5 * time.Second

// fileSpec is the properties of a file watcher.
type fileSpec struct {
	// Path is the file, relative to the machine's directory or absolute.
	Path Text `yaml:"path,required"`
	// GatherInitialState records the file as it is found at start, instead of reporting it as changed.
	GatherInitialState bool `yaml:"gather_initial_state"`
	// Contents is what the file must hold; with owner, group and mode. Without it the file is only watched. A program, which begins with #!
	// or may be executed, holds no values: whoever says one could say what is run.
	Contents Text `yaml:"contents" alias:"content"`
	// Owner is the name or number of the user that must own the file.
	Owner string `yaml:"owner"`
	// Group is the name or number of the file's group.
	Group string `yaml:"group"`
	// Mode is the file's permissions in octal: 644, 0644 and 0o644 are the same.
	Mode string `yaml:"mode"`

	mode fs.FileMode // Mode, read
}

// Validate holds the properties against each other.
func (s *fileSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	if leavesDirectory(s.Path) {
		list.Add(diag.Error, CodeFilePath, propertyPlace(w, "path"), "write a path below the machine's directory, or an absolute one",
			"path %q leaves the machine's directory", s.Path)
	}
	mode, ok := parseMode(s.Mode)
	if s.Mode != "" && !ok {
		list.Add(diag.Error, CodeFileMode, propertyPlace(w, "mode"), `write three or four octal digits, such as "0644"`,
			"mode: %q is not a file mode", s.Mode)
	}
	s.mode = mode
	s.checkSense(w, &list)
	if s.manages() {
		s.checkManaged(w, &list)
	}
	if _, known := s.Contents.Literal(); !known && (strings.HasPrefix(s.Contents.Before(), "#!") || mode&0o111 != 0) {
		// Choria writes such files, so that only our own format refuses them.
		severity, key := diag.Warning, "contents"
		if w.Strict {
			severity = diag.Error
		}
		if w.Properties.Get(key) == nil {
			key = "content"
		}
		list.Add(severity, CodeFileRuns, propertyPlace(w, key), "write the value into a file of its own that the program reads, or give it in the environment of an exec watcher",
			"contents: the file is a program, which would run what is filled in")
	}
	return list
}

// propertyPlace is where a property stands, or the properties where it is not written.
func propertyPlace(w *machine.WatcherSpec, key string) diag.Position {
	if n := w.Properties.Get(key); n != nil {
		return n.Pos
	}
	return w.Place("properties")
}

// leavesDirectory reports a relative path that points outside. What is filled in is only known at a
// look, which confines it as well.
func leavesDirectory(path Text) bool {
	text, known := path.Literal()
	return known && machine.EscapesDirectory(text)
}

// manages tells content mode from watching.
func (s *fileSpec) manages() bool { return !s.Contents.Empty() }

func (s *fileSpec) checkManaged(w *machine.WatcherSpec, list *diag.List) {
	for _, key := range []struct{ name, value string }{{"owner", s.Owner}, {"group", s.Group}, {"mode", s.Mode}} {
		if key.value == "" {
			list.Add(diag.Error, CodeFileOwner, w.Place("properties"), "add "+key.name+" beside contents", "contents needs %s", key.name)
		}
	}
}

// checkSense warns of a mode by which somebody else may do what the owner may not. Programs that rewrite YAML print 0644 as the decimal
// number that it is in YAML 1.1, 420.
func (s *fileSpec) checkSense(w *machine.WatcherSpec, list *diag.List) {
	owner := s.mode.Perm() >> 6 & 7
	if (s.mode.Perm()>>3|s.mode.Perm())&7&^owner == 0 {
		return
	}
	hint := "write what is meant in quotes, such as \"0644\""
	if bits, err := strconv.ParseUint(s.Mode, 10, 16); err == nil && bits <= 0o7777 && !strings.HasPrefix(s.Mode, "0") {
		hint = fmt.Sprintf("%s is %q in decimal: write that, in quotes, if it is meant", s.Mode, modeText(goMode(uint32(bits))))
	}
	list.Add(diag.Warning, CodeFileOdd, propertyPlace(w, "mode"), hint, "mode: %s is %s: others may do what the owner may not", s.Mode, s.mode)
}

// parseMode reads octal digits, with or without a leading 0 or 0o.
func parseMode(text string) (fs.FileMode, bool) {
	bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 16)
	return goMode(uint32(bits)), err == nil && bits <= 0o7777
}

// goMode turns a Unix mode into Go's, which keeps the special bits elsewhere.
func goMode(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if bits&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// modeText renders permissions as four octal digits.
func modeText(mode fs.FileMode) string {
	bits := uint64(mode.Perm())
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	text := strconv.FormatUint(bits, 8)
	return strings.Repeat("0", max(0, 4-len(text))) + text
}

// File is the watcher type that reports changes of a file, or keeps a file as the manifest says.
func File() Type {
	payload := map[string]machine.ValueType{
		"path": machine.String, "change": machine.String, "size": machine.Integer,
		"mode": machine.String, "sha256": machine.String,
	}
	return Define(Type{
		WatcherType: machine.WatcherType{
			Name: "file",
			Outcomes: []machine.Outcome{
				{Name: outcomeChanged, Class: machine.Success, Payload: payload,
					Doc: "the file is new or different, or was brought to what the manifest says"},
				{Name: outcomeMissing, Class: machine.Failure, Payload: payload,
					Doc: "the file has disappeared, reported once until it is back"},
				{Name: outcomeUnchanged, Class: machine.Neutral, Payload: payload,
					Doc: "nothing has changed since the last look"},
			},
			Writes: fileWrites,
		},
		Summary: "Watches a file for changes, or keeps its content, owner, group and mode.",
	}, prepareFile)
}

func prepareFile(spec *fileSpec, _ *machine.WatcherSpec) *Prepared {
	return &Prepared{
		New:      func() Watcher { return newFileWatcher(spec) },
		Interval: fileInterval,
	}
}

// fileWrites names the file where the watcher manages one.
func fileWrites(w *machine.WatcherSpec) []string {
	var spec fileSpec
	if strict.Decode(w.Properties, &spec, strict.Options{Marked: w.Marked}).HasErrors() || !spec.manages() {
		return nil
	}
	if path, known := spec.Path.Literal(); known {
		return []string{path}
	}
	return nil
}
