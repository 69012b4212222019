package node_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// governed makes a cell with two nodes and machines m0 to m19 under the governor slow, which no node is to run, and returns a raw connection of
// each node. So many may have their turn at once.
func governed(t *testing.T, capacity int) (c *cell, greedy, honest *nats.Conn) {
	t.Helper()
	machines := override(t, t.TempDir(), "overlay/turn", "capacity: 50", fmt.Sprintf("capacity: %d", capacity))
	c = newCell(t, func(o *overlay.InitOptions) { o.Machines = machines })
	s := openShop(t, c)
	var entries []registry.Entry
	for i := range 20 {
		e := s.stock(web("1.0.0"))
		e.Name, e.Governor, e.Match = fmt.Sprintf("m%d", i), "slow", "false"
		entries = append(entries, e)
	}
	s.publish(entries...)
	conns := map[string]*nats.Conn{}
	for _, id := range []string{"n1.example", "n2.example"} {
		m := newMember(t, id, t.TempDir(), c.join, nil)
		m.becomes("active")
		given, err := m.store.Active()
		if err != nil {
			t.Fatal(err)
		}
		key, err := m.store.Key()
		if err != nil {
			t.Fatal(err)
		}
		conns[id], _ = raw(t, given.URLs, given.Token, key, "_INBOX."+strings.ReplaceAll(id, ".", "="), given.CA, nil)
	}
	eventually(t, "the host knows what is published", func() bool {
		bundles, err := c.host.Host().Machine(t.Context(), "bundles")
		of, _ := bundles.Data["governed"].(map[string]any)
		names, _ := of["slow"].([]any)
		return err == nil && len(names) == 20
	})
	return c, conns["n1.example"], conns["n2.example"]
}

// askTurn asks for a turn as a node does, whose session keeps its inbox, and returns the code of the error, "" for none.
func askTurn(t *testing.T, conn *nats.Conn, token, governor, name string) string {
	t.Helper()
	m, err := conn.Request("node."+token+".out.turn", fmt.Appendf(nil, `{"governor": %q, "name": %q}`, governor, name), patience)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get("Nats-Service-Error-Code")
}

// turnsOf are the states of a node's turns, by what the turn is for.
func turnsOf(c *cell, token string) map[string]string {
	states := map[string]string{}
	for _, m := range c.host.Host().Machines() {
		if name, is := strings.CutPrefix(m.Name, "turn:"+token+"/"); is {
			states[name] = m.State
		}
	}
	return states
}

// TestH73OneNodeTakesOnePlaceOfAGovernor has a node ask for a turn for each of ten machines under a governor with four places. It has one of them, and
// another node gets its turn at once.
func TestH73OneNodeTakesOnePlaceOfAGovernor(t *testing.T) {
	c, greedy, honest := governed(t, 4)
	for i := range 10 {
		if code := askTurn(t, greedy, "n1=example", "slow", fmt.Sprintf("m%d", i)); code != "" {
			t.Fatalf("the turn for m%d is answered with %s", i, code)
		}
	}
	granted := func() (n int) {
		for _, state := range turnsOf(c, "n1=example") {
			if state == "granted" {
				n++
			}
		}
		return n
	}
	eventually(t, "the node has a turn", func() bool { return granted() > 0 })
	told, err := honest.SubscribeSync("node.n2=example.in.turn.m0")
	if err != nil {
		t.Fatal(err)
	}
	if code := askTurn(t, honest, "n2=example", "slow", "m0"); code != "" {
		t.Fatalf("an honest node is answered with %s", code)
	}
	if _, err := told.NextMsg(patience); err != nil {
		t.Errorf("an honest node's turn: %v; of the other: %v", err, turnsOf(c, "n1=example"))
	}
	if n := granted(); n != 1 {
		t.Errorf("one node has %d turns of a governor at once: %v", n, turnsOf(c, "n1=example"))
	}
	// Who gives a turn back has the next one.
	for name, state := range turnsOf(c, "n1=example") {
		if state == "granted" {
			_, of, _ := strings.Cut(name, "/")
			if err := greedy.Publish("node.n1=example.out.turn."+of, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "its next has its turn", func() bool { return len(turnsOf(c, "n1=example")) == 9 && granted() == 1 })
}

// TestH73TurnsAreForWhatIsPublished has a node ask for 2,100 turns under names that it makes up, and of machines that are under no such governor. It
// gets none, and another node gets its turn at once.
func TestH73TurnsAreForWhatIsPublished(t *testing.T) {
	c, greedy, honest := governed(t, 50)
	answers, err := greedy.SubscribeSync("_INBOX.n1=example.turns")
	if err != nil {
		t.Fatal(err)
	}
	const asked = 2100
	for i := range asked {
		body := fmt.Appendf(nil, `{"governor": "g%d", "name": "m%d"}`, i%300, i)
		if i%3 == 0 {
			body = fmt.Appendf(nil, `{"governor": "slow", "name": "b%d"}`, i)
		}
		if err := greedy.PublishRequest("node.n1=example.out.turn", "_INBOX.n1=example.turns", body); err != nil {
			t.Fatal(err)
		}
	}
	counts := map[string]int{}
	for range asked {
		m, err := answers.NextMsg(patience)
		if err != nil {
			t.Fatalf("answers: %v: %v", counts, err)
		}
		counts[m.Header.Get("Nats-Service-Error-Code")]++
	}
	if counts["429"] < asked-110 || counts["403"] == 0 || counts["403"]+counts["429"] != asked {
		t.Errorf("answers: %v", counts)
	}
	if states := turnsOf(c, "n1=example"); len(states) > 0 {
		t.Errorf("turns for what nobody has published: %v", states)
	}
	told, err := honest.SubscribeSync("node.n2=example.in.turn.m0")
	if err != nil {
		t.Fatal(err)
	}
	if code := askTurn(t, honest, "n2=example", "slow", "m0"); code != "" {
		t.Fatalf("an honest node is answered with %s", code)
	}
	if _, err := told.NextMsg(patience); err != nil {
		t.Errorf("an honest node's turn: %v", err)
	}
}
