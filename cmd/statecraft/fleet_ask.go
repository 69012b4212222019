package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/statecraft-io/statecraft/watchers/inventory"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// whereFlag chooses nodes by what they are.
type whereFlag struct {
	Where string `placeholder:"EXPR" help:"Only nodes for whose last inventory this holds, such as 'facts.os.name == \"debian\"' or 'machines.metadata.state == \"failed\"' or 'last_seen < now() - duration(\"10m\")'."`
}

// ask asks the cell's view of inventories, and puts all that it answers in parts into one answer.
func (m *member) ask(q inventory.Query) (*inventory.Answer, error) {
	var all *inventory.Answer
	err := pages(func(after string) (string, error) {
		q.After = after
		part := &inventory.Answer{}
		if err := m.request("inventory", q, part); err != nil {
			return "", err
		}
		if all == nil {
			all = part
		} else {
			all.Nodes = append(all.Nodes, part.Nodes...)
		}
		return part.Next, nil
	})
	switch {
	case isDenied(err, messaging.CodeUnreadable):
		return nil, hinted(err, "docs/inventory.md says what a condition sees")
	case isDenied(err, messaging.CodeNotFound):
		return nil, hinted(err, "a node publishes its inventory when it has joined; statecraft fleet inventory lists those that did")
	case err != nil:
		return nil, err
	}
	return all, nil
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
