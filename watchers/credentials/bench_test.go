package credentials

import (
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// looking takes a look as somebody, prepared once as a machine does.
func (f *fleet) looking(id, typ, properties string, data map[string]any) func() watchers.Report {
	f.Helper()
	w, look := f.watcher(typ, properties).(watchers.Checker), f.look(id, data)
	return func() watchers.Report {
		r := w.Check(f.Context(), look)
		if r.Outcome != machine.OutcomeSuccess {
			f.Fatalf("%s: %+v", properties, r)
		}
		return r
	}
}

// BenchmarkToken takes the looks of an enrollment: the overlay issues and verifies, the node verifies.
func BenchmarkToken(b *testing.B) {
	f := newFleet(b)
	issue := f.looking("overlay1", "token", issueNode, f.placement())
	join := f.looking("overlay1", "token", `{action: issue, issuer: enrollment, purpose: join, lifetime: 1h, claims: "{identity: 'web*', cell: 'c1'}"}`, nil)
	document := with(f.document(issue().Payload["token"].(string)), "policies", map[string]any{"action": map[string]any{"package": "policy default deny"}})
	assign := f.looking("overlay1", "token", `
action: issue
issuer: enrollment
purpose: assignment
lifetime: 10m
audience: data.key
claims: "{identity: data.name, public_key: data.key, cell: data.cell}"
document: data.document
`, with(f.placement(), "document", document))
	hello := f.looking("web1.example", "token", `{action: issue, purpose: hello, lifetime: 2m, claims: "{public_key: data.key}", document: "{public_key: data.key, nonce: data.name}"}`, f.placement())
	for name, look := range map[string]func() watchers.Report{
		"issue/node": issue, "issue/hello": hello, "issue/assignment": assign,
		"verify/hello": f.looking("overlay1", "token", `{action: verify, purpose: hello, token: data.t, signed_by: data.key, expect: "{public_key: data.key}"}`,
			with(f.placement(), "t", hello().Payload["token"])),
		"verify/join": f.looking("overlay1", "token", `{action: verify, purpose: join, token: data.t, holder: data.name}`,
			with(f.placement(), "t", join().Payload["token"])),
		"verify/assignment": f.looking("web1.example", "token", `{action: verify, purpose: assignment, token: data.t, audience: data.key, expect: "{identity: identity}"}`,
			with(f.placement(), "t", assign().Payload["token"])),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				look()
			}
		})
	}
}

// BenchmarkIdentity takes an identity action of each kind on a store in memory, and on disk.
func BenchmarkIdentity(b *testing.B) {
	for _, in := range []string{"memory", "disk"} {
		f := newFleet(b)
		if in == "memory" {
			store, err := identity.OpenStore("")
			must(b, err)
			f.node.Store = store
			f.key, _, err = store.EnsureKey()
			must(b, err)
		}
		token := f.assign(12 * time.Hour)
		data := with(map[string]any{"assignment": with(f.document(token), "policies", map[string]any{"action": map[string]any{"package": "policy default deny"}})}, "t", token)
		act := func(properties string) func() watchers.Report {
			return f.looking("web1.example", "identity", properties, data)
		}
		ensure, check := act("action: ensure"), act("action: check")
		stage, activate, commit := act("{action: stage, document: data.assignment}"), act("action: activate"), act("action: commit")
		keep := f.looking("web1.example", "token", "{action: store, token: data.t}", data)
		for name, look := range map[string]func(){
			"ensure": func() { ensure() }, "check": func() { check() }, "transaction": func() { stage(); activate(); commit() }, "store": func() { keep() },
		} {
			b.Run(in+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					look()
				}
			})
		}
	}
}
