// Package scenario runs the tests that stand beside a manifest: given outcomes, events and times on one side,
// expected states, data and published documents on the other. The machines run in the production engine, in
// virtual time; nothing that a watcher would do to the world is done.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// Suffix is how the name of a scenario file ends; what stands before it is the name of the manifest.
const Suffix = "_test.yaml"

// The defaults of a scenario file. The time is a Monday.
const (
	defaultIdentity = "node.example.net"
	defaultStart    = "2026-01-05T10:00:00Z"
)

// Suite is a scenario file that has been read and held against its manifests. It is read-only and may be run
// any number of times.
type Suite struct {
	file      string
	root      *strict.Node
	catalogue runtime.Catalogue
	instead   *machine.Text // of the tested machine's manifest, where it is not what the file has
	doc       document
	start     time.Time
	machines  []*loaded // the machine under test is the last
	tests     []*test
}

// loaded is a manifest with what the runtime knows of its watchers.
type loaded struct {
	*machine.Definition
	directory string
	watchers  []*watcher
}

// name is the machine's name.
func (l *loaded) name() string { return l.Manifest.Name }

// watcher is a watcher of a manifest and what it can report.
type watcher struct {
	spec     *machine.WatcherSpec
	outcomes []machine.Outcome
	inline   bool // runs by itself in virtual time
	listens  bool
}

// Run loads a scenario file and runs all of its tests. The list holds what is wrong with the file and, where it is
// their fault, its manifests; the report is nil when the list holds an error. The error is that of reading
// the file or of ctx.
func Run(ctx context.Context, file string, c runtime.Catalogue) (*Report, diag.List, error) {
	suite, list, err := Load(file, c)
	if suite == nil {
		return nil, list, err
	}
	report, err := suite.Run(ctx, nil)
	return report, list, err
}

// Load reads a scenario file and the manifests that it names. The suite is nil when the list holds an error.
func Load(file string, c runtime.Catalogue) (*Suite, diag.List, error) {
	src, err := readFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the scenarios: %w", err)
	}
	root, list := strict.Parse(file, src)
	if root == nil {
		return nil, list, nil
	}
	s, list := readSuite(&Suite{file: file, root: root, catalogue: c}, list)
	return s, list, nil
}

// with is the suite of another text in the place of the tested machine's manifest. It is nil when the list holds an error: the tests name what
// is not there, or the manifest cannot be loaded.
func (s *Suite) with(text machine.Text) (*Suite, diag.List) {
	return readSuite(&Suite{file: s.file, root: s.root, catalogue: s.catalogue, instead: &text}, nil)
}

// readSuite decodes the tests and links them to their manifests.
func readSuite(s *Suite, list diag.List) (*Suite, diag.List) {
	list = append(list, strict.Decode(s.root, &s.doc, strict.Options{})...)
	list = append(list, s.link(s.root, !list.HasErrors())...).Sort()
	if list.HasErrors() {
		return nil, list
	}
	return s, list
}

// Tests returns the names of the tests, in order.
func (s *Suite) Tests() []string {
	names := make([]string, len(s.tests))
	for i, t := range s.tests {
		names[i] = t.Name.value
	}
	return names
}

// Machine is the name of the machine under test.
func (s *Suite) Machine() string { return s.subject().name() }

func (s *Suite) subject() *loaded { return s.machines[len(s.machines)-1] }

// manifestPath is where a manifest that the file names is; "" is the one that the file's own name says.
func (s *Suite) manifestPath(name string) string {
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(s.file), Suffix) + ".yaml"
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(s.file), name)
}

// loadMachine reads one manifest; what is wrong with it is reported at the place that names it, and in itself. The hint is for one that is not there.
func (s *Suite) loadMachine(name string, at diag.Position, hint string, list *diag.List) *loaded {
	path := s.manifestPath(name)
	text, err := s.read(path)
	if err != nil {
		list.Add(diag.Error, codeManifest, at, hint, "the manifest cannot be read: %v", reason(err))
		return nil
	}
	def, found := machine.LoadText(text, s.catalogue)
	if def == nil {
		for _, f := range found {
			if f.Severity == diag.Error {
				*list = append(*list, f)
			}
		}
		list.Add(diag.Error, codeManifest, at, "mend the manifest first; statecraft check says more", "the manifest %s has errors", path)
		return nil
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		dir = filepath.Dir(path)
	}
	return &loaded{Definition: def, directory: dir, watchers: s.watchersOf(def, list)}
}

// read reads a manifest, or has another in the place of the tested one.
func (s *Suite) read(path string) (machine.Text, error) {
	if s.instead != nil && path == s.manifestPath(s.doc.Machine.value) {
		return *s.instead, nil
	}
	return runtime.ReadText(path)
}

func (s *Suite) watchersOf(def *machine.Definition, list *diag.List) []*watcher {
	var all []*watcher
	for i := range def.Manifest.Watchers {
		spec := &def.Manifest.Watchers[i]
		w := &watcher{spec: spec}
		if t, ok := s.catalogue.Find(spec.Type); ok {
			w.outcomes = slices.Clone(t.Outcomes)
		}
		for _, name := range []string{machine.OutcomeSuccess, machine.OutcomeFail, machine.OutcomeTimeout, machine.OutcomePanic, machine.OutcomeStarved} {
			if w.outcome(name) == nil {
				w.outcomes = append(w.outcomes, machine.Outcome{Name: name})
			}
		}
		prepared, found := s.catalogue.Prepare(spec)
		if prepared == nil {
			*list = append(*list, found...)
		} else {
			w.inline = prepared.Inline
			_, w.listens = prepared.New().(watchers.Listener)
		}
		all = append(all, w)
	}
	return all
}

// outcome finds an outcome by name, nil where the watcher has none of it.
func (w *watcher) outcome(name string) *machine.Outcome {
	for i := range w.outcomes {
		if w.outcomes[i].Name == name {
			return &w.outcomes[i]
		}
	}
	return nil
}

// readFile reads to just beyond the length that a document may have, which strict.Parse then refuses.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
}

// reason is why a file could not be read, with its path said once.
func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}
