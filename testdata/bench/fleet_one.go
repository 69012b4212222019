package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	lonelyNodes  = 40
	revokedNodes = 20
)

// joining measures how long a node takes to join where nothing else happens: one after the other, each in a process of its own.
func (b *bench) joining() (rows []row, err error) {
	count := b.sizes(lonelyNodes)[0]
	var sinceStart, sinceProcess []time.Duration
	err = b.inCell(decider{}, func(c *cell) error {
		if _, err := c.alone(); err != nil {
			return err
		}
		for i := range count {
			began := time.Now()
			n, err := c.emulate(fmt.Sprintf("lonely%d-", i), 1, time.Minute)
			if err != nil {
				return err
			}
			sinceStart = append(sinceStart, time.Duration(n.Median*float64(time.Second)))
			sinceProcess = append(sinceProcess, n.Last.Sub(began))
			if err := n.end(); err != nil {
				return err
			}
		}
		return c.joined(count + 1)
	})
	if err != nil {
		return nil, err
	}
	for _, v := range []struct {
		since string
		took  []time.Duration
	}{{"start", sinceStart}, {"process's start", sinceProcess}} {
		for _, percent := range []int{50, 99} {
			what := fmt.Sprintf("node active after its %s, one of %d at a time, p%d", v.since, count, percent)
			rows = append(rows, row{What: what, Value: quantile(v.took, percent), Unit: "ms"})
		}
	}
	return rows, nil
}

// joined holds that the register has so many nodes as active.
func (c *cell) joined(want int) error {
	active, err := c.registered()
	if err == nil && active != want {
		err = fmt.Errorf("the register has %d active nodes of %d", active, want)
	}
	return err
}

// revocation measures from the start of the operator's command to the end of the node's session, both by the clock of this machine. One
// more node, which nobody revokes, must stay.
func (b *bench) revocation() (rows []row, err error) {
	count := b.sizes(revokedNodes)[0]
	var took []time.Duration
	err = b.inCell(decider{}, func(c *cell) (err error) {
		n, err := c.emulate("node", count+1, time.Minute)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.end()) }()
		for i := range count {
			one, err := c.revoke(nodeName("node", i))
			if err != nil {
				return err
			}
			took = append(took, one)
		}
		now, err := c.counters()
		if ended := now.sum("statecraft_broker_revoked_sessions_total"); err == nil && (ended != float64(count) || now.sessions() != 1) {
			err = fmt.Errorf("of %d nodes %d were revoked, which ended %g sessions and left %g", count+1, count, ended, now.sessions())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return spread("token revoke to the end of the node's session", took, 2000), nil
}

// revoke bans a node and returns how long its session lasted from then on, by the time at which nats-server closed it.
func (c *cell) revoke(node string) (took time.Duration, err error) {
	began := time.Now()
	if _, err := c.output("token", "revoke", "--as", c.path("made", "operator"), "--identity", node, "--reason", "bench"); err != nil {
		return 0, err
	}
	err = until(c.ctx, "the end of the session of "+node, func() (bool, error) {
		ended, err := c.kicked(node)
		took = ended.Sub(began)
		return !ended.IsZero(), err
	})
	if err == nil && took <= 0 {
		err = fmt.Errorf("the session of %s ended %s before it was revoked", node, -took)
	}
	return took, err
}

// kicked returns when the broker ended the session of a node, the zero time where it has not. Nats-server keeps the last hundred
// connections that ended, far more than one revocation makes.
func (c *cell) kicked(node string) (at time.Time, err error) {
	text, err := c.get(c.monitor + "/connz?state=closed")
	if err != nil {
		return at, err
	}
	var all struct {
		Connections []struct {
			Name, Reason string
			Stop         time.Time
		}
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return at, fmt.Errorf("reading the closed connections: %w", err)
	}
	for _, conn := range all.Connections {
		if conn.Name == node+" fleet" && conn.Reason == "Kicked" {
			return conn.Stop, nil
		}
	}
	return at, nil
}
