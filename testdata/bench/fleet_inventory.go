package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/watchers/inventory"
)

const (
	inventoryNodes = 5000
	askedNodes     = 20_000
	askedRounds    = 20
	quiet          = time.Minute // that the nodes are watched doing nothing but publishing what they are
	answeredIn     = 10 * time.Second
)

// asked are questions of the kinds that there are: by a fact, by a set, by the state of a machine, by time.
func asked() []string {
	return []string{
		`facts.os.name == "debian" && facts.processors.count >= 16`,
		`facts.role in ["db", "cache"]`,
		`machines.metadata.state == "waiting"`,
		`last_seen < now() - duration("10m")`,
		`identity startsWith "node1" && get_fact("os.release.major") == "13"`,
	}
}

// inventory measures nodes that publish what they are, and questions about as many nodes as a cell has.
func (b *bench) inventory() (rows []row, err error) {
	count := b.sizes(inventoryNodes)[0]
	if err := enoughFiles(count); err != nil {
		return nil, err
	}
	err = b.inCell(decider{}, func(c *cell) error {
		rows, err = c.published(count)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%d nodes that publish: %w", count, err)
	}
	err = b.inCell(decider{}, func(c *cell) error {
		more, err := c.asked(b.sizes(askedNodes)[0])
		rows = append(rows, more...)
		return err
	})
	return rows, err
}

// operator is the connection of the cell's operator.
func (c *cell) operator() (*overlay.Connection, error) {
	client, err := overlay.OpenClient(c.path("made", "operator"))
	if err != nil {
		return nil, err
	}
	return client.Connect(c.ctx, slog.New(slog.DiscardHandler))
}

// published lets nodes join, and looks at what they cost the host that publish what they are and nothing else.
func (c *cell) published(count int) (rows []row, err error) {
	conn, err := c.operator()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	before, err := use(c.host.Process.Pid)
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
	took := time.Since(n.Last)
	if err := waitFor(c.ctx, rest); err != nil {
		return nil, err
	}
	from, err := use(c.host.Process.Pid)
	if err != nil {
		return nil, err
	}
	if err := waitFor(c.ctx, quiet); err != nil {
		return nil, err
	}
	to, err := use(c.host.Process.Pid)
	if err != nil {
		return nil, err
	}
	what := thousands(count) + " nodes that publish their inventories"
	return []row{
		{What: "all known, after the last of them has joined, " + what, Value: took.Seconds(), Unit: "s"},
		{What: "memory of the overlay host, " + what, Value: (to.resident - before.resident) / 1024, Unit: "MiB"},
		{What: "processor of the overlay host, " + what, Value: 100 * to.less(from).own.Seconds() / quiet.Seconds(), Unit: "% of a core"},
	}, nil
}

// known waits until the view has the inventories of as many nodes.
func (c *cell) known(conn *nats.Conn, count int) error {
	return until(c.ctx, fmt.Sprintf("the inventories of %d nodes", count), func() (bool, error) {
		a, err := ask(conn, inventory.Query{Limit: 1})
		return err == nil && a.Known == count, err
	})
}

// ask asks a question.
func ask(conn *nats.Conn, q inventory.Query) (*inventory.Answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	m, err := conn.Request(broker.ServiceSubject(strings.Split(conn.NewInbox(), ".")[1], "inventory"), body, answeredIn)
	if err != nil {
		return nil, err
	}
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		return nil, errors.New(text)
	}
	a := &inventory.Answer{}
	return a, json.Unmarshal(m.Data, a)
}

// asked fills the stream with the inventories of made-up nodes and asks about all of them.
func (c *cell) asked(count int) ([]row, error) {
	conn, err := c.operator()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := c.known(conn.Conn, 0); err != nil {
		return nil, err
	}
	before, err := use(c.host.Process.Pid)
	if err != nil {
		return nil, err
	}
	if err := c.fill(conn.Conn, count); err != nil {
		return nil, err
	}
	if err := c.known(conn.Conn, count); err != nil {
		return nil, err
	}
	var took []time.Duration
	for range askedRounds {
		for _, where := range asked() {
			began := time.Now()
			a, err := ask(conn.Conn, inventory.Query{Where: where, Limit: 100})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			took = append(took, time.Since(began))
			if a.Known != count || len(a.Problems) > 0 || a.Matched == count {
				return nil, fmt.Errorf("%s: %d of %d nodes, with problems %v", where, a.Matched, a.Known, a.Problems)
			}
		}
	}
	if err := waitFor(c.ctx, rest); err != nil {
		return nil, err
	}
	after, err := use(c.host.Process.Pid)
	if err != nil {
		return nil, err
	}
	what := "a question about the inventories of " + thousands(count) + " nodes, "
	return []row{
		{What: what + "p50", Value: quantile(took, 50), Unit: "ms"},
		row{What: what + "p99", Value: quantile(took, 99), Unit: "ms"}.atMost(1000),
		{What: "memory of the overlay host, inventories of " + thousands(count) + " nodes", Value: (after.resident - before.resident) / 1024, Unit: "MiB"},
	}, nil
}

// fill stores a document a node, as the adapter does.
func (c *cell) fill(conn *nats.Conn, count int) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range count {
		id := fmt.Sprintf("node%d.example", i)
		doc, err := madeUp(random, i)
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]any{
			"protocol": "choria:adapters:choria_streams:output:1", "data": doc, "sender": id, "time": time.Now().UTC().Format(time.RFC3339Nano),
			"requestid": fmt.Sprintf("%032x", i),
		})
		if err != nil {
			return err
		}
		if _, err := js.PublishAsync("discovery."+fmt.Sprintf("node%d=example", i), body); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// madeUp is an inventory of about 5 KB, of which every node has other numbers.
func madeUp(random *rand.Rand, i int) (string, error) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	facts := map[string]any{
		"os":         map[string]any{"name": pick("debian", "almalinux", "ubuntu"), "family": "linux", "release": map[string]any{"major": pick("12", "13", "9"), "full": "13.2"}},
		"processors": map[string]any{"count": 1 << random.IntN(7), "model": "a processor"}, "role": pick("web", "db", "cache", "queue"),
		"memory": map[string]any{"system": map[string]any{"total_bytes": random.Int64N(1 << 38)}}, "serial": random.Uint64(),
	}
	interfaces := map[string]any{}
	for n := range 24 {
		interfaces[fmt.Sprintf("eth%d", n)] = map[string]any{
			"ip": fmt.Sprintf("10.%d.%d.%d", n, i>>8&255, i&255), "mac": fmt.Sprintf("02:00:00:%02x:%02x:%02x", n, i>>8&255, i&255), "mtu": 1500,
			"speed": 10_000, "up": random.IntN(10) > 0, "ip6": fmt.Sprintf("2001:db8::%x:%x", n, i),
		}
	}
	facts["networking"] = map[string]any{"hostname": fmt.Sprintf("node%d", i), "interfaces": interfaces}
	machines := map[string]any{}
	for _, name := range []string{"enrollment", "heartbeat", "health", "deployer", "inventory", "metadata"} {
		machines[name] = map[string]any{"version": "1.0." + pick("0", "1"), "state": pick("active", "waiting", "idle"), "digest": fmt.Sprintf("%064x", random.IntN(4))}
	}
	content, err := json.Marshal(map[string]any{"agents": []string{}, "classes": []string{pick("red", "green")}, "facts": facts, "status": map[string]any{}, "collectives": []string{"main"},
		"build_info": map[string]any{"version": "0.1.0"}, "machines": machines})
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(content)
	if err := errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	doc, err := json.Marshal(map[string]any{"protocol": "choria:registration:inventorycontent:1", "zcontent": base64.StdEncoding.EncodeToString(packed.Bytes())})
	return string(doc), err
}
