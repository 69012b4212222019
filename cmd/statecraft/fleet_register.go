package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// retired is the state of nodes that do not belong to the cell any more.
const retired = "retired"

// nodeResult is a node as the cell's register has it.
type nodeResult struct {
	Identity  string    `json:"identity"`
	State     string    `json:"state"` // assigned, active, quarantined or retired; empty where the record cannot be read
	Cell      string    `json:"cell"`
	PublicKey string    `json:"public_key"`
	Owner     string    `json:"owner"`             // the host that took it in
	FirstSeen time.Time `json:"first_seen"`        // zero where the record does not say
	LastSeen  time.Time `json:"last_seen"`         // joined or renewed its token
	Replace   bool      `json:"replace,omitempty"` // another key may take the identity: the one in approved
	// Approved is the public key that may take the identity, and Asked are those that have asked for it, the last one first, eight at most.
	Approved string     `json:"approved,omitempty"`
	Asked    []askedKey `json:"asked,omitempty"`
	// Revoked is whether the register notes that the node's name or its key is revoked.
	Revoked bool `json:"revoked,omitempty"`
}

// askedKey is a key that has claimed the identity of another.
type askedKey struct {
	Key    string    `json:"key"`
	At     time.Time `json:"at"`      // within the hour
	JoinID string    `json:"join_id"` // the id of the join token that it came with
}

// nodeRecord is a node with all that its record says.
type nodeRecord struct {
	nodeResult
	Revision uint64          `json:"revision"`
	Record   json.RawMessage `json:"record"`
}

// registerRecord is a record as the service nodes has it: in a list with some of its fields, null where it is no mapping; else all of it.
type registerRecord struct {
	Key      string          `json:"key"`
	Revision uint64          `json:"revision"`
	Record   json.RawMessage `json:"record"`
}

// node reads a record.
func (r registerRecord) node() nodeRecord {
	n := nodeRecord{Revision: r.Revision, Record: r.Record}
	var said struct {
		State     string `json:"state"`
		Cell      string `json:"cell"`
		PublicKey string `json:"public_key"`
		Owner     string `json:"owner"`
		FirstSeen int64  `json:"first_seen"`
		LastSeen  int64  `json:"last_seen"`
		Approved  struct {
			Key string `json:"key"`
		} `json:"approved"`
		Asked []struct {
			Key    string `json:"key"`
			At     int64  `json:"at"`
			JoinID string `json:"join_id"`
		} `json:"asked"`
		Revoked *struct {
			Key string `json:"key"` // whose record it was
		} `json:"revoked"`
	}
	if json.Unmarshal(r.Record, &said) == nil {
		n.nodeResult = nodeResult{
			State: said.State, Cell: said.Cell, PublicKey: said.PublicKey, Owner: said.Owner,
			Replace: said.Approved.Key != "", Approved: said.Approved.Key,
			FirstSeen: unixTime(said.FirstSeen), LastSeen: unixTime(said.LastSeen),
			Revoked: said.Revoked != nil && said.Revoked.Key == said.PublicKey,
		}
		for _, a := range said.Asked {
			n.Asked = append(n.Asked, askedKey{Key: a.Key, At: unixTime(a.At), JoinID: a.JoinID})
		}
	}
	n.Identity = strings.ReplaceAll(r.Key, "=", ".")
	return n
}

// unixTime is the zero time where a record does not say when.
func unixTime(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// nodesService answers what the register has of nodes.
const nodesService = "nodes"

// nodes reads the register, by identity.
func (m *member) nodes() ([]nodeResult, error) {
	type question struct {
		After    string `json:"after,omitempty"`
		Revision uint64 `json:"revision,omitempty"` // of the first page, so that another host answers with no less
	}
	nodes, revision := []nodeResult{}, uint64(0)
	err := pages(func(after string) (string, error) {
		var page struct {
			Records  []registerRecord `json:"records"`
			Revision uint64           `json:"revision"`
			Next     string           `json:"next"`
		}
		if err := m.request(nodesService, question{after, revision}, &page); err != nil {
			return "", err
		}
		revision = page.Revision
		for _, r := range page.Records {
			nodes = append(nodes, r.node().nodeResult)
		}
		return page.Next, nil
	})
	if err != nil {
		return nil, registerError(err)
	}
	slices.SortFunc(nodes, func(a, b nodeResult) int { return cmp.Compare(a.Identity, b.Identity) })
	return nodes, nil
}

// node reads the record of one node.
func (m *member) node(id identity.Identity) (*nodeRecord, error) {
	var r registerRecord
	err := m.request(nodesService, map[string]string{"key": id.Token()}, &r)
	switch {
	case isDenied(err, messaging.CodeNotFound):
		return nil, unknownNode(id)
	case err != nil:
		return nil, registerError(err)
	}
	n := r.node()
	return &n, nil
}

// registerError tells who waited for the register in vain what it may be.
func registerError(err error) error {
	if isDenied(err, messaging.CodeNotReady) {
		return hinted(err, "try again in a moment; statecraft fleet hosts says which hosts are missing")
	}
	return err
}

func unknownNode(id identity.Identity) error {
	return fail(exitFailed, "statecraft fleet ls lists the nodes that it knows", "the register knows no node %s", id)
}

// changedNode is what fleet approve --json and fleet retire --json print.
type changedNode struct {
	nodeRecord
	Changed bool `json:"changed"` // false where it was so already
}

// nodeName reads the name of a node that was given.
func nodeName(given string) (identity.Identity, error) {
	id, err := identity.Parse(given)
	if err != nil {
		return "", usage("statecraft fleet ls lists the nodes", "%w", err)
	}
	return id, nil
}
