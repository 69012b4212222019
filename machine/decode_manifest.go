package machine

import (
	"crypto/sha256"
	"regexp"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// manifestYAML is the top level of a manifest as written.
type manifestYAML struct {
	Format       *strict.Node         `yaml:"format"`
	Requires     *strict.Node         `yaml:"requires"`
	Kind         *strict.Node         `yaml:"kind"`
	Name         string               `yaml:"name,required"`
	Version      string               `yaml:"version,required"`
	Description  string               `yaml:"description"`
	InitialState string               `yaml:"initial_state,required"`
	SplayStart   int                  `yaml:"splay_start" min:"0" max:"86400"`
	Durable      bool                 `yaml:"durable" default:"true"`
	OnRestart    string               `yaml:"on_restart" enum:"resume|initial"`
	MaxRate      string               `yaml:"max_rate"`
	Data         map[string]dataYAML  `yaml:"data"`
	SecretInput  []string             `yaml:"secret_input"`
	States       map[string]stateYAML `yaml:"states"`
	Groups       *strict.Node         `yaml:"groups"`
	Transitions  []transitionYAML     `yaml:"transitions,required"`
	Watchers     []watcherYAML        `yaml:"watchers"`
	Always       *strict.Node         `yaml:"always"`
	Upgrade      *upgradeYAML         `yaml:"upgrade"`
}

// upgradeYAML is the upgrade section as written.
type upgradeYAML struct {
	From string            `yaml:"from"`
	Map  map[string]string `yaml:"map,required"`
}

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	semverPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	rangePattern = regexp.MustCompile(`^\s*` + comparator + `(\s*[\s,]\s*` + comparator + `)*\s*$`)
)

// comparator is one bound of a version range, such as ">=1.0" or "~1.2.3".
const comparator = `(=|!=|<|<=|>|>=|~|\^)?\s*v?\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?`

// nameHint is the next step for every name that is refused.
const nameHint = "start with a letter and use letters, digits, _ and - only, at most 64 of them"

// decoder turns a document into a Manifest and gathers what is wrong with it.
type decoder struct {
	m    *Manifest
	root *strict.Node
	opts strict.Options
	list diag.List
}

// decode reads a manifest from its document. The Manifest is as complete as the document allows, and
// whole where the list holds no error.
func decode(file string, src []byte, root *strict.Node) (*Manifest, diag.List) {
	d := &decoder{root: root, m: &Manifest{File: file, Source: src, Digest: sha256.Sum256(src)}}
	d.format()
	var y manifestYAML
	d.list = append(d.list, strict.Decode(root, &y, d.opts)...)
	d.m.places = placesOf(root)
	d.machine(&y)
	d.reserved(&y)
	d.requires(y.Requires)
	d.data(y.Data)
	d.states(y.States)
	d.transitions(y.Transitions)
	d.watchers(y.Watchers)
	d.readGroups(y.Groups)
	d.upgrade(y.Upgrade)
	return d.m, d.list
}

// format decides the reading before anything else is read.
func (d *decoder) format() {
	d.opts.Unknown = diag.Warning
	n := d.root.Get("format")
	if n == nil {
		return
	}
	d.m.Format, d.opts.Unknown = 2, diag.Error
	switch {
	case n.Kind == strict.Scalar && n.Value == "1":
		d.m.Format = 1
	case n.Kind != strict.Scalar || n.Value != "2":
		d.fault("SC103", n.Pos, `write "format: 2", or leave the key out for Choria's reading`,
			"this release knows the formats 1 and 2")
	}
	d.opts.Marked = d.m.Marked()
}

func (d *decoder) machine(y *manifestYAML) {
	m := d.m
	m.Name, m.Version, m.Description = y.Name, y.Version, y.Description
	m.InitialState, m.Durable, m.SecretInput = y.InitialState, y.Durable, y.SecretInput
	m.SplayStart = time.Duration(y.SplayStart) * time.Second
	m.Brake, m.MaxRate = d.brake(y.MaxRate)
	m.OnRestart = OnRestart(y.OnRestart)
	if m.OnRestart == "" {
		m.OnRestart = defaultRestart(m)
	}
	// In both readings, because the name becomes part of file names and subjects.
	if m.Name != "" && !namePattern.MatchString(m.Name) {
		d.fault("SC101", m.place("name"), nameHint, "%q cannot be the name of a machine", m.Name)
	}
	if m.Version != "" && !semverPattern.MatchString(m.Version) {
		d.tolerated("SC102", m.place("version"), `write it as "1.2.3"`, "version %q is not a semantic version", m.Version)
	}
}

// defaultRestart keeps Choria's habit of starting over for the manifests that were written for it.
func defaultRestart(m *Manifest) OnRestart {
	if m.Strict() {
		return Resume
	}
	return Initial
}

// reserved reads the kind, and refuses what a later release will give a meaning, so that no machine runs without it.
func (d *decoder) reserved(y *manifestYAML) {
	if n := y.Kind; n != nil && n.Kind != strict.Null {
		switch n.Value {
		case string(KindTemplate):
			d.m.Kind = KindTemplate
		case "workflow":
			d.fault("SC104", n.Pos, "leave the key out: the machine then starts when it is loaded", "kind %q comes with a later release", n.Value)
		default:
			d.tolerated("SC104", n.Pos, "write template, or leave the key out", "this is not a kind of machine")
		}
	}
	if n := y.Always; n != nil && n.Kind != strict.Null && (n.Kind != strict.Sequence || len(n.Items) > 0) {
		d.fault("SC104", n.Pos, "leave the key out, or its list empty", "invariants come with a later release")
	}
}

func (d *decoder) upgrade(y *upgradeYAML) {
	if y == nil {
		return
	}
	if y.From != "" && !rangePattern.MatchString(y.From) {
		d.fault("SC111", d.m.place("upgrade.from"), `write it as ">=1.0" or ">=1.0, <2.0"`,
			"%q is not a range of versions", y.From)
	}
	d.m.Upgrade = &Upgrade{From: y.From, Map: y.Map, Pos: d.m.place("upgrade")}
}

func (d *decoder) fault(code diag.Code, at diag.Position, hint, format string, args ...any) {
	d.list.Add(diag.Error, code, at, hint, format, args...)
}

// tolerated reports what Choria lets pass and format 1 does not.
func (d *decoder) tolerated(code diag.Code, at diag.Position, hint, format string, args ...any) {
	d.list.Add(d.m.tolerance(), code, at, hint, format, args...)
}

// checkName holds the name of a state, an event or a watcher against the pattern.
func (d *decoder) checkName(what, name string, at diag.Position) {
	if name != "" && !namePattern.MatchString(name) {
		d.tolerated("SC108", at, nameHint, "%q is not a good name for %s", name, what)
	}
}

// tolerance is the severity of what Choria lets pass and format 1 does not.
func (m *Manifest) tolerance() diag.Severity {
	if m.Strict() {
		return diag.Error
	}
	return diag.Warning
}

// place returns where a key of the top level stands, by its path, or the start of the document where it
// is not written.
func (m *Manifest) place(path string) diag.Position {
	if p, ok := m.places[path]; ok {
		return p
	}
	return diag.Position{File: m.File, Line: 1, Column: 1}
}
