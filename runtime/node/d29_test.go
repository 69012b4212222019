package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// configure changes texts of the host's overlay.yaml.
func (c *cell) configure(pairs ...string) {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.dir, "hosts", "*", "overlay.yaml"))
	if err != nil || len(found) != 1 {
		c.t.Fatal(found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		c.t.Fatal(err)
	}
	write(c.t, found[0], strings.NewReplacer(pairs...).Replace(string(text)), 0o600)
}

// TestD29OverlayKilledBeforeConfirmation kills the overlay's host when the node has its assignment and nobody has confirmed it. The host
// comes back, and so does the node, with what it was given.
func TestD29OverlayKilledBeforeConfirmation(t *testing.T) {
	mute := override(t, t.TempDir(), "overlay/registrar", "name: register\n    type: kv\n", "name: register\n    type: kv\n    when: \"false\"\n")
	c := makeCell(t, func(o *overlay.InitOptions) { o.Machines = mute })
	kill := c.spawn()
	brief := override(t, t.TempDir(), "node/enrollment", "timeout: 10s, success_transition: confirmed", "timeout: 1s, success_transition: confirmed")
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) { c.Machines = brief })
	m.becomes("confirming")
	given, err := m.store.Active()
	if err != nil || !m.store.Pending() {
		t.Fatalf("the assignment is not on trial: %v", err)
	}
	kill()
	c.configure("machines: ", "# machines: ")
	c.run()
	m.becomes("active")
	if got, err := m.store.Active(); err != nil || got.Token != given.Token || m.store.Pending() {
		t.Errorf("the node has another assignment than it was given, or one on trial (%v)", err)
	}
	if r := record(t, c.bucket("NODES"), "n1.example"); r["state"] != "active" {
		t.Errorf("the register has %v", r)
	}
}

// holds are the moments at which a node is stopped, each with what keeps it there.
var holds = map[string]struct{ state, text, by string }{
	"after staging":   {"accepting", "{name: accept, type: publish, ", "{name: accept, type: publish, when: \"false\", "},
	"while switching": {"switching", "{name: switch, type: identity, ", "{name: switch, type: identity, when: \"false\", "},
	"after switching": {"joining", "state_match: [trying, member]", "state_match: [member]"},
	"before commit":   {"committing", "{name: commit, type: identity, ", "{name: commit, type: identity, when: \"false\", "},
}

// hurried are changes of node/enrollment with which a node that is moved or recovers does not wait for long.
var hurried = []string{"properties: {timer: 5s, splay: true}", "properties: {timer: 1s}", "properties: {timer: 10s, splay: true}", "properties: {timer: 1s}"}

// TestD29NodeStopped stops a node in the middle of its configuration: its folder is copied as a crash leaves it, and another agent goes on
// with the copy. A new node has the new assignment in the end. One that had an assignment has it, or the new one, all the time.
func TestD29NodeStopped(t *testing.T) {
	for name, hold := range holds {
		for _, moved := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " of a move"}[moved], func(t *testing.T) {
				colour := filepath.Join(t.TempDir(), "colour")
				write(t, colour, `{"configuration": {"colour": "old"}}`, 0o600)
				c := newCell(t, func(o *overlay.InitOptions) { o.Helper = helper(t, "cat "+colour) })
				dir, crashed := t.TempDir(), filepath.Join(t.TempDir(), "crashed")
				held := override(t, t.TempDir(), "node/enrollment", append([]string{hold.text, hold.by}, hurried...)...)
				holding := func(c *node.Config) { c.Machines = held }
				if moved {
					had := newMember(t, "n1.example", dir, c.join, nil)
					had.becomes("active")
					if err := had.stop(); err != nil {
						t.Fatal(err)
					}
				}
				write(t, colour, `{"configuration": {"colour": "new"}}`, 0o600)
				m := newMember(t, "n1.example", dir, c.join, holding)
				if moved {
					if _, err := m.agent.Host().Fire(t.Context(), "enrollment", "reprovision", nil, "operator"); err != nil {
						t.Fatal(err)
					}
				}
				m.becomes(hold.state)
				if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				if err := m.stop(); err != nil {
					t.Fatal(err)
				}
				if colour := coloured(t, crashed); moved && colour == "" {
					t.Error("the node has neither its old nor its new assignment")
				}
				after := newMember(t, "n1.example", crashed, c.join, nil)
				after.becomes("active")
				if got := coloured(t, crashed); got != "new" || after.store.Pending() {
					t.Errorf("the node ends with the assignment %q, on trial: %v", got, after.store.Pending())
				}
			})
		}
	}
}

// coloured is which assignment a folder's node has, "" for none.
func coloured(t testing.TB, dir string) string {
	t.Helper()
	store, err := identity.OpenStore(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	given, err := store.Active()
	if err != nil {
		return ""
	}
	for _, colour := range []string{"old", "new"} {
		if strings.Contains(string(given.Configuration), colour) {
			return colour
		}
	}
	return "another"
}

// TestD29WrongCell assigns nodes to a cell that cannot be reached. They come back by themselves: one that had a place to that, another to
// the listener where it came from.
func TestD29WrongCell(t *testing.T) {
	lost := override(t, t.TempDir(), "node/enrollment", append([]string{"joining: {after: {1m: join_failed}", "joining: {after: {1s: join_failed}"}, hurried...)...)
	machines := func(c *node.Config) { c.Machines = lost }
	c := newCell(t, nil)
	had := newMember(t, "had.example", t.TempDir(), c.join, machines)
	had.becomes("active")
	before, err := had.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.configure("brokers: [", "brokers: [\"tls://127.0.0.1:1\"] # [")
	c.run()
	fresh := newMember(t, "fresh.example", t.TempDir(), c.join, machines)
	if _, err := had.agent.Host().Fire(t.Context(), "enrollment", "reprovision", nil, "operator"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both have been to the wrong cell", func() bool { return fresh.entered("rolling_back") > 0 && had.entered("rolling_back") > 0 })
	had.becomes("active")
	if after, err := had.store.Active(); err != nil || after.Token != before.Token {
		t.Errorf("the node does not have what it had before: %v", err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.configure("[\"tls://127.0.0.1:1\"] # ", "")
	c.run()
	fresh.becomes("active")
}
