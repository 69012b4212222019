package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// hostile are the values that a field of a document is given, as JSON.
func hostile() map[string]string {
	long, _ := json.Marshal(strings.Repeat("a", 100_000))
	return map[string]string{
		"null": `null`, "true": `true`, "a text": `"x"`, "an empty text": `""`, "a list": `["x"]`, "a mapping": `{"x": {}}`, "a negative": `-1`,
		"a fraction": `0.5`, "1e400": `1e400`, "-1e400": `-1e400`, "2^64": `18446744073709551616`, "100,000 characters": string(long),
		"100,000 digits": strings.Repeat("9", 100_000), "NUL": `"a\u0000b"`, "a raw NUL": "\"a\x00b\"", "invalid UTF-8": "\"a\xff\xfeb\"",
		"half a surrogate": `"\ud800"`, "lines": `"a\r\nPUB x 0\r\n"`, "a wildcard": `"*.>"`, "a path": `"../../etc/passwd"`,
	}
}

// documents are the forms of a document of some fields that nobody expects, and the document itself last.
func documents(fields map[string]string) map[string][]byte {
	join := func(pairs ...string) []byte { return []byte("{" + strings.Join(pairs, ",") + "}") }
	pairs := func(fields map[string]string) (all []string) {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			all = append(all, fmt.Sprintf("%q:%s", name, fields[name]))
		}
		return all
	}
	good := pairs(fields)
	all := map[string][]byte{
		"nothing": nil, "no JSON": []byte("{"), "a list": []byte("[]"), "a text": []byte(`"x"`), "a number": []byte("1"), "null": []byte("null"),
		"no field": []byte("{}"), "100,000 brackets": []byte(strings.Repeat("[", 100_000)), "100,000 mappings": []byte(strings.Repeat(`{"a":`, 100_000)),
		"a mebibyte":       bytes.Repeat([]byte("a"), 1<<20),
		"a mebibyte of 0":  make([]byte, 1<<20),
		"a million fields": []byte("{" + strings.Repeat(`"":0,`, 200_000) + `"":0}`), // as many as a message holds
		"its keys twice":   join(append(slices.Clone(good), good...)...),
		"two documents":    append(join(good...), join(good...)...),
		"invalid UTF-8":    append([]byte{0xff, 0xfe}, join(good...)...),
	}
	for name := range fields {
		for what, value := range hostile() {
			changed := maps.Clone(fields)
			changed[name] = value
			all[name+" is "+what] = join(pairs(changed)...)
		}
	}
	return all
}

// lines keeps how long the lines of a log are.
type lines struct {
	mu           sync.Mutex
	n, most, all int
	longest      string
}

// Write implements io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.all += len(line)
	if len(line) > l.most {
		l.most, l.longest = len(line), string(line[:min(len(line), 2000)])
	}
	return len(line), nil
}

// short holds what was logged: no line is made long by what a stranger sent.
func (l *lines) short(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most > 6<<10 {
		t.Errorf("a line of the log has %d bytes: %s", l.most, l.longest)
	}
	t.Logf("%d lines with %d bytes, %d the longest", l.n, l.all, l.most)
}

// as is a connection of an enrolled node's own, with nothing of ours between it and the broker. Its agent has ended.
func (m *member) as() *nats.Conn {
	m.t.Helper()
	given, err := m.store.Active()
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := m.store.Key()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.stop(); err != nil {
		m.t.Fatal(err)
	}
	conn, _ := raw(m.t, given.URLs, given.Token, key, "_INBOX."+identity.Identity(m.id).Token(), given.CA, nil)
	return conn
}

// TestBadInputOfANode sends, as an enrolled node, what nobody expects to every subject that is answered. Each gets an answer that says why;
// another node is served in between; the log stays short; and the cell takes another node afterwards.
func TestBadInputOfANode(t *testing.T) {
	c, log := loggedCell(t)
	bad, good := newMember(t, "bad.example", t.TempDir(), c.join, nil), newMember(t, "good.example", t.TempDir(), c.join, nil)
	bad.becomes("active")
	good.becomes("active")
	attacker, honest := bad.as(), good.as()
	digest := `"` + strings.Repeat("0", 64) + `"`
	for subject, fields := range map[string]map[string]string{
		"spec":    {"channels": `["default"]`, "root": `0`},
		"bundle":  {"name": digest, "bucket": `"BUNDLES"`, "offset": `0`, "length": `10`},
		"turn":    {"governor": `"g"`, "name": `"n"`},
		"confirm": {"proof": `"p"`},
		"renew":   {"token_id": `"t"`, "renewal": `"r"`, "public_key": `"k"`},
	} {
		t.Run(subject, func(t *testing.T) {
			eventually(t, "it is served", func() bool { // a cell that is new makes its buckets at this moment
				_, err := honest.Request("node.good=example.out."+subject, nil, patience)
				return !errors.Is(err, nats.ErrNoResponders)
			})
			for what, body := range documents(fields) {
				answered(t, attacker, "node.bad=example.out."+subject, what, body)
			}
			served(t, honest)
		})
	}
	t.Run("what is not answered", func(t *testing.T) {
		event := map[string]string{"specversion": `"1.0"`, "id": `"1"`, "type": `"x"`, "source": `"s"`, "subject": `"bad.example"`, "data": `{"identity": "bad.example"}`}
		inventory := map[string]string{"protocol": `"choria:registration:inventorycontent:1"`, "content": `{}`, "zcontent": `"x"`}
		for subject, fields := range map[string]map[string]string{
			"inventory": inventory, "event.lifecycle.startup.server": event, "event.machine.transition": event, "event.machine.watcher.exec.state": event,
			"gossip.choria.hoist": {"a": `1`},
		} {
			for what, body := range documents(fields) {
				if err := attacker.Publish("node.bad=example.out."+subject, body); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			if err := attacker.FlushTimeout(patience); err != nil {
				t.Fatal(err)
			}
			served(t, honest)
		}
	})
	newMember(t, "after.example", t.TempDir(), c.join, nil).becomes("active")
	log.short(t)
}

// answered asks, and holds that there is an answer.
func answered(t *testing.T, conn *nats.Conn, subject, what string, body []byte) {
	t.Helper()
	m, err := conn.Request(subject, body, patience)
	if err != nil {
		t.Errorf("%s: %s: %v", subject, what, err)
		return
	}
	code, text := m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader)
	if code == "" && !json.Valid(m.Data) && len(m.Data) > 0 || code != "" && text == "" || len(text) > 2000 {
		t.Errorf("%s: %s: the answer is %q %.200q %.100q", subject, what, code, text, m.Data)
	}
}

// served asks as a node that means well.
func served(t *testing.T, conn *nats.Conn) {
	t.Helper()
	eventually(t, "another node is served", func() bool {
		m, err := conn.Request("node.good=example.out.spec", []byte(`{"channels": ["default"], "root": 0}`), patience)
		return err == nil && m.Header.Get(micro.ErrorCodeHeader) == "" && json.Valid(m.Data)
	})
}

// loggedCell is a cell whose log is kept.
func loggedCell(t testing.TB) (*cell, *lines) {
	t.Helper()
	c, log := makeCell(t, nil), &lines{}
	c.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.run()
	return c, log
}

// TestBadInputOfAJoiner introduces itself, with nothing but a join token, in every way that nobody expects, and answers what it is asked like
// that. Others join.
func TestBadInputOfAJoiner(t *testing.T) {
	c, log := loggedCell(t)
	attacker, _, key := joining(t, c.join)
	bodies := documents(map[string]string{"token": `"x.y.z"`})
	for what, body := range bodies {
		answered(t, attacker, "enroll."+key.Public().String()+".out.hello", what, body)
	}
	newMember(t, "between.example", t.TempDir(), c.join, nil).becomes("active")
	// Those whose introduction is good are asked for an inventory and a proof.
	inventories := documents(map[string]string{"facts": `{}`, "classes": `[]`})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, what := range slices.Sorted(maps.Keys(inventories))[:12] {
		if err := badAnswers(ctx, t, c.join, fmt.Sprintf("bad%d.example", i), inventories[what]); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	newMember(t, "after.example", t.TempDir(), c.join, nil).becomes("active")
	log.short(t)
}

// badAnswers introduces a node as it should be, and answers every question with a body.
func badAnswers(ctx context.Context, t testing.TB, join, id string, body []byte) error {
	conn, _, key := joining(t, join)
	defer conn.Close()
	asked := make(chan string, 16)
	if _, err := conn.Subscribe("enroll."+key.Public().String()+".in.>", func(m *nats.Msg) {
		_ = m.Respond(body)
		select {
		case asked <- m.Subject:
		default:
		}
	}); err != nil {
		return err
	}
	document, err := json.Marshal(map[string]string{"identity": id, "public_key": key.Public().String(), "join": join})
	if err != nil {
		return err
	}
	token, err := (&identity.Signer{Key: key}).Sign(identity.Claims{
		Purpose: "hello", PublicKey: key.Public().String(), Document: document, IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		return err
	}
	hello, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return err
	}
	if _, err := conn.RequestWithContext(ctx, "enroll."+key.Public().String()+".out.hello", hello); err != nil {
		return fmt.Errorf("the introduction: %w", err)
	}
	select {
	case <-asked:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("it is asked nothing: %w", ctx.Err())
	}
}

// TestBadInputOfABroker has the overlay say to a node what nobody expects: answers to what it asks, news, an operator's words. The node keeps its
// place, its log stays short, a node beside it notices nothing, and what the true overlay says afterwards is heard.
func TestBadInputOfABroker(t *testing.T) {
	c, log := newCell(t, nil), &lines{}
	impatient := override(t, t.TempDir(), "node/deployer", "backoff: 500ms..5s, then: unanswered", "backoff: 1ms..5ms, then: unanswered")
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) {
		c.Machines = impatient
		c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	m.becomes("active")
	liar := c.operator().Conn
	if _, err := c.host.Host().Fire(t.Context(), "bundles", "drain", nil, "attacker"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the true depot is gone", func() bool {
		_, err := liar.Request("node.n9=example.out.spec", []byte(`{"channels":["default"]}`), time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
	answers := slices.Collect(maps.Values(documents(map[string]string{"specs": `{}`, "roots": `[]`, "more": `false`, "digest": `"x"`})))
	var said atomic.Int64
	lie, err := liar.Subscribe("node.*.out.spec", func(q *nats.Msg) {
		n := int(said.Add(1))
		answer := &nats.Msg{Data: answers[n%len(answers)]}
		if n%3 == 0 {
			answer = &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {strings.Repeat("4", 10_000)}, micro.ErrorHeader: {strings.Repeat("e", 100_000)}}}
		}
		_ = q.RespondMsg(answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	host := m.agent.Host()
	eventually(t, "the node has heard many answers", func() bool {
		_, _ = host.Fire(t.Context(), "deployer", "ask", nil, "test")
		return said.Load() > 40
	})
	for _, subject := range []string{
		"fleet.specs.root.2", "fleet.specs.spec.default", "node.n1=example.in.operate.x", "node.n1=example.in.turn.x",
	} {
		for what, body := range documents(map[string]string{"payload": `"eA=="`, "payloadType": `"x"`, "signatures": `[]`}) {
			if err := liar.Publish(subject, body); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	if err := errors.Join(liar.FlushTimeout(patience), lie.Unsubscribe()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.host.Host().Fire(t.Context(), "bundles", "resume", nil, "operator"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node hears the true overlay", func() bool {
		_, _ = host.Fire(t.Context(), "deployer", "ask", nil, "test")
		d, err := host.Machine(t.Context(), "deployer")
		return err == nil && slices.ContainsFunc(d.Watchers, func(w runtime.WatcherStatus) bool { return w.Name == "ask" && w.Outcome == "success" })
	})
	if m.state() != "active" {
		t.Errorf("the node is %s: %s", m.state(), m.reason())
	}
	newMember(t, "n2.example", t.TempDir(), c.join, nil).becomes("active")
	log.short(t)
}
