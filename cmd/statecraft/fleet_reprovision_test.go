package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func accepts(m *nats.Msg) error { return m.Respond([]byte(`{"accepted": true}`)) }

func TestFleetReprovision(t *testing.T) {
	c := newHostedCell(t)
	for _, id := range []identity.Identity{"db1.example", "web1.example", "web2.example", "web3.example"} {
		c.record(id, nodeFields(string(id), "active"))
	}
	c.record("web9.example", nodeFields("web9.example", "retired"))
	first := c.responder("web1=example", accepts)
	second := c.responder("web2=example", func(m *nats.Msg) error {
		reply := &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {"403"}, micro.ErrorHeader: {"not now"}}}
		return m.RespondMsg(reply)
	})
	as := contextFlags{As: c.client("alice", "fleet_operate", "fleet_view")}

	all := fleetReprovisionVerb{contextFlags: as, Match: "web*", Rate: "100/s", Reason: "moved"}
	answer(t, &all, false).wants(t, exitUsage, "3 nodes would enroll again, web1.example to web3.example", "--yes")
	if n := len(first()) + len(second()); n != 0 {
		t.Fatalf("%d nodes were told before it was confirmed", n)
	}
	all.Yes = true
	a := answer(t, &all, true)
	a.wants(t, exitPartial, "2 of 3 nodes did not accept")
	var r reprovisionResult
	a.decode(t, &r)
	want := reprovisionResult{Asked: 3, Accepted: 1, Refused: 1, Unreachable: 1, Nodes: []reprovisioning{
		{Identity: "web1.example", Outcome: "accepted"}, {Identity: "web2.example", Outcome: "refused", Message: "not now"},
		{Identity: "web3.example", Outcome: "unreachable"},
	}}
	unreached := cmpopts.IgnoreFields(reprovisioning{}, "Message")
	if diff := cmp.Diff(want, r, unreached); diff != "" || r.Nodes[1].Message != "not now" {
		t.Errorf("-want +got\n%s", diff)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(first()[0]), &body); err != nil {
		t.Fatal(err)
	}
	// The key is the one that she logged in with, whatever she calls herself.
	if m := c.opened("carol", "fleet_operate"); body["reason"] != "moved" || !strings.HasPrefix(body["by"], "alice (U") || strings.Contains(body["by"], m.key) {
		t.Errorf("a node is told %v", body)
	}

	one := func(nodes ...string) *fleetReprovisionVerb {
		return &fleetReprovisionVerb{contextFlags: as, Rate: "10/s", Nodes: nodes}
	}
	answer(t, one("web1.example", "web1.example"), false).wants(t, exitOK, "1 of 1 node accepted")
	answer(t, one("web2.example"), false).wants(t, exitRefused, "web2.example  refused: not now")
	answer(t, one("db1.example"), false).wants(t, exitUnreachable, "db1.example  unreachable: ")
	none := fleetReprovisionVerb{contextFlags: as, Match: "mail*", Rate: "10/s"}
	answer(t, &none, false).wants(t, exitFailed, "no node is meant")
	for _, wrong := range []fleetReprovisionVerb{
		{Rate: "10/s"}, {Rate: "10/s", All: true, Nodes: []string{"web1.example"}}, {Rate: "fast", All: true}, {Rate: "0/s", All: true},
		{Rate: "2000/s", All: true}, {Rate: "10", All: true}, {Rate: "10/s", Nodes: []string{"web1.*"}},
	} {
		wrong.contextFlags = as
		answer(t, &wrong, false).wants(t, exitUsage, "hint: ")
	}
}

// TestFleetReprovisionKeepsItsRate tells nodes no faster than it was told to.
func TestFleetReprovisionKeepsItsRate(t *testing.T) {
	const pause = 20 * time.Millisecond
	m := &member{ctx: t.Context()}
	nodes := []identity.Identity{"a", "b", "c", "d", "e"}
	begun := time.Now()
	r := m.tell(nodes, pause, func(id identity.Identity) reprovisioning {
		return reprovisioning{Identity: string(id), Outcome: outcomeAccepted}
	})
	if took := time.Since(begun); took < 4*pause-pause/2 {
		t.Errorf("it took %s, which is faster than one in %s", took, pause)
	}
	if r.Accepted != len(nodes) {
		t.Errorf("%+v", r)
	}
}

// TestFleetReprovisionInterrupted says which nodes were not told any more.
func TestFleetReprovisionInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	m := &member{ctx: ctx}
	r := m.tell([]identity.Identity{"a", "b", "c"}, time.Millisecond, func(id identity.Identity) reprovisioning {
		interrupt()
		return reprovisioning{Identity: string(id), Outcome: outcomeAccepted}
	})
	if r.Accepted == len(r.Nodes) || r.Nodes[0].Outcome != outcomeAccepted || r.Nodes[2].Outcome != outcomeUnasked {
		t.Errorf("%+v", r)
	}
}

func TestFleetWatch(t *testing.T) {
	c := newFleetCell(t)
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	for _, asJSON := range []bool{false, true} {
		ctx, interrupt := context.WithCancel(t.Context())
		t.Cleanup(interrupt)
		out := &quietBuffer{}
		errs := &quietBuffer{}
		inv := testInvocation(ctx, out, errs, asJSON)
		ended := make(chan error, 1)
		go func() { ended <- (&fleetWatchVerb{as}).Run(inv) }()
		until(t, func() bool { return strings.Contains(errs.String(), "watching the fleet as viewer") })
		for _, e := range fleetEvents {
			if err := c.admin.Publish(e.subject, []byte(e.body)); err != nil {
				t.Fatal(err)
			}
		}
		want := fleetEventLines
		if asJSON {
			want = fleetEventDocuments
		}
		until(t, func() bool { return strings.Count(out.String(), "\n") >= strings.Count(want, "\n") })
		interrupt()
		if code := inv.report(inv.ended(<-ended)); code != exitInterrupted {
			t.Errorf("the exit code is %d: %s", code, errs.String())
		}
		if said := errs.String(); strings.Contains(said, "lost") {
			t.Errorf("an interrupt is told as a lost connection: %s", said)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("--json %t: -want +got\n%s", asJSON, diff)
		}
	}
}

var fleetEvents = []struct{ subject, body string }{
	{"choria.lifecycle.event.startup.server", `{"type": "io.choria.lifecycle.v1.startup", "subject": "n1.example",
		"time": "2026-05-04T12:00:00Z", "data": {"component": "server", "version": "0.3.0"}}`},
	{"choria.machine.transition", `{"type":"io.choria.machine.v1.transition","subject":"n1.example","time":"2026-05-04T12:00:01Z",` +
		`"message":"exit code 2: no answer","instance":"one","data":{"machine":"web","transition":"broke","from_state":"up","to_state":"down\u001b[2J"}}`},
	{"choria.machine.watcher.exec.state", `{"type":"io.choria.machine.watcher.exec.v1.state","subject":"n1.example",` +
		`"time":"2026-05-04T12:00:02Z","data":{"machine":"web","name":"check","previous_outcome":"fail"}}`},
	{"overlay.event.revoked", `{"type":"io.statecraft.overlay.revoked.v1","subject":"n1=example","time":"2026-05-04T12:00:03Z",` +
		`"data":{"kind":"node","value":"n1=example","node":"n1.example","host":"","by":"alice","reason":"it was stolen"}}`},
	{"overlay.event.revoked", `{"type":"io.statecraft.overlay.revoked.v1","subject":"T1","time":"2026-05-04T12:00:04Z",` +
		`"data":{"kind":"join","value":"T1","node":"","host":"","by":"alice","reason":"lost"}}`},
	{"choria.machine.watcher.connection.state", `{"type":"io.choria.machine.watcher.connection.v1.state","subject":"n1.example",` +
		`"time":"2026-05-04T12:00:04Z","data":{"machine":"enrollment","name":"fleet","connected":false}}`},
	{"overlay.event.health", `{"type":"io.statecraft.overlay.health.v1","subject":"overlay1","time":"2026-05-04T12:00:05Z",` +
		`"data":{"host":"overlay1","state":"degraded","cause":"disk","reason":"little is free","key":{"of":"another type"}}}`},
	{"overlay.event.settings", `{"type":"io.statecraft.overlay.settings.v1","subject":"overlay1","time":"2026-05-04T12:00:06Z",` +
		`"data":{"host":"overlay1","state":"differs","differs":["helper","stream_bytes"]}}`},
	{"choria.machine.throttled", `{"type":"io.statecraft.machine.v1.throttled","subject":"n1.example","time":"2026-05-04T12:00:07Z",` +
		`"data":{"machine":"web","throttled":true,"state":"down","pace":"one transition in 5 s"}}`},
	{"choria.machine.other", `nonsense`},
}

const fleetEventLines = `2026-05-04 12:00:00Z  n1.example  startup server 0.3.0
2026-05-04 12:00:01Z  n1.example  web:one up --broke--> down [2J because exit code 2: no answer
2026-05-04 12:00:02Z  n1.example  web watcher check fail
2026-05-04 12:00:03Z  n1.example  revoked: node n1.example by alice - it was stolen
2026-05-04 12:00:04Z  -  revoked: join T1 by alice - lost
2026-05-04 12:00:04Z  n1.example  enrollment watcher fleet not connected
2026-05-04 12:00:05Z  overlay1  host health: degraded disk little is free
2026-05-04 12:00:06Z  overlay1  host settings: differs helper, stream_bytes
2026-05-04 12:00:07Z  n1.example  web throttled in down
- - choria.machine.other: not an event that is known here
`

const fleetEventDocuments = `{"type":"io.choria.lifecycle.v1.startup","subject":"n1.example","time":"2026-05-04T12:00:00Z","data":{"component":"server","version":"0.3.0"}}
{"type":"io.choria.machine.v1.transition","subject":"n1.example","time":"2026-05-04T12:00:01Z","message":"exit code 2: no answer","instance":"one","data":{"machine":"web","transition":"broke","from_state":"up","to_state":"down\u001b[2J"}}
{"type":"io.choria.machine.watcher.exec.v1.state","subject":"n1.example","time":"2026-05-04T12:00:02Z","data":{"machine":"web","name":"check","previous_outcome":"fail"}}
{"type":"io.statecraft.overlay.revoked.v1","subject":"n1=example","time":"2026-05-04T12:00:03Z","data":{"kind":"node","value":"n1=example","node":"n1.example","host":"","by":"alice","reason":"it was stolen"}}
{"type":"io.statecraft.overlay.revoked.v1","subject":"T1","time":"2026-05-04T12:00:04Z","data":{"kind":"join","value":"T1","node":"","host":"","by":"alice","reason":"lost"}}
{"type":"io.choria.machine.watcher.connection.v1.state","subject":"n1.example","time":"2026-05-04T12:00:04Z","data":{"machine":"enrollment","name":"fleet","connected":false}}
{"type":"io.statecraft.overlay.health.v1","subject":"overlay1","time":"2026-05-04T12:00:05Z","data":{"host":"overlay1","state":"degraded","cause":"disk","reason":"little is free","key":{"of":"another type"}}}
{"type":"io.statecraft.overlay.settings.v1","subject":"overlay1","time":"2026-05-04T12:00:06Z","data":{"host":"overlay1","state":"differs","differs":["helper","stream_bytes"]}}
{"type":"io.statecraft.machine.v1.throttled","subject":"n1.example","time":"2026-05-04T12:00:07Z","data":{"machine":"web","throttled":true,"state":"down","pace":"one transition in 5 s"}}
`

// until polls a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(fleetPatience); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("not within %s", fleetPatience)
		}
	}
}
