package credentials

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of an identity watcher beyond success and fail.
const (
	OutcomeDamaged = "damaged"
	OutcomeMissing = "missing"
)

// The actions of an identity watcher.
const (
	actionEnsure     = "ensure"
	actionCheck      = "check"
	actionStage      = "stage"
	actionActivate   = "activate"
	actionCommit     = "commit"
	actionRollback   = "rollback"
	actionForget     = "forget"
	actionReplaceKey = "replace_key"
	actionProvide    = "provide"
)

// identitySpec is the properties of an identity watcher.
type identitySpec struct {
	// Action is what to do. ensure makes the key where there is none; check holds key, assignment and token against each other; stage writes
	// an assignment beside the active one; activate makes it the active one; commit forgets the one before; rollback returns to it; forget
	// drops all assignments, the key stays; replace_key sets a damaged or compromised key aside and makes a new one; provide writes the
	// certificate, the authority and the policies of the active assignment as files below given/ of the node's identity folder, for other
	// programs, and removes those that it does not have. Each may be repeated.
	Action string `yaml:"action,required" enum:"ensure|check|stage|activate|commit|rollback|forget|replace_key|provide"`
	// Document is an expression that gives the document of a verified assignment, for stage.
	Document *watchers.Formula `yaml:"document"`
	// Leeway is how far the clock of who issued the assignment's token may be off, for stage.
	Leeway strict.Duration `yaml:"leeway" default:"1m" max:"1h"`
}

// Validate holds the properties against the action.
func (s *identitySpec) Validate(w *machine.WatcherSpec) diag.List {
	r := reads{}
	if s.Action == actionStage {
		r = reads{needs: []string{"document"}, may: []string{"leeway"}}
	}
	return r.check(w, s.Action, []string{"document", "leeway"})
}

func identityType(h holders) watchers.Type {
	payload := map[string]machine.ValueType{
		"public_key": machine.String, "nkey": machine.String, "identity": machine.String, "cell": machine.String,
		"token_id": machine.String, "expires": machine.String, "expired": machine.Boolean, "pending": machine.Boolean,
		"proof": machine.String, "upgrade": machine.String,
	}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "identity", On: []machine.Place{machine.OnNode},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: payload, Doc: "it is done, or was done before"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: payload, Doc: "it could not be done; what was active still is"},
				{Name: OutcomeDamaged, Class: machine.Failure, Payload: payload,
					Doc: "the key or an assignment is damaged, or they do not belong together; nothing is replaced in silence"},
				{Name: OutcomeMissing, Class: machine.Failure, Payload: payload, Doc: "there is no key, no assignment, or none that is staged"},
			},
		},
		Summary: "Keeps a node's key and the assignments that an overlay gave it, each change as one transaction.",
	}, func(spec *identitySpec, _ *machine.WatcherSpec) *watchers.Prepared {
		look := identityLook{holders: h, spec: spec}
		return &watchers.Prepared{New: func() watchers.Watcher { return checker(look.check) }}
	})
}

// identityLook does one action.
type identityLook struct {
	holders
	spec *identitySpec
}

func (l identityLook) check(look *watchers.Look) watchers.Report {
	w, err := l.stored(look)
	if err != nil {
		return failure(err)
	}
	now, note, err := l.done(look, w)
	token := tokenOf(now)
	if err == nil && l.spec.Action == actionCheck {
		err = whole(now, token)
	}
	r := watchers.Report{Outcome: machine.OutcomeSuccess, Payload: standing(now, token, look.At), Message: note}
	switch {
	case err == nil:
		return r
	case errors.Is(err, identity.ErrDamaged):
		r.Outcome = OutcomeDamaged
	case errors.Is(err, identity.ErrNoKey), errors.Is(err, identity.ErrNothing):
		r.Outcome = OutcomeMissing
	default:
		r.Outcome = machine.OutcomeFail
	}
	r.Message = err.Error()
	return r
}

// done does the action and returns what the store then holds, and what is worth a word although it is done.
func (l identityLook) done(look *watchers.Look, w *identity.Wallet) (now identity.Standing, note string, err error) {
	switch l.spec.Action {
	case actionCheck: // changes nothing
		return w.Store.Standing(), "", nil
	case actionProvide: // changes nothing that the node is known by
		err := w.Store.Provide()
		return w.Store.Standing(), "", err
	}
	now, err = l.changing(look, w.Store, func() error {
		note, err = l.act(look, w)
		return err
	})
	return now, note, err
}

func (l identityLook) act(look *watchers.Look, w *identity.Wallet) (note string, err error) {
	if l.spec.Action == actionStage {
		return l.stage(look, w)
	}
	return "", l.move(w.Store)
}

// move does what needs no more than the store.
func (l identityLook) move(s *identity.Store) error {
	switch l.spec.Action {
	case actionEnsure:
		_, _, err := s.EnsureKey()
		return err
	case actionActivate:
		return s.Activate()
	case actionCommit:
		return s.Commit()
	case actionRollback:
		return s.Rollback()
	case actionForget:
		return s.Forget()
	default: // actionReplaceKey, as the enum allows no other that changes something
		_, err := s.ReplaceKey()
		return err
	}
}

// stage takes only an assignment that the node could live with: a wrong one never gets as far as being activated. A join token that cannot take the place of
// the one that the node has is left out of it, and said.
func (l identityLook) stage(look *watchers.Look, w *identity.Wallet) (note string, err error) {
	document, err := l.spec.Document.Object(look, nil)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return "", err
	}
	a := new(identity.Assignment)
	if document == nil || json.Unmarshal(text, a) != nil {
		return "", errors.New("the document is no assignment: identity, cell, urls, token and roots are expected")
	}
	key, err := w.Store.Key()
	if err != nil {
		return "", err
	}
	e := identity.Expect{Now: look.At, Leeway: l.spec.Leeway.Std()}
	if _, err := w.Coherent(a, key.Public(), e); err != nil {
		return "", err
	}
	if err := w.CheckJoin(a, e); err != nil {
		a.Join, note = "", "the node keeps its join token: "+err.Error()
	}
	return note, w.Store.Stage(a)
}

// tokenOf is what the active assignment's token says, nil where it cannot be read.
func tokenOf(now identity.Standing) *identity.Claims {
	if now.Active == nil {
		return nil
	}
	c, err := identity.Inspect(now.Active.Token)
	if err != nil {
		return nil
	}
	return c
}

// whole reports what is missing or damaged.
func whole(now identity.Standing, token *identity.Claims) error {
	switch {
	case now.KeyErr != nil:
		return now.KeyErr
	case now.ActiveErr != nil:
		return now.ActiveErr
	case token == nil || token.PublicKey != now.Key.Public().String() || token.Identity != now.Active.Identity:
		return fmt.Errorf("the assignment's token is not for the node's key and identity: %w", identity.ErrDamaged)
	}
	return nil
}

// standing reports what the store holds at a time, without secrets. What cannot be read is left out.
func standing(now identity.Standing, token *identity.Claims, at time.Time) map[string]any {
	p := payload{"pending": now.Pending}
	if now.Key != nil {
		p["public_key"], p["nkey"] = now.Key.Public().String(), now.Key.Public().NKey()
	}
	if now.Active != nil {
		p["identity"], p["cell"] = string(now.Active.Identity), now.Active.Cell
		p.text("proof", now.Active.Proof)
		p.text("upgrade", now.Active.Upgrade)
	}
	if token != nil {
		p["token_id"], p["expires"], p["expired"] = token.ID, token.Expires.Format(time.RFC3339), !at.Before(token.Expires)
	}
	return p
}
