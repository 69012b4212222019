package registry

import (
	"errors"
	"fmt"
)

// Reason says in one word why a document was refused: the machine-readable part of a Refusal.
type Reason string

// The reasons.
const (
	Malformed  Reason = "malformed"   // no envelope, not canonical
	TooLarge   Reason = "too_large"   // beyond MaxEnvelope
	Unsigned   Reason = "unsigned"    // too few good signatures of keys that have the role
	WrongType  Reason = "wrong_type"  // right signatures over another kind of document
	WrongPlace Reason = "wrong_place" // another channel or cell
	Rollback   Reason = "rollback"    // a serial or version that is below the last, or not the next
	Mixed      Reason = "mixed"       // the same serial or version with another content
	Expired    Reason = "expired"
	NotYet     Reason = "not_yet" // issued in the future, beyond clock skew
	NoRoot     Reason = "no_root" // nothing is trusted yet
	// Unsupported is for what somebody trusted has signed, and which asks for what only a later release knows.
	Unsupported Reason = "unsupported"
)

// Refusal is why a document was refused. Nothing that was accepted before is touched by it.
type Refusal struct {
	Reason Reason
	Detail string // for people
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused (%s): %s", r.Reason, r.Detail) }

func refuse(r Reason, format string, args ...any) error {
	return &Refusal{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// IsUnsupported reports that somebody trusted has signed a document, and that it asks for what only a later release knows.
func IsUnsupported(err error) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return ok && refusal.Reason == Unsupported
}
