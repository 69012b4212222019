package machine

import "github.com/statecraft-io/statecraft/machine/diag"

// OutcomeClass says which transition an outcome fires where the manifest's `on` does not name it.
type OutcomeClass uint8

// Neutral outcomes fire nothing by themselves.
const (
	Neutral OutcomeClass = iota
	Success
	Failure
)

// Outcome is one result that a watcher type can report.
type Outcome struct {
	Name    string
	Class   OutcomeClass
	Event   string               // fires this event by its own name (nagios: OK, WARNING, ...), whatever Class says
	Payload map[string]ValueType // fields that the event carries; nil is none
	Secrets []string             // those of Payload that are secret in every machine
	Of      []string             // the values of WatcherType.Verb with which a watcher can report it; nil is all
	With    string               // the property that must be set for it; "" is none
	Again   bool                 // the watcher looks again by itself after it
	Doc     string
}

// The outcomes that every type has. The runtime reports timeout, interrupted and panic itself.
const (
	OutcomeSuccess     = "success"
	OutcomeFail        = "fail"
	OutcomeTimeout     = "timeout"     // class Failure
	OutcomeInterrupted = "interrupted" // class Failure; see OnInterrupt
	OutcomePanic       = "panic"       // class Failure
	// OutcomeStarved is a look that could not be made, because the host had no descriptor, process, memory or space left for it. It tells
	// nothing of the world: class Neutral.
	OutcomeStarved = "starved"
)

// WatcherType is what the pure core must know of a watcher type in order to check a manifest.
type WatcherType struct {
	Name     string
	Aliases  []string
	Outcomes []Outcome // beyond the ones every type has, or refining success and fail with a payload
	// Check decodes and validates the properties.
	Check func(w *WatcherSpec) diag.List
	// Writes names the files (absolute or relative to the machine) that the watcher writes, for the
	// check that no two machines write one file; those that are only known at a look are left out. May be nil.
	Writes func(w *WatcherSpec) []string
	// Reads names the files of the manifest's folder that are read with it (WatcherSpec.Beside): what they hold is part of the machine. May be nil.
	Reads func(w *WatcherSpec) []string
	// On is where the services are that a watcher of the type needs; nil is everywhere.
	On []Place
	// Sets names the data keys that the watcher's reports change, or AnyKey. May be nil.
	Sets func(w *WatcherSpec) []string
	// Programs names the programs in the manifest's folder that the watcher runs, by their paths relative to it. May be nil.
	Programs func(w *WatcherSpec) []string
	// Verb is the property that says what a watcher of the type does, "" where there is none, and DefaultVerb its value where it is not
	// written.
	Verb, DefaultVerb string
	// Clock is set where both success and fail say that a time has come: neither means that something went wrong.
	Clock bool
	// Nature says how a watcher comes to its reports. Its properties have been checked. May be nil.
	Nature func(w *WatcherSpec) Nature
	// Instant is set where a look takes no time, so that a chain of such looks takes none either.
	Instant bool
	// Expressions are the properties that are written as expressions: what they give is no secret of the file.
	Expressions []string
	// CommandLine are the properties that become the arguments of a program, which every user of the host can read.
	CommandLine []string
	// Unsupported is set for Choria types that do not exist here, and says what to use instead.
	Unsupported string
}

// Place is a program that runs machines.
type Place string

// The places: statecraft run, node run and overlay run.
const (
	OnHost    Place = "host"
	OnNode    Place = "node"
	OnOverlay Place = "overlay"
)

// AnyKey is what WatcherType.Sets gives where only a look shows which keys of data are changed.
const AnyKey = "*"

// Nature is how a watcher comes to its reports. The zero Nature is that of a type that nothing is known of.
type Nature struct {
	Listens bool // it reports when others call, if they do
	Repeats bool // it looks again by itself as long as it is active
	Prompt  bool // it looks when a state is entered, and says at once what it has found: it waits for nobody, no time and no change
}

// Action returns what a watcher of the type does: the value of Verb.
func (t *WatcherType) Action(w *WatcherSpec) string {
	if n := w.Properties.Get(t.Verb); n != nil {
		return n.Value
	}
	return t.DefaultVerb
}

// Catalogue finds watcher types. It is implemented by the watchers package.
type Catalogue interface {
	// Find returns the type of a name or alias.
	Find(name string) (*WatcherType, bool)
	// Names returns every name and alias, sorted.
	Names() []string
}
