package machine

import (
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Manifest is one machine as its author wrote it, decoded but not yet compiled. It is read-only
// after Load. Choria is the reading of manifests without a format: Format is 0 then.
type Manifest struct {
	File   string // as given to Load, for diagnostics
	Source []byte // the exact bytes
	Digest Digest // of Source

	Format       int         // 0 (Choria's reading), 1 or 2
	Requires     Requirement // of the program, by its key and its format
	Kind         Kind
	Name         string
	Version      string // SemVer
	Description  string
	InitialState string
	SplayStart   time.Duration // one random delay in [0, SplayStart) before the machine starts
	Durable      bool
	OnRestart    OnRestart
	Brake        Brake
	MaxRate      Rate // of BrakeDefault and BrakeGiven; zero otherwise
	Data         []DataField
	SecretInput  []string    // paths into the input that are secret, "*" for all of it
	States       []StateSpec // the states section only; Definition.States has them all
	Groups       []Group
	Transitions  []Transition
	Watchers     []WatcherSpec
	Upgrade      *Upgrade
	places       map[string]diag.Position // of the keys of the top level, by their YAML path
}

// Strict reports whether the manifest is of our own format, in which every finding is an error.
func (m *Manifest) Strict() bool { return m.Format > 0 }

// Marked reports whether expressions in values are marked, as ${ data.name }. Format 1 and Choria's reading tell by the key what a value is.
func (m *Manifest) Marked() bool { return m.Format >= 2 }

// Kind says how a machine comes to run.
type Kind string

// Plain machines start when they are deployed. A template does not: instances of it are started with a key and input, by
// watchers, and each leaves its host when it is in a final state.
const (
	KindPlain    Kind = ""
	KindTemplate Kind = "template"
)

// OnRestart says what a restarted host does with a machine.
type OnRestart string

// Resume continues in the recorded state, Initial starts over (data is kept in both).
const (
	Resume  OnRestart = "resume"
	Initial OnRestart = "initial"
)

// ValueType is the declared type of a data key or payload field.
type ValueType string

// The types of values. Any admits every JSON value.
const (
	Any     ValueType = "any"
	String  ValueType = "string"
	Integer ValueType = "integer"
	Number  ValueType = "number"
	Boolean ValueType = "boolean"
	Array   ValueType = "list"
	Object  ValueType = "object"
)

// DataField declares one key of a machine's data.
type DataField struct {
	Name        string
	Type        ValueType
	Default     any // of Type, nil where there is none
	Description string
	Secret      bool // sealed wherever it is written, and shown to nobody
	Pos         diag.Position
}

// StateSpec adds facts to a state that transitions imply.
type StateSpec struct {
	Name        string
	Description string
	Final       FinalKind  // "" where the state is not final
	Home        bool       // a state the machine may rest in for good; initial_state is one by default
	After       []Deadline // ascending by After, at most 64
	Pos         diag.Position
}

// Group is a name for states. Wherever it is written among states, decoding has put its states in its place; its deadlines are all that is
// left of it when a machine runs.
type Group struct {
	Name        string
	Description string
	States      []string   // each once, those of the groups in it included
	After       []Deadline // ascending by After; they count from when a state of the group was entered from outside of it
	Pos         diag.Position
}

// FinalKind says how a machine ended: "success" or "failure".
type FinalKind string

// The kinds of final states.
const (
	FinalSuccess FinalKind = "success"
	FinalFailure FinalKind = "failure"
)

// Deadline fires Event when the state, or the group of states, has been occupied for After since it was entered.
type Deadline struct {
	After time.Duration
	Event string
	Pos   diag.Position
}

// Transition is one rule of the machine. Several may share a Name (see Definition.Step).
type Transition struct {
	Name        string
	From        []string // with the states of a group in its place; "*" is every state
	Destination string   // "" where it stays
	Stays       bool     // in whatever state the machine is: nothing begins or ends there
	Description string
	When        string       // expr, boolean; "" is always
	Set         []Assignment // applied in order, all reading the data before the transition
	Clear       []ClearedKey // set back to their defaults, null where there is none
	Subscribe   []Subscription
	Reenter     bool // a self transition that is a new visit
	Quiet       bool // no news: recorded and told to subscribed machines, not published
	Pos         diag.Position
	places      map[string]diag.Position // of fields, by their YAML path ("when", "from.0")
}

// Assignment sets a data key.
type Assignment struct {
	Key   string
	Value *marks.Value
	Pos   diag.Position
}

// ClearedKey is a data key that a transition sets back to its default.
type ClearedKey struct {
	Key string
	Pos diag.Position
}

// Subscription fires the transition when another machine takes an event.
type Subscription struct {
	Machine string
	Event   string
	Pos     diag.Position
}

// WatcherSpec is one watcher as written. Keys that every type shares are decoded here; what is the type's
// own stays in Properties for the type to decode.
type WatcherSpec struct {
	Name                 string
	Type                 string
	StateMatch           []string // with the states of a group in its place; empty is every state
	ForeignStateRequired []ForeignState
	SuccessTransition    string
	FailTransition       string
	On                   map[string]string // outcome -> event
	Interval             time.Duration
	AnnounceInterval     time.Duration
	Timeout              time.Duration
	Splay                time.Duration
	Governor             string
	GovernorTimeout      time.Duration // 0 is 5 minutes
	Retry                *Retry
	When                 string
	OnLeave              OnLeave      // "" is the type's default
	OnInterrupt          OnInterrupt  // "" is Rerun
	Secret               []string     // paths into the payloads of its events that are secret, "*" for all of them
	Properties           *strict.Node // nil where there are none
	// Beside are the files that were read with the manifest, by their names in properties; nil where its folder was not at hand.
	Beside map[string]BesideText
	Pos    diag.Position
	Strict bool                 // the manifest's reading, so that a type can follow it
	Marked bool                 // expressions in properties are marked
	Data   map[string]ValueType // what the manifest declares; nil where any key may be in the data
	places map[string]diag.Position
}

// Place returns where a key of the watcher stands, or the watcher itself where it is not written.
func (w *WatcherSpec) Place(key string) diag.Position {
	if p, ok := w.places[key]; ok {
		return p
	}
	return w.Pos
}

// ForeignState is a state that another machine must be in.
type ForeignState struct {
	Machine string
	State   string
	Pos     diag.Position
}

// Retry repeats a failed look before its outcome counts.
type Retry struct {
	Max  int
	From time.Duration // the first pause
	To   time.Duration // the longest pause; pauses double
	Then string        // event after the last try; "" is the fail transition
}

// OnLeave says what becomes of a running look when its activation ends. Its result counts in neither case.
type OnLeave string

// Cancel ends the look at once, Finish lets it run to its end.
const (
	Cancel OnLeave = "cancel"
	Finish OnLeave = "finish"
)

// OnInterrupt says what a restarted host does about a look that was running when the host ended.
type OnInterrupt string

// Rerun looks again. Fail reports the outcome "interrupted" instead, which counts as a failure; Ask
// reports it only where `on` names an event for it and otherwise waits for an operator.
// For Fail and Ask the start of every look is recorded and synced before it happens.
const (
	Rerun OnInterrupt = "rerun"
	Fail  OnInterrupt = "fail"
	Ask   OnInterrupt = "ask"
)

// Upgrade maps the states of an earlier version to those of this one.
type Upgrade struct {
	From string // SemVer range
	Map  map[string]string
	Pos  diag.Position
}
