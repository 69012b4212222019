package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// headsStream is the cell's stream of signed heads of journals, one subject a node or host below headsSubject.
const (
	headsStream  = "HEADS"
	headsSubject = "heads."
)

// traceHeadsVerb prints the heads that the cell has.
type traceHeadsVerb struct {
	contextFlags
	Node string `arg:"" help:"The node, or the host of the cell, whose journal it is."`
}

// headsResult is what trace heads --json prints.
type headsResult struct {
	Node  string       `json:"node"`
	Heads []headResult `json:"heads"` // the oldest first
}

// headResult is a signed head, in trace heads --json and trace verify --json.
type headResult struct {
	At time.Time `json:"at"` // by the clock of who signed
	// Stored is when the cell took it, by the clock of a host.
	Stored  *time.Time `json:"stored,omitempty"`
	Key     string     `json:"key"`
	Log     string     `json:"log"`
	Segment uint64     `json:"segment"`
	Size    int64      `json:"size"`
	Sum     string     `json:"sum"`
}

func showHead(h evidence.Signed) headResult {
	r := headResult{At: h.At, Key: h.Key.String(), Log: h.Log, Segment: h.Segment, Size: h.Size, Sum: h.Sum}
	if !h.Stored.IsZero() {
		r.Stored = &h.Stored
	}
	return r
}

// Run prints one signed head a line, the oldest first.
func (v *traceHeadsVerb) Run(inv *invocation) error {
	heads, _, err := v.published(inv, v.Node)
	if err != nil {
		return err
	}
	if inv.json {
		list := []headResult{}
		for _, h := range heads {
			list = append(list, showHead(h))
		}
		return inv.printJSON(headsResult{Node: v.Node, Heads: list})
	}
	for _, h := range heads {
		inv.printf("%s\n", h.Envelope)
	}
	return nil
}

// published asks the cell for the heads that a node or a host has told it, the oldest first, and for the node's key: zero where the register has
// none, as for hosts. Only whose journal it is can have told them: the broker lets nobody else publish there.
func (f contextFlags) published(inv *invocation, node string) (heads []evidence.Signed, key identity.PublicKey, err error) {
	id, err := nodeName(node)
	if err != nil {
		return nil, key, err
	}
	m, err := f.connect(inv, broker.RightEventsRead)
	if err != nil {
		return nil, key, err
	}
	defer m.close()
	texts, err := m.heads(id)
	if err != nil {
		return nil, key, m.failed("asking for the signed heads of "+node, err)
	}
	for _, text := range texts {
		h, err := evidence.Open(text.envelope)
		if err == nil && h.Identity != string(id) {
			err = fmt.Errorf("it is of the journal of %s", h.Identity)
		}
		if err != nil {
			inv.notef("a head that %s told is passed over: %v", node, err)
			continue
		}
		h.Stored = text.stored
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, key, fail(exitFailed, "nodes tell one when they start, and every six hours; the machine evidence of the node and of the hosts says how that went, "+
			"and releases before this one have none", "the cell has no signed head of a journal of %s", node)
	}
	if m.has("fleet_view") || m.has("admin") {
		if n, err := m.node(id); err == nil {
			key, _ = identity.ParsePublicKey(n.PublicKey)
		}
	}
	return heads, key, nil
}

// storedHead is a head as the stream has it.
type storedHead struct {
	envelope []byte
	stored   time.Time
}

// heads reads the stream of heads, by the service that serves consumers.
func (m *member) heads(id identity.Identity) (texts []storedHead, err error) {
	js, err := jetstream.NewWithAPIPrefix(m.Conn, broker.ServiceSubject(m.key, broker.ConsumersService))
	if err != nil {
		return nil, err
	}
	ctx, cancel := m.patience()
	defer cancel()
	consumer, err := js.CreateOrUpdateConsumer(ctx, headsStream, jetstream.ConsumerConfig{
		FilterSubject: headsSubject + id.Token(), AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(ctx, headsStream, consumer.CachedInfo().Name) // it goes by itself within a minute
	}()
	for left := consumer.CachedInfo().NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, 100)), jetstream.FetchMaxWait(patience/2))
		if err != nil {
			return nil, err
		}
		n := uint64(0)
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return nil, err
			}
			texts = append(texts, storedHead{bytes.Clone(msg.Data()), meta.Timestamp.UTC()})
			n++
		}
		if err := batch.Error(); err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, context.DeadlineExceeded
		}
		left -= min(left, n)
	}
	return texts, nil
}

// readHeads reads a file of signed heads, one a line, as trace heads prints them. Whose they are is in each; the key must be the same in all.
func (inv *invocation) readHeads(files []string) (heads []evidence.Signed, err error) {
	for _, file := range files {
		text, err := inv.readFile(file)
		if err != nil {
			return nil, usage("name a file that statecraft trace heads NODE has printed", "reading signed heads: %w", err)
		}
		line, known := 0, len(heads)
		for text := range strings.Lines(string(text)) {
			line++
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			h, err := evidence.Open([]byte(text))
			if err != nil {
				return nil, fail(exitRefused, "take the heads from somebody whom you trust, such as the cell: statecraft trace heads NODE", "%s:%d: %w", file, line, err)
			}
			heads = append(heads, h)
		}
		if len(heads) == known {
			return nil, usage("name a file that statecraft trace heads NODE has printed", "%s holds no signed head", file)
		}
	}
	slices.SortStableFunc(heads, func(a, b evidence.Signed) int { return a.At.Compare(b.At) })
	return heads, nil
}
