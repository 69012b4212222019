package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// machines remembers between looks what it has told the instances.
type machines struct {
	spec     *machinesSpec
	services Services
	compiled *compiledMatches

	told   map[string]registry.Entry // what an instance was given last
	listed bool                      // the instances of an earlier process have been looked for
	choria []registry.Entry          // of the last good item with public_key; nil is none
}

// verdict is what a look has come to before anything is done.
type verdict struct {
	entries      []registry.Entry
	known, fresh bool // something was accepted, now or before; it is new
	ended        bool // what was accepted last is too old to change anything by
	serial, root uint64
	refused      *registry.Refusal // nil where nothing was
}

var errNoStores = errors.New("this program has no trust root; run the machine in a node, or give public_key")

// skew is how far the clocks of nodes and of those who sign may be apart.
const skew = 5 * time.Minute

// Check verifies what it is given, and sees to it that there are the instances that are to be.
func (m *machines) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if m.services.Deployer == nil || m.services.Spawner == nil {
		return watchers.Failure(errNoDeployer.Error())
	}
	target, err := look.Expand(m.spec.PluginsDirectory)
	if err == nil {
		err = errors.Join(optional(checkTarget)(target), ownTarget(target))
	}
	if err != nil {
		return watchers.Failed(fmt.Errorf("plugins_directory: %w", err))
	}
	v, err := m.verdict(look)
	if err != nil {
		return watchers.Failed(err)
	}
	r := &round{machines: m, ctx: ctx, look: look, target: target}
	if v.known && !v.ended {
		err = r.all(v)
	}
	return r.report(v, err)
}

// verdict takes what the data holds and says what counts now.
func (m *machines) verdict(look *watchers.Look) (*verdict, error) {
	key, err := look.Expand(m.spec.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("public_key: %w", err)
	}
	given, err := envelopes(look.Data[m.spec.DataItem])
	if err != nil {
		return &verdict{refused: &registry.Refusal{Reason: registry.Malformed, Detail: err.Error()}}, nil //nolint:nilerr // the verdict says it
	}
	if key != "" {
		return m.choriaVerdict(key, given)
	}
	return m.ownVerdict(look, given)
}

// envelopes reads what a key of data holds: one document or a list, each a text or a mapping.
func envelopes(v any) ([][]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return nil, nil
		}
		return [][]byte{[]byte(v)}, nil
	case map[string]any:
		if len(v) == 0 {
			return nil, nil
		}
		text, err := envelopeText(v)
		return [][]byte{text}, err
	case []any:
		var all [][]byte
		for _, one := range v {
			some, err := envelopes(one)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("it is %T, neither a text nor a mapping", v)
}

// envelope is one with its keys in their usual order.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// envelopeText writes a mapping as the envelope that it was read from: with its keys in their usual order, so that one that has come before,
// perhaps by another way, is the same. What is no envelope is written as it is: the registry refuses it, with the reason.
func envelopeText(v map[string]any) ([]byte, error) {
	signatures, ok := v["signatures"].([]any)
	e := envelope{Signatures: make([]signature, len(signatures))}
	ok = ok && textsOf(v, map[string]*string{"payloadType": &e.PayloadType, "payload": &e.Payload}, "signatures")
	for i, one := range signatures {
		fields, _ := one.(map[string]any)
		ok = ok && textsOf(fields, map[string]*string{"keyid": &e.Signatures[i].KeyID, "sig": &e.Signatures[i].Sig})
	}
	if !ok {
		return json.Marshal(v)
	}
	return json.Marshal(e)
}

// textsOf reads the texts of a mapping that has no other keys but one.
func textsOf(v map[string]any, into map[string]*string, but ...string) bool {
	for key, field := range into {
		var ok bool
		if *field, ok = v[key].(string); !ok {
			return false
		}
	}
	return len(v) == len(into)+len(but)
}

// choriaVerdict reads Choria's signed item. One that cannot be trusted leaves the last good one.
func (m *machines) choriaVerdict(text string, given [][]byte) (*verdict, error) {
	key, err := identity.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("public_key: %w", err)
	}
	v := &verdict{}
	for _, item := range given {
		entries, err := registry.VerifyChoria(item, key)
		if !v.refuse(err) && err != nil {
			return nil, err
		}
		if err == nil {
			m.choria = append([]registry.Entry{}, entries...)
		}
	}
	v.entries, v.known = m.choria, m.choria != nil
	return v, nil
}

// refuse notes a refusal; false for every other error.
func (v *verdict) refuse(err error) bool {
	var refusal *registry.Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	v.refused = refusal
	return true
}

// ownVerdict accepts roots and specs, and takes what was accepted last.
func (m *machines) ownVerdict(look *watchers.Look, given [][]byte) (*verdict, error) {
	if m.services.Stores == nil {
		return nil, errNoStores
	}
	store, err := m.services.Stores(look.Identity)
	if err != nil {
		return nil, fmt.Errorf("what is trusted: %w", err)
	}
	if store == nil {
		return &verdict{}, nil
	}
	want := registry.Want{Now: look.At}
	if want.Channel, err = look.Expand(m.spec.Channel); err != nil {
		return nil, fmt.Errorf("channel: %w", err)
	}
	if m.services.Cell != nil {
		if want.Cell, err = m.services.Cell(look.Identity); err != nil {
			return nil, err
		}
	}
	v := &verdict{}
	if err := m.accept(look, store, want, given, v); err != nil {
		return nil, err
	}
	return v, v.last(store, want)
}

func (m *machines) accept(look *watchers.Look, store *registry.Store, want registry.Want, given [][]byte, v *verdict) error {
	roots, err := envelopes(look.Data[m.spec.RootsItem])
	if err != nil {
		v.refused = &registry.Refusal{Reason: registry.Malformed, Detail: "roots: " + err.Error()}
	}
	for _, root := range roots {
		if _, err := store.AcceptRoot(root, look.At); err != nil && !v.refuse(err) {
			return fmt.Errorf("keeping a trust root: %w", err)
		}
	}
	for _, envelope := range given {
		_, fresh, err := store.Accept(envelope, want)
		if err != nil && !v.refuse(err) {
			return fmt.Errorf("keeping a spec: %w", err)
		}
		v.fresh = v.fresh || fresh
	}
	return nil
}

// last is what counts now. What was good counts on when it has ended, but changes nothing any more.
func (v *verdict) last(store *registry.Store, want registry.Want) error {
	root, err := store.Root()
	if err != nil {
		return fmt.Errorf("the trust root: %w", err)
	}
	if root != nil {
		v.root = root.Version
	}
	spec, err := store.Last(want.Channel)
	if err != nil {
		return fmt.Errorf("the last good spec: %w", err)
	}
	if spec == nil {
		return nil
	}
	if spec.Audience != "" && spec.Audience != want.Cell { // somebody has put it there
		v.refused = &registry.Refusal{Reason: registry.WrongPlace, Detail: fmt.Sprintf("what is kept of the last good spec is for the cell %.60s", spec.Audience)}
		return nil
	}
	v.known, v.entries, v.serial = true, spec.Machines, spec.Serial
	v.ended = !v.fresh && want.Now.After(spec.Expires.Add(skew))
	if v.ended && v.refused == nil {
		v.refused = &registry.Refusal{Reason: registry.Expired, Detail: fmt.Sprintf(
			"the spec with the serial %d ended on %s; what runs goes on, publish a new one to change it", spec.Serial, spec.Expires.Format(time.RFC3339))}
	}
	return nil
}

// report says what a look did.
func (r *round) report(v *verdict, err error) watchers.Report {
	slices.Sort(r.names)
	slices.Sort(r.unknown)
	rep := watchers.Report{Outcome: watchers.OutcomeUnchanged, Payload: map[string]any{
		"serial": v.serial, "root": v.root, "names": texts(r.names), "unknown": texts(r.unknown), "reason": "", "detail": "",
	}}
	refuse := func(reason registry.Reason, detail string) {
		const longest = 1000
		rep.Outcome, rep.Message = outcomeRefused, string(reason)+": "+detail
		rep.Payload["reason"], rep.Payload["detail"] = string(reason), detail[:min(len(detail), longest)]
	}
	switch {
	case err != nil:
		rep.Outcome, rep.Message = machine.OutcomeFail, err.Error()
		rep.Payload["reason"], rep.Payload["detail"] = machine.OutcomeFail, rep.Message
	case v.refused != nil:
		refuse(v.refused.Reason, v.refused.Detail)
	case len(r.impossible) > 0:
		refuse(reasonImpossible, strings.Join(r.impossible, "; "))
	case !v.known:
		rep.Outcome, rep.Message = outcomeNothing, "nothing was accepted yet"
	case r.changed:
		rep.Outcome, rep.Message = outcomeChanged, "to run: "+strings.Join(r.names, ", ")
	}
	rep.Quiet = rep.Outcome == watchers.OutcomeUnchanged || rep.Outcome == outcomeNothing
	rep.State = map[string]any{"serial": v.serial, "machines": len(r.names), "previous_outcome": rep.Outcome}
	return rep
}

// reasonImpossible is the reason for an entry that was signed and yet cannot be.
const reasonImpossible registry.Reason = "impossible"

// texts makes a payload's list.
func texts(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}
