package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/broker"
)

// TestClientsAskAHost asks a host's own machines as a client that may, and as one that may not.
func TestClientsAskAHost(t *testing.T) {
	c := newHostedCell(t)
	viewer := contextFlags{As: c.client("viewer", "fleet_view")}
	revoker := contextFlags{As: c.client("revoker", "token_revoke")}
	until(t, func() bool { return answer(t, &fleetHostsVerb{viewer}, false).code == exitOK })
	answer(t, &fleetInventoryVerb{contextFlags: viewer}, false).wants(t, exitOK, "no node has published its inventory yet")
	answer(t, &fleetHostsVerb{revoker}, false).wants(t, exitRefused, "--right fleet_view")
	answer(t, &fleetInventoryVerb{contextFlags: revoker}, false).wants(t, exitRefused, "--right fleet_view")
}

// opened connects as a client and is that client's end of a verb.
func (c *fleetCell) opened(name string, rights ...string) *member {
	c.t.Helper()
	m, err := contextFlags{As: c.client(name, rights...)}.connect(testInvocation(c.t.Context(), &quietBuffer{}, &quietBuffer{}, false), rights[0])
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(m.close)
	return m
}

// TestRequestsHaveExitCodes has a service deny a request in every way.
func TestRequestsHaveExitCodes(t *testing.T) {
	c := newFleetCell(t)
	m := c.opened("viewer", "fleet_view")
	script := make(chan nats.Header, 2)
	if _, err := c.admin.Subscribe(broker.ServiceSubject("*", "inventory"), func(msg *nats.Msg) {
		reply := &nats.Msg{Data: []byte(`{"n": 7}`)}
		select {
		case reply.Header = <-script:
		default:
		}
		if err := msg.RespondMsg(reply); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.admin.Flush(); err != nil {
		t.Fatal(err)
	}
	denial := func(code string) nats.Header {
		return nats.Header{micro.ErrorCodeHeader: {code}, micro.ErrorHeader: {"because"}}
	}
	for code, exit := range map[string]int{
		"400": exitInvalid, "403": exitRefused, "404": exitFailed, "413": exitInvalid, "500": exitFailed,
	} {
		script <- denial(code)
		err := m.request("inventory", nil, &struct{}{})
		if got := testInvocation(t.Context(), &quietBuffer{}, &quietBuffer{}, false).report(err); got != exit || !isDenied(err, code) {
			t.Errorf("code %s: exit code %d, %v", code, got, err)
		}
	}
	var said struct{ N int }
	script <- denial("503")
	script <- denial("429")
	if err := m.request("inventory", nil, &said); err != nil || said.N != 7 {
		t.Errorf("after it was busy: %+v %v", said, err)
	}
}

// TestARightThatTheHostsDoNotKnow is that of a program that is newer than the hosts.
func TestARightThatTheHostsDoNotKnow(t *testing.T) {
	c := newFleetCell(t)
	m := c.opened("viewer", "fleet_view")
	err := m.request("service_of_later", nil, &struct{}{})
	errs := &quietBuffer{}
	if code := testInvocation(t.Context(), &quietBuffer{}, errs, false).report(err); code != exitRefused || !strings.Contains(errs.String(), "of another release than this program") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	admin := c.opened("root", "admin")
	err = admin.request("service_of_later", nil, &struct{}{})
	errs = &quietBuffer{}
	if code := testInvocation(t.Context(), &quietBuffer{}, errs, false).report(err); code != exitUnreachable || !strings.Contains(errs.String(), "hosts of an earlier release") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestPagesEnd holds that a list that goes round in a circle ends.
func TestPagesEnd(t *testing.T) {
	var asked []string
	err := pages(func(after string) (string, error) {
		asked = append(asked, after)
		return map[string]string{"": "a", "a": "b", "b": ""}[after], nil
	})
	if err != nil || strings.Join(asked, ",") != ",a,b" {
		t.Errorf("%q, %v", asked, err)
	}
	if err := pages(func(string) (string, error) { return "a", nil }); err == nil {
		t.Error("a circle does not end")
	}
	if d := retryAfter(&nats.Msg{Header: nats.Header{"Retry-After": {"3600"}}}); d > time.Minute {
		t.Errorf("it waits %s", d)
	}
}
