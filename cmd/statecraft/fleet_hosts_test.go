package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// cellAnswers are the answers of three hosts, a, b and c, that any one may be stopped of. Pairs of texts replace what they say.
func cellAnswers(t *testing.T, change ...string) []hostAnswer {
	t.Helper()
	const cell = `[
{"host": "a", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "a", "machine": "streams", "state": "steady"},
{"host": "a", "machine": "health", "state": "well", "broker": {"current": true, "leader": "a", "leads": ["KV_NODES", "JOBS"], "lag": {"b": 0, "c": 0},
 "held": {"KV_NODES": 99, "JOBS": 0}, "copies": {"KV_NODES": 3, "JOBS": 3}, "leaderless": [], "hosts": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}},
{"host": "b", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "b", "machine": "streams", "state": "steady"},
{"host": "b", "machine": "health", "state": "well", "broker": {"current": true, "held": {"KV_NODES": 99, "JOBS": 0}}},
{"host": "c", "machine": "join", "state": "member", "settings": {"hosts": 3}}, {"host": "c", "machine": "streams", "state": "steady"},
{"host": "c", "machine": "health", "state": "well", "broker": {"held": {"KV_NODES": 99, "JOBS": 0}, "current": true}}
]`
	text := strings.NewReplacer(change...).Replace(cell)
	if len(change) > 0 && text == cell {
		t.Fatal("nothing is changed")
	}
	var answers []hostAnswer
	if err := json.Unmarshal([]byte(text), &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestH67FleetHostsEndsWithZeroOnlyWhenAnyHostMayBeStopped: who stops one earlier may be left with empty copies.
func TestH67FleetHostsEndsWithZeroOnlyWhenAnyHostMayBeStopped(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"all is there":              {},
		"a host is not current":     {[]string{`"JOBS": 0}, "current": true`, `"JOBS": 0}, "current": false`}, "2 of 3 hosts are well and current: c does not have all that the others have"},
		"a host is behind":          {[]string{`"c": 0`, `"c": 99`}, "2 of 3 hosts are well and current: c is 99 messages behind"},
		"a host serves nobody yet":  {[]string{`"host": "b", "machine": "join", "state": "member"`, `"host": "b", "machine": "join", "state": "waiting"`}, "2 of 3 hosts are well and current: b serves nobody yet (waiting)"},
		"streams are still made":    {[]string{`"host": "b", "machine": "streams", "state": "steady"`, `"host": "b", "machine": "streams", "state": "ensuring"`}, "2 of 3 hosts are well and current: b is still making streams and copies"},
		"a stream has one copy":     {[]string{`"copies": {"KV_NODES": 3`, `"copies": {"KV_NODES": 1`}, "3 of 3 hosts are well and current: stream KV_NODES has 1 of 3 copies"},
		"a copy is still empty":     {[]string{`{"held": {"KV_NODES": 99`, `{"held": {"KV_NODES": 0`}, "3 of 3 hosts are well and current: stream KV_NODES has 2 of 3 copies"},
		"a host has no copy":        {[]string{`{"held": {"KV_NODES": 99, `, `{"held": {`}, "3 of 3 hosts are well and current: stream KV_NODES has 2 of 3 copies"},
		"a stream has no leader":    {[]string{`"copies": {"KV_NODES": 3, `, `"copies": {`}, "3 of 3 hosts are well and current: stream KV_NODES has no leader"},
		"a host has not been found": {[]string{`"hosts": 3`, `"hosts": 4`}, "3 of 4 hosts are well and current: nothing is known of 1 host of the cell"},
		"a host does not answer":    {[]string{`{"name": "c"}`, `{"name": "c"}, {"name": "d", "away": true}`}, "3 of 4 hosts are well and current: d does not answer"},
		"a host is degraded":        {[]string{`"host": "b", "machine": "health", "state": "well"`, `"host": "b", "machine": "health", "state": "degraded", "cause": "disk"`}, "2 of 3 hosts are well and current: b is degraded (disk)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := hostsOf(cellAnswers(t, c.change...)).faults()
			var f *failure
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &f) || f.code != exitPartial || err.Error() != c.want):
				t.Errorf("%v, not with %d: %s", err, exitPartial, c.want)
			}
		})
	}
}

// TestH67ARegisterWithoutALeaderIsNoEmptyOne: a copy that has no leader, or that has yet to be filled, answers as an empty register would.
func TestH67ARegisterWithoutALeaderIsNoEmptyOne(t *testing.T) {
	for name, c := range map[string]struct{ leader, want string }{
		"no leader":     {"", "it has no leader"},
		"an empty copy": {"a", "the copy that answered has 0 of 99 records"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
			if err != nil {
				t.Fatal(err)
			}
			s.Start()
			defer s.Shutdown()
			if !s.ReadyForConnections(30 * time.Second) {
				t.Fatal("the broker does not listen")
			}
			conn, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			answers := map[string]string{
				"$JS.API.STREAM.INFO.KV_NODES": fmt.Sprintf(`{"type": "io.nats.jetstream.api.v1.stream_info_response", "config": {"name": "KV_NODES", "subjects": ["$KV.NODES.>"], `+
					`"max_msgs_per_subject": 1, "allow_direct": true}, "state": {"messages": 99, "num_subjects": 99}, "cluster": {"leader": %q}}`, c.leader),
				"$JS.API.CONSUMER.CREATE.KV_NODES.>": `{"type": "io.nats.jetstream.api.v1.consumer_create_response", "stream_name": "KV_NODES", "name": "w", ` +
					`"config": {"name": "w", "ack_policy": "none", "deliver_policy": "last_per_subject"}, "num_pending": 0}`,
				"$JS.API.CONSUMER.DELETE.>": `{"type": "io.nats.jetstream.api.v1.consumer_delete_response", "success": true}`,
			}
			for subject, answer := range answers {
				if _, err := conn.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			m := &member{Conn: conn, name: "viewer", need: "fleet_view", ctx: ctx, refuse: cancel}
			nodes, err := m.nodes()
			var f *failure
			if !errors.As(err, &f) || f.code != exitUnreachable || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v", nodes, err)
			}
		})
	}
}
