package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	quietNodes  = 300
	quietSettle = 75 * time.Second // nodes tell within 40 s of their start what they are, and within 10 s what has come to run
	quietFor    = 2 * time.Minute  // of rest, which are counted
	atRestBytes = 20_000           // a node and day may take in EVENTS
	alive       = "io.choria.lifecycle.v1.alive"
)

// quiet measures what a cell whose nodes are at rest stores, before and after a machine was published.
func (b *bench) quiet() (rows []row, err error) {
	count := b.sizes(quietNodes)[0]
	if err := enoughFiles(count); err != nil {
		return nil, err
	}
	err = b.inCell(decider{}, func(c *cell) error {
		rows, err = c.quiet(count)
		return err
	})
	return rows, err
}

func (c *cell) quiet(count int) (rows []row, err error) {
	conn, err := c.operator()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		return nil, err
	}
	if err := c.known(conn.Conn, 0); err != nil { // the streams are there
		return nil, err
	}
	empty, err := states(c.ctx, js)
	if err != nil {
		return nil, err
	}
	n, err := c.emulate("node", count, time.Minute+time.Duration(count)*patienceOfNode)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	if err := c.known(conn.Conn, count); err != nil {
		return nil, err
	}
	stored, joined, err := c.atRest(js, count, "nothing published")
	if err != nil {
		return nil, err
	}
	left, err := states(c.ctx, js)
	if err != nil {
		return nil, err
	}
	folder := c.path("machines", "bench")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(folder+"/machine.yaml", fmt.Appendf(nil, published, "bench"), 0o644)); err != nil {
		return nil, err
	}
	if _, err := c.output("publish", "--as", c.path("made", "operator"), folder); err != nil {
		return nil, err
	}
	more, run, err := c.atRest(js, count, "a published machine")
	each := func(of string, from, to jetstream.StreamState) row {
		return row{What: "EVENTS, " + of, Value: float64(to.Bytes-from.Bytes) / float64(count) / 1000, Unit: "kB"}
	}
	stored = append(stored, each("a node that joins", empty[0], joined[0]))
	return append(append(stored, more...), each("a node and machine that is published", left[0], run[0])), err
}

// states is how full EVENTS and DISCOVERY are.
func states(ctx context.Context, js jetstream.JetStream) (all [2]jetstream.StreamState, err error) {
	for i, name := range []string{"EVENTS", "DISCOVERY"} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return all, err
		}
		all[i] = stream.CachedInfo().State
	}
	return all, nil
}

// atRest waits until nodes are at rest, which is how full streams are before, and counts what is stored then.
func (c *cell) atRest(js jetstream.JetStream, count int, what string) (rows []row, before [2]jetstream.StreamState, err error) {
	if err := waitFor(c.ctx, quietSettle); err != nil {
		return nil, before, err
	}
	if before, err = states(c.ctx, js); err != nil {
		return nil, before, err
	}
	began := time.Now()
	if err := waitFor(c.ctx, quietFor); err != nil {
		return nil, before, err
	}
	after, err := states(c.ctx, js)
	if err != nil {
		return nil, before, err
	}
	span := time.Since(began)
	kinds, err := c.kinds(js, before[0].LastSeq+1, after[0].LastSeq)
	if err != nil {
		return nil, before, err
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(os.Stderr, "  %s, EVENTS in %s of %d nodes: %4d messages, %7d bytes: %s\n",
			what, span.Round(time.Second), count, kinds[kind].messages, kinds[kind].bytes, kind)
	}
	if after[1].Msgs > uint64(5*count) || after[1].Msgs == 0 {
		return nil, before, fmt.Errorf("DISCOVERY has %d documents of %d nodes", after[1].Msgs, count)
	}
	days := span.Hours() / 24 * float64(count)
	other := 0
	for kind, k := range kinds {
		if kind != alive {
			other += k.bytes
		}
	}
	messages := after[0].Msgs - before[0].Msgs
	if kinds[alive].messages == 0 || messages == 0 {
		return nil, before, fmt.Errorf("in %s no node of %d has said that it is there, which each does about every hour", span, count)
	}
	grown := float64(after[0].Bytes) - float64(before[0].Bytes)
	of := fmt.Sprintf(", %s nodes at rest, %s", thousands(count), what)
	rows = []row{
		row{What: "EVENTS, a node and day" + of, Value: grown / days / 1000, Unit: "kB"}.atMost(atRestBytes / 1000),
		{What: "of that, other than alive events" + of, Value: float64(other) / days / 1000, Unit: "kB"},
		{What: "24 alive events, as they are stored" + of, Value: 24 * grown / float64(messages) / 1000, Unit: "kB"},
		{What: "DISCOVERY, five documents of a node" + of, Value: 5 * float64(after[1].Bytes) / float64(after[1].Msgs) / 1000, Unit: "kB"},
	}
	return rows, before, nil
}

// kind is what was stored of one kind.
type kind struct{ messages, bytes int }

// kinds reads messages of EVENTS, and counts them by type and, of transitions, by machine and event.
func (c *cell) kinds(js jetstream.JetStream, from, to uint64) (map[string]kind, error) {
	stream, err := js.Stream(c.ctx, "EVENTS")
	if err != nil {
		return nil, err
	}
	kinds := map[string]kind{}
	for seq := from; seq <= to; seq++ {
		m, err := stream.GetMsg(c.ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var e struct {
			Type string
			Data struct{ Machine, Transition, Name string }
		}
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return nil, fmt.Errorf("message %d of EVENTS: %w", seq, err)
		}
		name := strings.Join(strings.Fields(e.Type+" "+e.Data.Machine+" "+e.Data.Transition+" "+e.Data.Name), " ")
		k := kinds[name]
		kinds[name] = kind{k.messages + 1, k.bytes + len(m.Subject) + len(m.Data)}
	}
	return kinds, nil
}
