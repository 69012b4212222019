package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// believing are changes of node/enrollment after which a node believes what nobody has signed, as it did in releases before.
var believing = []string{
	"  - name: told\n    from: [talking]\n    destination: judging\n",
	believes("shut_down", `event.payload.body.answer == "shutdown"`) + believes("revoked", `event.payload.body.answer == "revoked"`) +
		believes("returning", `data.moving > 0 && event.payload.body.answer == "deny"`) +
		"  - name: told\n    from: [talking]\n    destination: judging\n",
}

func believes(state, when string) string {
	return "  - name: told\n    from: [talking]\n    destination: " + state + "\n    when: " + when +
		"\n    set: {reason: event.payload.body.reason}\n    clear: [hello_at]\n"
}

// liar listens where a cell's enrollment listener was, with a host's TLS key, and answers every introduction as it likes.
func liar(t testing.TB, c *cell, answer func(key, hello string) map[string]any) {
	t.Helper()
	i := newImpostor(t, c, c, c)
	say := func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"accepted": true}`))
		hello, err := statement(m)
		if err != nil {
			return
		}
		key := strings.Split(m.Subject, ".")[1]
		body, err := json.Marshal(answer(key, hello.ID))
		if err == nil {
			_ = i.conn.Publish("enroll."+key+".in.answer", body)
		}
	}
	i.silent.Store(true)
	for _, subject := range []string{"enroll.*.out.hello", "enroll.*.out.hello.*"} {
		if _, err := i.conn.Subscribe(subject, say); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.conn.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}

// TestH72ALiarBeforeAnyProof has a host's TLS key with a liar, who has no issuer. Nothing that the liar says lasts: the node waits, and joins when the
// true host is there.
func TestH72ALiarBeforeAnyProof(t *testing.T) {
	other := makeCell(t, nil)
	signed := func(by *cell, change func(*identity.Claims, map[string]any)) func(answer, key, hello string) string {
		return func(answer, key, hello string) string {
			document := map[string]any{
				"answer": answer, "reason": "because the liar says so", "introduction": hello, "identity": "n1.example", "public_key": key, "cell": "test",
			}
			c := identity.Claims{Purpose: identity.PurposeAssignment, Audience: key, IssuedAt: time.Now(), Expires: time.Now().Add(5 * time.Minute)}
			change(&c, document)
			c.Document, _ = json.Marshal(document)
			token, err := by.signer("hosts", "overlay1", "issuers", "enrollment").Sign(c)
			if err != nil {
				t.Error(err)
			}
			return token
		}
	}
	as := func(*identity.Claims, map[string]any) {}
	for name, tt := range map[string]struct {
		token    func(c *cell) func(answer, key, hello string) string // nil signs nothing
		believes bool                                                 // the node is one that does
		lasts    bool
	}{
		"a node that believes":   {nil, true, true},
		"without a signature":    {nil, false, false},
		"signed by another cell": {func(*cell) func(_, _, _ string) string { return signed(other, as) }, false, false},
		"for another introduction": {
			func(c *cell) func(_, _, _ string) string {
				return signed(c, func(_ *identity.Claims, d map[string]any) { d["introduction"] = "another" })
			}, false, false,
		},
		"for another node": {
			func(c *cell) func(_, _, _ string) string {
				return signed(c, func(_ *identity.Claims, d map[string]any) { d["identity"] = "n2.example" })
			}, false, false,
		},
		"another answer": {
			func(c *cell) func(_, _, _ string) string {
				return signed(c, func(_ *identity.Claims, d map[string]any) { d["answer"] = "deny" })
			}, false, false,
		},
		"a challenge": {
			func(c *cell) func(_, _, _ string) string {
				return signed(c, func(c *identity.Claims, _ map[string]any) { c.Purpose = "challenge" })
			}, false, false,
		},
		"with the true issuer": {func(c *cell) func(_, _, _ string) string { return signed(c, as) }, false, true},
	} {
		for _, lie := range []struct{ answer, state string }{{"shutdown", "shut_down"}, {"revoked", "revoked"}} {
			t.Run(name+", "+lie.answer, func(t *testing.T) {
				c := makeCell(t, nil)
				token := func(_, _, _ string) string { return "" }
				if tt.token != nil {
					token = tt.token(c)
				}
				liar(t, c, func(key, hello string) map[string]any {
					return map[string]any{"answer": lie.answer, "reason": "because the liar says so", "token": token(lie.answer, key, hello)}
				})
				m := newMember(t, "n1.example", t.TempDir(), c.join, func(cfg *node.Config) {
					changes := impatient
					if tt.believes {
						changes = append(changes[:2:2], believing...)
					}
					cfg.Machines = override(t, t.TempDir(), "node/enrollment", changes...)
				})
				eventually(t, "the node has heard the liar", func() bool { return strings.Contains(m.reason(), "because the liar says so") })
				if tt.lasts {
					m.becomes(lie.state)
					return
				}
				eventually(t, "the node comes again", func() bool { return m.entered("introducing") > 1 })
				if m.entered("shut_down")+m.entered("revoked") > 0 {
					t.Error("the node has believed the liar")
				}
			})
		}
	}
}

// TestH72ALiarEndsNoMove has a node that is to move to a liar, who denies it: it goes on asking for half an hour, with its place in the cell.
func TestH72ALiarEndsNoMove(t *testing.T) {
	for name, tt := range map[string]struct {
		pairs []string
		ended bool
	}{"a node that believes": {believing, true}, "as it is": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			unsigned := override(t, t.TempDir(), "overlay/enrollee", "token: data.answer_token}", "token: ''}")
			c := newCell(t, func(o *overlay.InitOptions) {
				o.Machines, o.Helper = unsigned, helper(t, `case "$(cat)" in *'"history":{}'*) echo '{}';; *) echo '{"deny": true, "msg": "because the liar says so"}';; esac`)
			})
			m := newMember(t, "n1.example", t.TempDir(), c.join, hurriedNodes(t, tt.pairs...))
			m.becomes("active")
			m.reprovision()
			eventually(t, "the node was denied", func() bool { return strings.Contains(m.reason(), "because the liar says so") })
			if tt.ended {
				eventually(t, "the node has stopped moving", func() bool { return m.entered("returning") > 0 && m.state() == "active" })
				return
			}
			eventually(t, "the node asks again", func() bool { return m.entered("pending") > 2 || m.entered("introducing") > 1 })
			if m.entered("returning") > 0 {
				t.Error("the node has stopped moving")
			}
		})
	}
}

// TestH72WhatTheTrueOverlaySaysLasts: who may assign a node may keep it away.
func TestH72WhatTheTrueOverlaySaysLasts(t *testing.T) {
	c := newCell(t, func(o *overlay.InitOptions) {
		o.Helper = helper(t, `echo '{"shutdown": true, "msg": "decommissioned"}'`)
	})
	told := refusals(t, c)
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	m.becomes("shut_down")
	if r := m.reason(); r != "decommissioned" {
		t.Errorf("the node knows %q", r)
	}
	eventually(t, "the fleet is told", func() bool { e := told(); return e["answer"] == "shutdown" && e["reason"] == "decommissioned" })
}
