package messaging

import (
	"cmp"
	"context"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// connectionSpec is the properties of a connection watcher.
type connectionSpec struct {
	// Name is what other watchers of the same identity find the connection by.
	Name string `yaml:"name,required"`
	// Credentials names what to connect with, such as join or node; by default it is the connection's name.
	Credentials string `yaml:"credentials"`
}

func connectionType(pool *Pool) watchers.Type {
	reason := map[string]machine.ValueType{"reason": machine.String}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "connection",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Doc: "the connection is there, for the first time or again",
					Payload: map[string]machine.ValueType{"server": machine.String, "logins": machine.Integer}},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: reason,
					Doc: "the connection is lost, or no broker can be reached; trying goes on"},
				{Name: outcomeRefused, Class: machine.Failure, Payload: reason, Doc: "the broker refuses the credentials; trying goes on"},
			},
		},
		Summary: "Opens a connection and keeps it while its state lasts. When that is left, the connection is drained and closed.",
	}, func(spec *connectionSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &connection{spec: spec, pool: pool} }}
	})
}

type connection struct {
	spec *connectionSpec
	pool *Pool
}

// Listen holds the connection and reports what becomes of it.
func (c *connection) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if c.pool == nil {
		return watchers.Failure(errNoPool.Error())
	}
	l, err := c.pool.hold(look.Identity, c.spec.Name, cmp.Or(c.spec.Credentials, c.spec.Name))
	if err != nil {
		return watchers.Failed(err)
	}
	defer c.pool.release(l)
	for told := (history{}); ; {
		now, changed := c.pool.standing(l)
		if now.broken != nil {
			return watchers.Failed(now.broken)
		}
		for _, rep := range c.news(told, now) {
			emit(rep)
		}
		told = now.history
		select {
		case <-changed:
		case <-c.pool.closing:
			return watchers.Failure(errClosed.Error())
		case <-ctx.Done():
			return watchers.Report{}
		}
	}
}

// news is what has happened since. Of several logins only the last is told; the order ends with how it stands.
func (c *connection) news(told history, now standing) []watchers.Report {
	var came, went []watchers.Report
	state := map[string]any{"name": c.spec.Name, "connected": now.up, "logins": now.logins, "losses": now.losses, "refusals": now.refusals}
	report := func(outcome, message string, payload map[string]any) []watchers.Report {
		return []watchers.Report{{Outcome: outcome, Message: message, Payload: payload, State: state}}
	}
	reason := map[string]any{"reason": now.reason}
	if now.logins > told.logins {
		came = report(machine.OutcomeSuccess, "connected to "+now.server, map[string]any{"server": now.server, "logins": now.logins})
	}
	if now.losses > told.losses {
		went = report(machine.OutcomeFail, "not connected: "+now.reason, reason)
	}
	if now.refusals > told.refusals {
		went = append(went, report(outcomeRefused, "the broker refuses the credentials: "+now.reason, reason)...)
	}
	if now.up {
		return append(went, came...)
	}
	return append(came, went...)
}
