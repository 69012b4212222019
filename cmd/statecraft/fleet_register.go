package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// registerBucket holds a record a node, under its identity as in subjects.
const registerBucket = "NODES"

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

// readNode reads an entry of the register.
func readNode(entry jetstream.KeyValueEntry) nodeRecord {
	return recordOf(entry.Key(), entry.Value(), entry.Revision())
}

// recordOf reads the record under a key of the register.
func recordOf(key string, record json.RawMessage, revision uint64) nodeRecord {
	n := nodeRecord{Revision: revision, Record: record}
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
	}
	switch {
	case !json.Valid(n.Record):
		n.Record, _ = json.Marshal(string(record))
	case json.Unmarshal(n.Record, &said) == nil:
		n.nodeResult = nodeResult{
			State: said.State, Cell: said.Cell, PublicKey: said.PublicKey, Owner: said.Owner,
			Replace: said.Approved.Key != "", Approved: said.Approved.Key,
			FirstSeen: unixTime(said.FirstSeen), LastSeen: unixTime(said.LastSeen),
		}
		for _, a := range said.Asked {
			n.Asked = append(n.Asked, askedKey{Key: a.Key, At: unixTime(a.At), JoinID: a.JoinID})
		}
	}
	n.Identity = strings.ReplaceAll(key, "=", ".")
	return n
}

// unixTime is the zero time where a record does not say when.
func unixTime(seconds int64) time.Time {
	if seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// doingRegister is what fails where the register cannot be read.
const doingRegister = "reading the register of nodes"

// register opens the register where it has a leader, and says how many records that has. A copy answers without one, too, and may be empty.
func (m *member) register() (jetstream.KeyValue, uint64, error) {
	bucket, err := m.bucket(registerBucket)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := m.patience()
	defer cancel()
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, 0, m.failed(doingRegister, err)
	}
	s, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return bucket, 0, nil
	}
	info := s.StreamInfo()
	if info.Cluster != nil && info.Cluster.Leader == "" {
		return nil, 0, fail(exitUnreachable, waitForHosts, doingRegister+": it has no leader, so that what a host has of it may be incomplete")
	}
	return bucket, info.State.NumSubjects, nil
}

const waitForHosts = "try again in a moment; statecraft fleet hosts says which hosts are missing"

// nodes reads the register, by identity.
func (m *member) nodes() ([]nodeResult, error) {
	const doing = doingRegister
	bucket, records, err := m.register()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	watcher, err := bucket.WatchAll(ctx)
	if err != nil {
		return nil, m.failed(doing, err)
	}
	defer func() { _ = watcher.Stop() }()
	silence := time.NewTimer(patience)
	defer silence.Stop()
	nodes, read := []nodeResult{}, uint64(0)
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, m.failed(doing, context.DeadlineExceeded)
			}
			if entry == nil {
				if read < records {
					return nil, fail(exitUnreachable, waitForHosts, "%s: the copy that answered has %d of %d records", doing, read, records)
				}
				slices.SortFunc(nodes, func(a, b nodeResult) int { return cmp.Compare(a.Identity, b.Identity) })
				return nodes, nil
			}
			read++
			if entry.Operation() == jetstream.KeyValuePut {
				nodes = append(nodes, readNode(entry).nodeResult)
			}
			silence.Reset(patience)
		case <-silence.C:
			return nil, m.failed(doing, context.DeadlineExceeded)
		case <-m.ctx.Done():
			return nil, m.failed(doing, m.ctx.Err())
		}
	}
}

// node reads the record of one node.
func (m *member) node(bucket jetstream.KeyValue, id identity.Identity) (*nodeRecord, error) {
	ctx, cancel := m.patience()
	defer cancel()
	entry, err := bucket.Get(ctx, id.Token())
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil, fail(exitFailed, "statecraft fleet ls lists the nodes that it knows", "the register knows no node %s", id)
	case err != nil:
		return nil, m.failed("reading the record of "+string(id), err)
	}
	n := readNode(entry)
	return &n, nil
}

// changedNode is what fleet approve --json and fleet retire --json print.
type changedNode struct {
	nodeRecord
	Changed bool `json:"changed"` // false where it was so already
}

// changeAttempts is how often a record is read again that others write meanwhile.
const changeAttempts = 10

// change sets a field of a node's record, unless it has that value, and leaves all else of it as it is.
func (m *member) change(id identity.Identity, field string, value any) (*changedNode, error) {
	bucket, _, err := m.register()
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	for range changeAttempts {
		n, err := m.node(bucket, id)
		if err != nil {
			return nil, err
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(n.Record, &fields); err != nil || fields == nil {
			return nil, fail(exitInvalid, "statecraft fleet show prints it", "the record of %s is no JSON object", id)
		}
		if string(fields[field]) == string(want) {
			return &changedNode{nodeRecord: *n}, nil
		}
		fields[field] = want
		switch err := m.put(bucket, id, fields, n.Revision); {
		case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
			continue
		case err != nil:
			return nil, m.failed("writing the record of "+string(id), err)
		}
		n, err = m.node(bucket, id)
		if err != nil {
			return nil, err
		}
		return &changedNode{nodeRecord: *n, Changed: true}, nil
	}
	return nil, fail(exitFailed, "try again", "the record of %s is written by others all the time", id)
}

func (m *member) put(bucket jetstream.KeyValue, id identity.Identity, fields map[string]json.RawMessage, revision uint64) error {
	record, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	ctx, cancel := m.patience()
	defer cancel()
	_, err = bucket.Update(ctx, id.Token(), record, revision)
	return err
}

// nodeName reads the name of a node that was given.
func nodeName(given string) (identity.Identity, error) {
	id, err := identity.Parse(given)
	if err != nil {
		return "", usage("statecraft fleet ls lists the nodes", "%w", err)
	}
	return id, nil
}
