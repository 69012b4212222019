package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

const (
	floodFor   = time.Minute
	floodBrief = 30 * time.Second // the life of a node's first token: whoever renews does so while it floods
	floodNode  = "member.example"
	floodGoal  = 2000 // ms from the revocation to the end of the flooder's session
	floodLeast = 5000 // messages, or it was no flood
)

// flood measures what one node makes of a cell that publishes for a minute to every subject that it may publish to: another joins, a third renews
// its token, an operator publishes a machine, and the flooder is revoked, all beside it.
func (b *bench) flood() (rows []row, err error) {
	err = b.inCell(decider{brief: floodBrief}, func(c *cell) error { rows, err = (&attack{cell: c}).flooded(); return err })
	return rows, err
}

// brief gives the host a machine enrollee whose first tokens do not last.
func (c *cell) brief(lasts time.Duration) error {
	const lifetime = "lifetime: 24h"
	src, err := manifests.Files.ReadFile("overlay/enrollee.yaml")
	if err != nil {
		return err
	}
	if !bytes.Contains(src, []byte(lifetime)) {
		return fmt.Errorf("the machine enrollee has no %q", lifetime)
	}
	dir := c.path("machines")
	text := bytes.Replace(src, []byte(lifetime), []byte("lifetime: "+lasts.String()), 1)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "enrollee.yaml"), text, 0o600)); err != nil {
		return err
	}
	configs, err := filepath.Glob(c.path("made", "hosts", "*", "overlay.yaml"))
	if err != nil || len(configs) != 1 {
		return errors.Join(fmt.Errorf("%d hosts have a configuration", len(configs)), err)
	}
	file, err := os.OpenFile(configs[0], os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "machines: %q\n", dir)
	return errors.Join(err, file.Close())
}

// flooded lets the first node flood, and measures the others.
func (a *attack) flooded() (rows []row, err error) {
	third := a.path("third")
	end, err := a.both(third)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	before, err := a.look()
	if err != nil {
		return nil, err
	}
	conn, err := a.session()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var sent, bytesSent atomic.Int64
	began := time.Now()
	go a.publishAll(conn, &sent, &bytesSent)
	first, err := expires(third)
	if err != nil {
		return nil, err
	}
	honest, err := a.emulate("honest", 1, 3*time.Minute)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, honest.end()) }()
	publication, err := a.publication()
	if err != nil {
		return nil, err
	}
	err = until(a.ctx, "the third node to renew its token", func() (bool, error) {
		now, err := expires(third)
		return now.After(first), err
	})
	if err != nil {
		return nil, err
	}
	if err := waitFor(a.ctx, floodFor-time.Since(began)); err != nil {
		return nil, err
	}
	if !conn.IsConnected() {
		return nil, errors.New("the flooder was disconnected before it was revoked")
	}
	lasted := time.Since(began)
	after, err := a.look()
	if err != nil {
		return nil, err
	}
	ended, err := a.revoked(conn)
	if err != nil {
		return nil, err
	}
	a.over()
	if sent.Load() < floodLeast {
		return nil, fmt.Errorf("the flooder has sent %d messages within %s, which is no flood", sent.Load(), lasted)
	}
	return []row{
		{What: "one node floods for a minute: messages that it sends", Value: float64(sent.Load()) / lasted.Seconds(), Unit: "/s"},
		{What: "the same, bytes", Value: float64(bytesSent.Load()) / lasted.Seconds() / (1 << 20), Unit: "MiB/s"},
		{What: "another joins meanwhile", Value: honest.Seconds, Unit: "s"},
		{What: "publish meanwhile, the command", Value: publication.Seconds(), Unit: "s"},
		row{What: "token revoke to the end of the flooder's session, the command included", Value: float64(ended.Milliseconds()), Unit: "ms"}.atMost(floodGoal),
		row{What: "growth of the host within the minute", Value: after.usage.resident - before.usage.resident, Unit: "KiB"}.atMost(hostileGrowth),
	}, nil
}

// both starts the flooder, whose token outlasts the minute, and a third node, which renews its own within it. It returns what ends them.
func (a *attack) both(third string) (end func() error, err error) {
	member, err := a.settle()
	if err != nil {
		return nil, err
	}
	err = until(a.ctx, "a token of the flooder that outlasts the minute", func() (bool, error) {
		ends, err := expires(a.path("member"))
		return time.Until(ends) > 2*floodFor, err
	})
	if err != nil {
		return nil, errors.Join(err, member.end())
	}
	renews, err := launch(a.command(a.ctx, "node", "run", "--join", a.path("made", "join.jwt"), "--state", third, "--identity", "third.example"),
		"the third node", a.path("third.log"))
	if err != nil {
		return nil, errors.Join(err, member.end())
	}
	end = func() error { return errors.Join(member.end(), renews.end()) }
	if err := until(a.ctx, "two nodes", func() (bool, error) { n, err := a.registered(); return n == 2, err }); err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// revoked revokes the flooder, and returns how long its session lasted from then on, the command included.
func (a *attack) revoked(conn *nats.Conn) (time.Duration, error) {
	began := time.Now()
	if _, err := a.output("token", "revoke", "--as", a.path("made", "operator"), "--identity", floodNode, "--reason", "bench"); err != nil {
		return 0, err
	}
	err := until(a.ctx, "the end of the flooder's session", func() (bool, error) { return !conn.IsConnected(), nil })
	return time.Since(began), err
}

// expires is when the active token of a node ends.
func expires(dir string) (time.Time, error) {
	active, err := identity.ViewStore(filepath.Join(dir, "identity")).Active()
	if err != nil {
		return time.Time{}, err
	}
	claims, err := identity.Inspect(active.Token)
	if err != nil {
		return time.Time{}, err
	}
	return claims.Expires, nil
}

// publication publishes a machine, and returns how long that took.
func (a *attack) publication() (time.Duration, error) {
	folder := a.path("published")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(folder+"/machine.yaml", fmt.Appendf(nil, published, "flooded"), 0o600)); err != nil {
		return 0, err
	}
	began := time.Now()
	_, err := a.output("publish", "--as", a.path("made", "operator"), folder)
	return time.Since(began), err
}

// session opens a session as the first node.
func (a *attack) session() (*nats.Conn, error) {
	key, err := a.member.Key()
	if err != nil {
		return nil, err
	}
	active, err := a.member.Active()
	if err != nil {
		return nil, err
	}
	trust, err := identity.CATLS(active.CA)
	if err != nil {
		return nil, err
	}
	return nats.Connect(active.URLs[0], nats.Token(active.Token), nats.Secure(trust), nats.Nkey(key.Public().NKey(), func(nonce []byte) ([]byte, error) {
		return key.Sign(nonce), nil
	}), nats.NoReconnect(), nats.Timeout(30*time.Second), nats.CustomInboxPrefix("_INBOX."+inboxOf(floodNode)))
}

func inboxOf(node string) string { return strings.ReplaceAll(node, ".", "=") }

// publishAll publishes to every subject that a node may publish to, again and again, until the connection ends or the attack does.
func (a *attack) publishAll(conn *nats.Conn, sent, bytesSent *atomic.Int64) {
	token := inboxOf(floodNode)
	publish := func(suffix string, body []byte) error {
		err := conn.PublishMsg(&nats.Msg{Subject: "node." + token + ".out." + suffix, Reply: "_INBOX." + token + ".flood", Data: body})
		if err == nil {
			sent.Add(1)
			bytesSent.Add(int64(len(body)))
		}
		return err
	}
	messages := floods()
	for round := 0; !a.isOver(); round++ {
		for suffix, body := range messages {
			many := 20
			if len(body) > 100_000 {
				many = 1
			}
			for range many {
				if publish(suffix, body) != nil {
					return
				}
			}
		}
		turn := fmt.Appendf(nil, `{"governor": "made_up_%d", "name": "made_up_%d"}`, round, round)
		if publish("turn", turn) != nil || conn.FlushTimeout(30*time.Second) != nil {
			return
		}
	}
}

// floods are messages by the end of their subject.
func floods() map[string][]byte {
	event := func(kind string) []byte {
		text, _ := json.Marshal(map[string]any{ // which has nothing that cannot be written
			"specversion": "1.0", "id": kind, "type": kind, "source": "flood", "subject": floodNode, "datacontenttype": "application/json",
			"data": map[string]any{"identity": floodNode, "text": strings.Repeat("x", 8000)},
		})
		return text
	}
	return map[string][]byte{
		"event.lifecycle.startup.server":    event("io.choria.lifecycle.v1.startup"),
		"event.machine.transition":          event("io.choria.machine.v1.transition"),
		"event.machine.watcher.timer.state": event("io.choria.machine.watcher.timer.v1.state"),
		"inventory":                         bytes.Repeat([]byte("x"), 60_000),
		"spec":                              []byte(`{"channels": ["default"], "root": 0}`),
		"bundle":                            []byte(`{"name": "x", "bucket": "BUNDLES", "offset": 0, "length": 262144}`),
		"confirm":                           []byte(`{"proof": "made up"}`),
		"renew":                             []byte(`{"token_id": "made up", "renewal": "made up", "public_key": "made up"}`),
		"event.lifecycle.shutdown.server":   bytes.Repeat([]byte("x"), 900_000),
		"something.that.nobody.listens.to":  bytes.Repeat([]byte("x"), 100),
	}
}
