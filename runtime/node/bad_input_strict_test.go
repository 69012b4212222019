package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// unlike are forms of a document that says what it should, and that readers take for different things. field is one of its fields.
func unlike(fields map[string]string, field string) map[string]string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		pairs = append(pairs, fmt.Sprintf("%q:%s", name, fields[name]))
	}
	with := func(more string) string { return "{" + strings.Join(append(slices.Clone(pairs), more), ",") + "}" }
	return map[string]string{
		"a key twice": with(fmt.Sprintf("%q:%s", field, fields[field])), "a key in another case": with(fmt.Sprintf("%q:%s", strings.ToUpper(field), fields[field])),
		"a key twice further in": with(`"more":{"a":1,"a":2}`), "NUL": with(`"more":"a\u0000b"`), "a raw NUL": with("\"more\":\"a\x00b\""),
		"NUL in a key": with(`"a\u0000b":1`), "invalid UTF-8": with("\"more\":\"\xff\xfe\""), "half of a pair": with(`"more":"\ud800"`),
		"1e400": with(`"more":1e400`), "-1e400 further in": with(`"more":{"a":[-1e400]}`),
	}
}

// TestBadInputIsRefusedByEveryService asks each service of a live cell what it answers, and the same in forms that readers take for different things:
// these are answered with code 400, whatever the service is made of.
func TestBadInputIsRefusedByEveryService(t *testing.T) {
	c, log := loggedCell(t)
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	m.becomes("active")
	operator, node := c.operator().Conn, m.as()
	joiner, _, key := joining(t, c.join)
	digest := `"` + strings.Repeat("0", 64) + `"`
	event := map[string]string{
		"specversion": `"1.0"`, "id": `"1"`, "type": `"io.choria.lifecycle.v1.startup"`, "source": `"io.choria.lifecycle"`, "subject": `"n1.example"`, "time": `"2026-01-02T03:04:05Z"`,
		"data": `{"protocol": "io.choria.lifecycle.v1.startup", "id": "1", "identity": "n1.example", "component": "server", "timestamp": 1767323045}`,
	}
	for _, service := range []struct {
		conn    *nats.Conn
		subject string
		field   string
		fields  map[string]string
	}{
		{node, "node.n1=example.out.spec", "root", map[string]string{"channels": `["default"]`, "root": `0`}},
		{node, "node.n1=example.out.bundle", "name", map[string]string{"name": digest, "bucket": `"BUNDLES"`, "offset": `0`, "length": `10`}},
		{node, "node.n1=example.out.turn", "name", map[string]string{"governor": `"g"`, "name": `"n"`}},
		{node, "node.n1=example.out.confirm", "proof", map[string]string{"proof": `"p"`}},
		{node, "node.n1=example.out.renew", "renewal", map[string]string{"token_id": `"t"`, "renewal": `"r"`, "public_key": `"k"`}},
		{node, "node.n1=example.out.inventory", "protocol", map[string]string{"protocol": `"choria:registration:inventorycontent:1"`, "zcontent": `"x"`}},
		{node, "node.n1=example.out.event.lifecycle.startup.server", "subject", event},
		{joiner, "enroll." + key.Public().String() + ".out.hello", "token", map[string]string{"token": `"x.y.z"`}},
		{operator, "nodes", "limit", map[string]string{"limit": `1`, "after": `""`}},
		{operator, "inventory", "limit", map[string]string{"limit": `1`}},
		{operator, "operate", "word", map[string]string{"node": `"n9=example"`, "word": `"x"`, "by": `"me"`}},
		{operator, "retire", "node", map[string]string{"node": `"n9=example"`}},
		{operator, "approve", "node", map[string]string{"node": `"n9=example"`}},
		{operator, "revoke", "value", map[string]string{"kind": `"token"`, "value": `"nobody"`, "reason": `"r"`, "by": `"me"`}},
		{operator, "revoked", "after", map[string]string{"after": `""`}},
		{operator, "registry", "key", map[string]string{"key": `"spec.none"`}},
		{operator, "bundle", "name", map[string]string{"name": digest, "bucket": `"BUNDLES"`, "offset": `0`, "length": `10`}},
		{operator, "publish", "key", map[string]string{"key": `"spec.none"`, "revision": `0`, "envelope": `"eA=="`}},
		{operator, "store", "digest", map[string]string{"digest": digest, "size": `10`, "envelope": `"eA=="`}},
		{operator, "consumers.STREAM.NAMES", "offset", map[string]string{"offset": `0`}},
	} {
		t.Run(service.subject, func(t *testing.T) {
			subject := service.subject
			if !strings.HasPrefix(subject, "node.") && !strings.HasPrefix(subject, "enroll.") {
				subject = broker.ServiceSubject(operator.Opts.Nkey, subject)
			}
			good, _ := json.Marshal(rawFields(service.fields))
			eventually(t, "it is served", func() bool { // a cell that is new makes its buckets at this moment
				code, err := asked(service.conn, subject, good)
				return err == nil && code != messaging.CodeNotReady && code != messaging.CodeUnreadable
			})
			for what, body := range unlike(service.fields, service.field) {
				eventually(t, what+" is answered", func() bool {
					code, err := asked(service.conn, subject, []byte(body))
					if err == nil && code != messaging.CodeUnreadable && code != messaging.CodeBusy {
						t.Errorf("%s: %s is answered with code %q", subject, what, code)
					}
					return err == nil && code != messaging.CodeBusy
				})
			}
		})
	}
	log.short(t)
}

func rawFields(fields map[string]string) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	for name, value := range fields {
		all[name] = json.RawMessage(value)
	}
	return all
}

// asked is the code by which a question is denied, "" where it is answered; that of JetStream's errors is in the answer.
func asked(conn *nats.Conn, subject string, body []byte) (code string, err error) {
	m, err := conn.Request(subject, body, patience)
	if err != nil {
		return "", err
	}
	if code = m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return code, nil
	}
	var said struct {
		Error struct{ Code int }
	}
	if json.Unmarshal(m.Data, &said) == nil && said.Error.Code != 0 {
		return fmt.Sprint(said.Error.Code), nil
	}
	return "", nil
}
