package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/inventory"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// scripted is what a view says to one question after the other.
type scripted struct {
	code, text string
	answer     inventory.Answer
}

// view answers questions about inventories in turn, and returns the questions.
func (c *fleetCell) view(script ...scripted) (asked func() []inventory.Query) {
	c.t.Helper()
	var mu sync.Mutex
	var queries []inventory.Query
	sub, err := c.admin.Subscribe(broker.ServiceSubject("*", "inventory"), func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		var q inventory.Query
		if err := json.Unmarshal(m.Data, &q); err != nil || len(queries) == len(script) {
			c.t.Errorf("it asks %s (%v)", m.Data, err)
			return
		}
		s := script[len(queries)]
		queries = append(queries, q)
		body, err := json.Marshal(s.answer)
		reply := &nats.Msg{Subject: m.Reply, Data: body, Header: nats.Header{}}
		if s.code != "" {
			reply.Header.Set(micro.ErrorCodeHeader, s.code)
			reply.Header.Set(micro.ErrorHeader, s.text)
		}
		if err != nil || m.RespondMsg(reply) != nil {
			c.t.Error(err)
		}
	})
	if err == nil {
		err = c.admin.Flush()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return func() []inventory.Query {
		if err := sub.Unsubscribe(); err != nil {
			c.t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return queries
	}
}

// held is what the tests' view answers of a node.
func held(id string, fields map[string]string) inventory.Node {
	n := inventory.Node{Identity: id, LastSeen: time.Unix(1767610800, 0).UTC(), Digest: strings.Repeat("ab", 32), Fields: map[string]json.RawMessage{}}
	for path, raw := range fields {
		n.Fields[path] = json.RawMessage(raw)
	}
	return n
}

// prints holds an answer of a verb that ended well, and what the view was asked.
func (a verbAnswer) prints(t *testing.T, table string, asked []inventory.Query, want ...inventory.Query) {
	t.Helper()
	if diff := cmp.Diff(table, a.out); a.code != exitOK || diff != "" {
		t.Errorf("exit code %d, -want +got\n%s\n%s", a.code, diff, a.errs)
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("it asks, -want +got\n%s", diff)
	}
}

func TestFleetInventoryPrintsATable(t *testing.T) {
	c := newFleetCell(t)
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	fields := map[string]string{"facts.os.name": `"debian"`, "facts.os.release.full": "12.5", "status.machines": "4"}
	asked := c.view(
		scripted{code: messaging.CodeBusy, text: "the stream is being read"},
		scripted{answer: inventory.Answer{Known: 3, Matched: 2, Next: "n1.example", Problems: map[string]int{"it has no rack": 1}, Nodes: []inventory.Node{held("n1.example", fields)}}},
		scripted{answer: inventory.Answer{Known: 3, Matched: 2, Nodes: []inventory.Node{held("n2.example", nil)}}},
	)
	v := &fleetInventoryVerb{contextFlags: as, whereFlag: whereFlag{Where: "true"}}
	a := answer(t, v, false)
	first := inventory.Query{Where: "true", Fields: usualFields()}
	next := first
	next.After = "n1.example"
	a.prints(t, `NODE        LAST SEEN             DIGEST        OS      RELEASE  MACHINES
n1.example  2026-01-05 11:00:00Z  abababababab  debian  12.5     4
n2.example  2026-01-05 11:00:00Z  abababababab  -       -        -
`, asked(), first, first, next)
	a.wants(t, exitOK, "of 1 node it cannot be said: it has no rack")

	asked = c.view(scripted{answer: inventory.Answer{Known: 1, Matched: 1, Nodes: []inventory.Node{held("n1.example", map[string]string{"facts.rack": `{"a":[1]}`})}}})
	answer(t, &fleetInventoryVerb{contextFlags: as, Fields: []string{"facts.rack"}}, false).prints(t, `NODE        LAST SEEN             DIGEST        facts.rack
n1.example  2026-01-05 11:00:00Z  abababababab  {"a":[1]}
`, asked(), inventory.Query{Fields: []string{"facts.rack"}})

	asked = c.view(scripted{})
	answer(t, &fleetInventoryVerb{contextFlags: as}, false).wants(t, exitOK, "no node has published its inventory yet")
	asked()
	asked = c.view(scripted{answer: inventory.Answer{Known: 7}})
	answer(t, &fleetInventoryVerb{contextFlags: as}, false).wants(t, exitOK, "it holds for none of 7 nodes")
	asked()
}

func TestFleetInventoryOfOneNode(t *testing.T) {
	c := newFleetCell(t)
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	n1 := held("n1.example", nil)
	n1.Document = json.RawMessage(`{"facts":{"a":1}}`)
	one := scripted{answer: inventory.Answer{Known: 3, Matched: 1, Nodes: []inventory.Node{n1}}}
	asked := c.view(one)
	v := &fleetInventoryVerb{contextFlags: as, Node: "n1.example"}
	answer(t, v, false).prints(t, "{\n  \"facts\": {\n    \"a\": 1\n  }\n}\n", asked(), inventory.Query{Node: "n1.example", Document: true})
	asked = c.view(one)
	var result inventoryResult
	answer(t, v, true).decode(t, &result)
	asked()
	if diff := cmp.Diff(map[string]any{"facts": map[string]any{"a": 1.0}}, result.Nodes[0].Inventory); diff != "" || result.Known != 3 {
		t.Errorf("%+v, -want +got\n%s", result, diff)
	}
	v.Where = "true"
	answer(t, v, false).wants(t, exitUsage, "a node and --where do not go together")
	answer(t, &fleetInventoryVerb{contextFlags: as, Node: "N 1"}, false).wants(t, exitUsage)
}

func TestFleetMachinesSaysWhoRunsWhat(t *testing.T) {
	c := newFleetCell(t)
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	sums := scripted{answer: inventory.Answer{Known: 3, Matched: 3, Machines: []inventory.MachineInUse{
		{Name: "web", Version: "1.0.0", Digest: strings.Repeat("cd", 32), State: "running", Nodes: 2}, {Name: "web", Version: "0.9.0", Nodes: 1},
	}}}
	asked := c.view(sums)
	answer(t, &fleetMachinesVerb{contextFlags: as}, false).prints(t, `MACHINE  VERSION  STATE    DIGEST        NODES
web      1.0.0    running  cdcdcdcdcdcd  2
web      0.9.0    -        -             1
`, asked(), inventory.Query{Machines: "*"})

	v := &fleetMachinesVerb{contextFlags: as, whereFlag: whereFlag{Where: "true // all"}, Nodes: true, Machine: "web"}
	runs := scripted{answer: inventory.Answer{Known: 3, Matched: 1, Nodes: []inventory.Node{
		held("n1.example", map[string]string{"machines": `{"web":{"version":"1.0.0","state":"running","digest":"cd"},"other":{}}`}),
	}}}
	asked = c.view(sums, runs)
	answer(t, v, false).prints(t, `NODE        VERSION  STATE    DIGEST  LAST SEEN
n1.example  1.0.0    running  cd      2026-01-05 11:00:00Z
`, asked(), inventory.Query{Where: "true // all", Machines: "web"},
		inventory.Query{Where: "machines[\"web\"] != nil && (true // all\n)", Fields: []string{"machines"}})
	asked = c.view(sums, runs)
	var result machinesResult
	answer(t, v, true).decode(t, &result)
	asked()
	if len(result.Machines) != 2 || len(result.Nodes) != 1 || result.Nodes[0].State != "running" || result.Nodes[0].Identity != "n1.example" {
		t.Errorf("%+v", result)
	}

	for text, s := range map[string]scripted{
		"no node has published its inventory yet": {},
		"none of 3 nodes ran web when it told its inventory last, which takes up to 15 s; statecraft fleet machines lists what they run": {answer: inventory.Answer{Known: 5, Matched: 3}},
	} {
		asked = c.view(s)
		answer(t, &fleetMachinesVerb{contextFlags: as, Machine: "web"}, false).wants(t, exitOK, text)
		asked()
	}
	answer(t, &fleetMachinesVerb{contextFlags: as, Nodes: true}, false).wants(t, exitUsage, "--nodes takes a machine")
}

func TestFleetLsWhere(t *testing.T) {
	c := newHostedCell(t)
	c.without("inventory")
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	for _, id := range []string{"n1.example", "n2.example", "n3.example"} {
		c.record(identity.Identity(id), nodeFields(id, "active"))
	}
	v := &fleetLsVerb{contextFlags: as, whereFlag: whereFlag{Where: `facts.os.name == "debian"`}}
	asked := c.view(scripted{answer: inventory.Answer{Known: 2, Matched: 1, Nodes: []inventory.Node{held("n2.example", nil)}}})
	a := answer(t, v, false)
	a.prints(t, `NODE        STATE   CELL  RENEWED               OWNER
n2.example  active  main  2026-01-05 11:00:00Z  overlay1
`, asked(), inventory.Query{Where: v.Where})
	a.wants(t, exitOK, "1 node of the register has published no inventory and is left out")
	asked = c.view(scripted{answer: inventory.Answer{Known: 3}})
	answer(t, v, false).wants(t, exitOK, "it holds for none of 3 nodes")
	asked()
}

func TestFleetQuestionsThatAreNotAnswered(t *testing.T) {
	c := newFleetCell(t)
	v := &fleetInventoryVerb{contextFlags: contextFlags{As: c.client("viewer", "fleet_view")}}
	answer(t, v, false).wants(t, exitUnreachable, "asking the cell's service inventory: no host of the cell answers", "hosts of an earlier release")
	for _, tt := range []struct {
		code, text string
		exit       int
		hint       string
	}{
		{messaging.CodeUnreadable, "where: unexpected token", exitInvalid, "docs/inventory.md says what a condition sees"},
		{messaging.CodeNotFound, "n1.example is not known", exitFailed, "a node publishes its inventory"},
		{"500", "no idea", exitFailed, "(code 500)"},
	} {
		asked := c.view(scripted{code: tt.code, text: tt.text})
		answer(t, v, false).wants(t, tt.exit, tt.text, tt.hint)
		asked()
	}
	answer(t, &fleetInventoryVerb{contextFlags: contextFlags{As: c.client("revoker", "token_revoke")}}, false).wants(t, exitRefused, "--right fleet_view")
}
