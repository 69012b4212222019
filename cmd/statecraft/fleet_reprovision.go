package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// fleetReprovisionVerb tells nodes to enroll again.
type fleetReprovisionVerb struct {
	contextFlags
	Match  string   `xor:"nodes" placeholder:"GLOB" help:"Every node whose identity matches, * for any characters."`
	All    bool     `xor:"nodes" help:"Every node of the cell."`
	Rate   string   `default:"10/s" placeholder:"N/s" help:"How many nodes are told in a second, at most 1000; N/m is in a minute."`
	Reason string   `placeholder:"TEXT" help:"Why; the nodes are told."`
	Yes    bool     `help:"Do it although it is more than one node."`
	Nodes  []string `arg:"" optional:"" name:"node" help:"The identities of the nodes."`
}

// reprovisionResult is what fleet reprovision --json prints.
type reprovisionResult struct {
	Asked       int              `json:"asked"` // nodes that were told, or were to be
	Accepted    int              `json:"accepted"`
	Refused     int              `json:"refused"`
	Unreachable int              `json:"unreachable"`
	Nodes       []reprovisioning `json:"nodes"` // by identity
}

// reprovisioning is what a node answered.
type reprovisioning struct {
	Identity string `json:"identity"`
	Outcome  string `json:"outcome"` // accepted, refused, unreachable; unasked where it was not told any more
	Message  string `json:"message,omitempty"`
}

// What becomes of a node that is to be told.
const (
	outcomeAccepted    = "accepted"
	outcomeRefused     = "refused"
	outcomeUnreachable = "unreachable"
	outcomeUnasked     = "unasked"
)

// Run tells the nodes one by one at the rate, and fails where not all accept it.
func (v *fleetReprovisionVerb) Run(inv *invocation) error {
	pause, err := readRate(v.Rate)
	if err != nil {
		return err
	}
	if (len(v.Nodes) > 0) == (v.Match != "" || v.All) {
		return usage("name nodes, or give --match GLOB or --all", "it is not clear which nodes are meant")
	}
	m, err := v.connect(inv, "fleet_operate")
	if err != nil {
		return err
	}
	defer m.close()
	nodes, err := v.targets(m)
	if err != nil {
		return err
	}
	if len(nodes) > 1 && !v.Yes {
		return usage("--yes tells them all, "+v.Rate, "%s would enroll again, %s to %s", counted(len(nodes), "node"), nodes[0], nodes[len(nodes)-1])
	}
	r := m.tell(nodes, pause, func(id identity.Identity) reprovisioning { return m.reprovision(id, v.Reason) })
	var cut error // what happened is told all the same
	if m.ctx.Err() != nil {
		cut = m.failed("telling the nodes", m.ctx.Err())
	}
	if errors.Is(context.Cause(m.ctx), nats.ErrPermissionViolation) {
		return cut // the broker lets no word through: no node was told
	}
	if inv.json {
		err = inv.printJSON(r)
	} else {
		inv.reprovisioned(r)
	}
	return cmp.Or(err, cut, r.outcome())
}

// readRate reads how often something may be done, and returns the time between.
func readRate(text string) (time.Duration, error) {
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 31)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute}[unit]
	if err != nil || n == 0 || per == 0 || per/time.Duration(n) < time.Millisecond {
		return 0, usage("write it as 10/s or 30/m", "--rate %q is no rate between 1/m and 1000/s", text)
	}
	return per / time.Duration(n), nil
}

// targets are the nodes that are meant, by identity. Of --match and --all retired and revoked nodes are left out.
func (v *fleetReprovisionVerb) targets(m *member) ([]identity.Identity, error) {
	var ids []identity.Identity
	for _, name := range v.Nodes {
		id, err := nodeName(name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		slices.Sort(ids)
		return slices.Compact(ids), nil
	}
	need := m.need
	m.need = "fleet_view" // to know which nodes there are
	nodes, err := m.nodes()
	m.need = need
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.State != retired && !n.Revoked && identity.MatchPattern(v.Match, n.Identity) {
			ids = append(ids, identity.Identity(n.Identity))
		}
	}
	if len(ids) == 0 {
		return nil, fail(exitFailed, "statecraft fleet ls lists the nodes", "no node is meant: the register has none that matches")
	}
	return ids, nil
}

// tell does something for each node, beginning one after every pause and waiting for all answers. After an interrupt the others are unasked.
func (m *member) tell(nodes []identity.Identity, pause time.Duration, do func(identity.Identity) reprovisioning) *reprovisionResult {
	r := &reprovisionResult{Asked: len(nodes), Nodes: make([]reprovisioning, len(nodes))}
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	var answers sync.WaitGroup
	for n, id := range nodes {
		if n > 0 {
			select {
			case <-ticks.C:
			case <-m.ctx.Done():
			}
		}
		if m.ctx.Err() != nil {
			r.Nodes[n] = reprovisioning{Identity: string(id), Outcome: outcomeUnasked}
			continue
		}
		answers.Go(func() { r.Nodes[n] = do(id) })
	}
	answers.Wait()
	for _, n := range r.Nodes {
		switch n.Outcome {
		case outcomeAccepted:
			r.Accepted++
		case outcomeRefused:
			r.Refused++
		case outcomeUnreachable:
			r.Unreachable++
		}
	}
	return r
}

// reprovision has the cell tell one node.
func (m *member) reprovision(id identity.Identity, reason string) reprovisioning {
	r := reprovisioning{Identity: string(id), Outcome: outcomeAccepted}
	said := struct {
		Accepted bool   `json:"accepted"`
		Reason   string `json:"reason"`
	}{Accepted: true} // who answers without saying so has taken it
	err := m.operate(id, "reprovision", map[string]string{"reason": reason}, &said)
	var denied *deniedError
	switch {
	case m.ctx.Err() != nil:
		r.Outcome, r.Message = outcomeUnreachable, "cut short before it answered"
	case isDenied(err, messaging.CodeNobody):
		r.Outcome, r.Message = outcomeUnreachable, "it is not connected, or not active"
	case isDenied(err, messaging.CodeTooLate), isDenied(err, messaging.CodeNotReady), isDenied(err, messaging.CodeBusy):
		r.Outcome, r.Message = outcomeUnreachable, err.Error()
	case errors.As(err, &denied):
		r.Outcome, r.Message = outcomeRefused, denied.text
	case err != nil:
		r.Outcome, r.Message = outcomeUnreachable, err.Error()
	case !said.Accepted:
		r.Outcome, r.Message = outcomeRefused, said.Reason
	}
	return r
}

// operate has the cell say a word to a node, and reads the node's answer, of which it may have none.
func (m *member) operate(id identity.Identity, word string, body, answer any) error {
	data, err := m.requestData("operate", map[string]any{"node": id.Token(), "word": word, "by": m.name, "body": body})
	if err == nil {
		_ = json.Unmarshal(data, answer) // what cannot be read says nothing
	}
	return err
}

// reprovisioned prints what the nodes answered: those that did not accept, and the sum.
func (inv *invocation) reprovisioned(r *reprovisionResult) {
	for _, n := range r.Nodes {
		if n.Outcome != outcomeAccepted {
			inv.printf("%s\n", printable(strings.TrimSuffix(n.Identity+"  "+n.Outcome+": "+n.Message, ": ")))
		}
	}
	inv.printf("%d of %s accepted\n", r.Accepted, counted(r.Asked, "node"))
	if r.Accepted > 0 {
		inv.notef("who has accepted enrolls by the join token that it has kept, and goes on as before where that has ended or is revoked: statecraft fleet watch shows how it goes")
	}
}

// outcome is the failure of nodes that were not reached or did not want to.
func (r *reprovisionResult) outcome() error {
	missing := r.Asked - r.Accepted
	switch {
	case missing == 0:
		return nil
	case r.Unreachable == r.Asked:
		return fail(exitUnreachable, "statecraft fleet ls says when they were seen last; nodes listen while they are active", "%s cannot be reached", counted(missing, "node"))
	case r.Refused == r.Asked:
		return fail(exitRefused, "what each of them said is above", "%s refused", counted(missing, "node"))
	default:
		return fail(exitPartial, "run it again with the nodes that are listed", "%d of %s did not accept", missing, counted(r.Asked, "node"))
	}
}
