package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String is lower-case hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether it is not set.
func (d Digest) IsZero() bool { return d == Digest{} }

// Event is something that happened to a machine.
type Event struct {
	Name    string         // of a transition; "" changes Data only
	Outcome string         // of the watcher, "" where none fired it
	Message string         // one line: why the outcome is what it is, "" where nobody said
	Payload map[string]any // JSON values; at most MaxPayload bytes encoded
	Data    map[string]any // keys to set before guards are read, as one change; a nil value deletes
	Cause   Cause
}

// MaxPayload bounds an event's payload, in bytes of JSON (64 KiB).
const MaxPayload = 64 << 10

// CauseKind says what an event came from.
type CauseKind string

// The causes of events.
const (
	CauseStart        CauseKind = "start"
	CauseWatcher      CauseKind = "watcher"
	CauseDeadline     CauseKind = "deadline"
	CauseSubscription CauseKind = "subscription"
	CauseOperator     CauseKind = "operator"
	CauseRecovery     CauseKind = "recovery"
	CauseUpgrade      CauseKind = "upgrade"
	CauseSpawn        CauseKind = "spawn"  // of an instance's start
	CauseSignal       CauseKind = "signal" // of who started the instance
)

// Cause says where an event came from.
type Cause struct {
	Kind     CauseKind `json:"kind"`
	Name     string    `json:"name,omitempty"`     // watcher; deadline in time.Duration notation; of a recovery, the on_restart it followed
	Machine  string    `json:"machine,omitempty"`  // of a subscription: who took the event
	Seq      uint64    `json:"seq,omitempty"`      // of a subscription: in which record
	Identity string    `json:"identity,omitempty"` // of an operator
	Run      uint64    `json:"run,omitempty"`      // of a watcher with on_interrupt other than rerun: the run it ends
	Deadline int       `json:"deadline,omitempty"` // of a state's deadline: its place in the state's list, from 1
	Group    string    `json:"group,omitempty"`    // of a group's deadline: the group
}

// RecordKind says what a record did.
type RecordKind string

// The kinds of records.
const (
	RecordStart      RecordKind = "start"      // the machine's first
	RecordTransition RecordKind = "transition" // a new visit
	RecordStay       RecordKind = "stay"       // a self transition, or data alone (no event)
	RecordRefused    RecordKind = "refused"    // the event could not be taken; Reason says why
	RecordRecovery   RecordKind = "recovery"   // the host restarted
	RecordUpgrade    RecordKind = "upgrade"    // the definition was replaced
	RecordEffect     RecordKind = "effect"     // a look that must not run twice is about to start
)

// GuardValue is what a guard was when it was read.
type GuardValue struct {
	Transition int    `json:"transition"` // index in the manifest
	Value      bool   `json:"value"`
	Error      string `json:"error,omitempty"`
}

// Record is one journal entry: with the records before it, everything needed to know the machine's state.
// Its JSON form, as first encoded, is what is stored, hashed and exported.
type Record struct {
	Seq     uint64    `json:"seq"`   // per machine, from 1, gapless
	Epoch   uint64    `json:"epoch"` // of the visit after this record; grows with every visit and recovery
	At      time.Time `json:"at"`    // UTC
	Machine string    `json:"machine"`
	// Instance is the key of a template's instance, Arguments what it was started with. Other machines have arguments from their
	// site's configuration: in the first record, and in those of a restart or upgrade where they have changed.
	Instance  string         `json:"instance,omitempty"`
	Arguments map[string]any `json:"arguments,omitzero"`
	Digest    string         `json:"digest"` // of the manifest
	Kind      RecordKind     `json:"kind"`
	Event     string         `json:"event,omitempty"`
	Cause     Cause          `json:"cause"`
	Outcome   string         `json:"outcome,omitempty"`
	Message   string         `json:"message,omitempty"` // Event.Message, as OneLine has it
	Payload   map[string]any `json:"payload,omitempty"`
	Input     map[string]any `json:"input,omitempty"` // Event.Data
	Guards    []GuardValue   `json:"guards,omitempty"`
	From      string         `json:"from"`
	To        string         `json:"to"`
	// Groups are those with deadlines that the state after the record is in, where the record begins a visit or another manifest.
	Groups []string       `json:"groups,omitempty"`
	Set    map[string]any `json:"set,omitempty"` // all data changes, Input's included; a nil value deletes
	Reason string         `json:"reason,omitempty"`
	// Notify lists the machines whose subscriptions this record fires; each of their records with a
	// Cause naming this machine and Seq closes one. The runtime fills it, replay ignores it.
	Notify []string `json:"notify,omitempty"`
	Prev   string   `json:"prev"` // hex digest of the previous record's JSON, "" in the first
}

// GroupVisit is how long a machine has been in a group of states, for the group's deadlines.
type GroupVisit struct {
	Entered time.Time     `json:"entered"`         // when the machine came into a state of the group from outside of it
	Fired   time.Duration `json:"fired,omitempty"` // deadlines after this time or less have fired, in nanoseconds
}

// Snapshot is the state of one machine between records. The zero Snapshot is a machine before its start.
type Snapshot struct {
	State string `json:"state"`
	// Instance and Input are those of the first record, or the arguments since.
	Instance string                `json:"instance,omitempty"`
	Input    map[string]any        `json:"input,omitempty"`
	Seq      uint64                `json:"seq"`
	Epoch    uint64                `json:"epoch"`
	Entered  time.Time             `json:"entered"`           // of the visit; deadlines count from here, across restarts
	Fired    uint64                `json:"fired,omitempty"`   // bit i: deadline i of the state has fired in this visit
	Groups   map[string]GroupVisit `json:"groups,omitempty"`  // those with deadlines that the state is in; never modified in place
	Data     map[string]any        `json:"data,omitempty"`    // never modified in place: a change makes a new map
	Running  map[string]uint64     `json:"running,omitempty"` // watcher -> run, of recorded effects without an outcome
	Runs     uint64                `json:"runs,omitempty"`    // the last run number given
	Digest   string                `json:"digest"`            // of the manifest last run
	Head     string                `json:"head"`              // hex digest of the last record, the next one's Prev
}
