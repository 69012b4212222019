package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// whereFlag chooses nodes by what they are.
type whereFlag struct {
	Where string `placeholder:"EXPR" help:"Only nodes for whose last inventory this holds, such as 'facts.os.name == \"debian\"' or 'machines.metadata.state == \"failed\"' or 'last_seen < now() - duration(\"10m\")'."`
}

const (
	doingAsk   = "asking about the inventories of the nodes"
	busyPause  = 250 * time.Millisecond // before a view that is busy, or reads its stream, is asked again
	codeBad    = "400"
	codeAbsent = "404"
	codeBusy   = "503"
)

// ask asks the cell's view of inventories, again where it is busy, and puts all that it answers in parts into one answer.
func (m *member) ask(q inventory.Query) (*inventory.Answer, error) {
	var all *inventory.Answer
	for {
		part, err := m.askOnce(q)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = part
		} else {
			all.Nodes = append(all.Nodes, part.Nodes...)
		}
		if q.After = part.Next; part.Next == "" {
			return all, nil
		}
	}
}

// askOnce asks until there is an answer, for as long as anybody is to wait for one.
func (m *member) askOnce(q inventory.Query) (*inventory.Answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := m.patience()
	defer cancel()
	for {
		msg, err := m.RequestWithContext(ctx, inventory.QuerySubject, body)
		if err != nil {
			return nil, m.unanswered(err)
		}
		code, text := msg.Header.Get(micro.ErrorCodeHeader), msg.Header.Get(micro.ErrorHeader)
		switch code {
		case "":
			a := &inventory.Answer{}
			if err := json.Unmarshal(msg.Data, a); err != nil {
				return nil, fail(exitFailed, "do this program and the cell's hosts have the same version?", doingAsk+": the answer cannot be read: %w", err)
			}
			return a, nil
		case codeBusy:
			if rest(ctx, busyPause) == nil {
				continue
			}
			return nil, fail(exitUnreachable, "try again", doingAsk+": %s", text)
		default:
			return nil, denied(code, text)
		}
	}
}

// unanswered says what it means that nobody answers.
func (m *member) unanswered(err error) error {
	if errors.Is(err, nats.ErrNoResponders) && m.ctx.Err() == nil {
		return fail(exitUnreachable, "each host's machine inventory does: statecraft states --state DIR/state shows it on a host", doingAsk+": no host of the cell answers such questions")
	}
	return m.failed(doingAsk, err)
}

// denied is what the view says in place of an answer.
func denied(code, text string) error {
	switch code {
	case codeBad:
		return fail(exitInvalid, "docs/inventory.md says what a condition sees", "%s", text)
	case codeAbsent:
		return fail(exitFailed, "a node publishes its inventory when it has joined; statecraft fleet inventory lists those that did", "%s", text)
	default:
		return fail(exitFailed, "", "%s (code %s)", text, code)
	}
}

// rest waits, or until ctx ends, with its error.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// problems tells of the nodes that there is no answer for.
func (inv *invocation) problems(a *inventory.Answer) {
	for _, reason := range slices.Sorted(maps.Keys(a.Problems)) {
		inv.notef("of %s it cannot be said: %s", nodesText(a.Problems[reason]), reason)
	}
}

func nodesText(n int) string {
	if n == 1 {
		return "1 node"
	}
	return strconv.Itoa(n) + " nodes"
}

// brief is a digest as far as people compare it.
func brief(digest string) string {
	const shown = 12
	return orDash(digest[:min(len(digest), shown)])
}

// fieldText is a field of an inventory in a table.
func fieldText(raw json.RawMessage) string {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) != nil {
		return orDash(string(raw))
	}
	return orDash(fmt.Sprint(text))
}
