package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// notes is a machine of a site that stands beside the built-in ones: it passes on what nodes say of themselves before they belong here.
const notes = `format: 1
name: notes
version: 1.0.0
initial_state: listening
durable: false
states:
  listening: {home: true}
  paused: {home: true}
transitions:
  - {name: pause, from: [listening], destination: paused}
  - {name: resume, from: [paused], destination: listening}
watchers:
  - name: notes
    type: subscribe
    properties:
      connection: enrollment
      subject: enroll.*.out.note
      queue: notes
      where: message.body.note != ""
      forward: {connection: fleet, subject: '"site.notes." + message.tokens[1]'}
`

// TestHandshakeIsYAML changes both halves of the handshake by nothing but YAML: the overlay asks a site's script for its approval before it
// takes a node, and a node says something before it introduces itself. A machine beside the built-in ones passes that on.
func TestHandshakeIsYAML(t *testing.T) {
	asked, allowed := filepath.Join(t.TempDir(), "asked"), filepath.Join(t.TempDir(), "allowed")
	approve := helper(t, `echo "$1" >> `+asked, "test -e "+allowed)
	onOverlay := override(t, t.TempDir(), "overlay/enrollee",
		"  placed: {after", "  approving: {after: {1m: gave_up}, description: asks the site}\n  placed: {after",
		"    destination: verified\n    when: data.early\n    set: {claims: event.payload.result.claims}\n",
		"    destination: approving\n    set: {claims: event.payload.result.claims}\n"+
			"  - {name: approved, from: [approving], destination: verified, when: data.early}\n"+
			"  - {name: approved, from: [approving], destination: placed}\n"+
			"  - {name: disapproved, from: [approving], destination: refusing, set: {reason: \"'the site has not approved this node'\"}}",
		"  - {name: weighed, from: [advised], destination: placed, set: {claims: event.payload.result.claims}}\n", "",
		"advised, placed, challenging,", "advised, approving, placed, challenging,",
		"  - name: make_challenge\n", "  - name: approval\n    type: exec\n    state_match: [approving]\n    success_transition: approved\n"+
			"    fail_transition: disapproved\n    properties: {command: '"+approve+" {{ lookup \"data.identity\" \"\" }}'}\n  - name: make_challenge\n")
	write(t, filepath.Join(onOverlay, "notes.yaml"), notes, 0o600)
	onNode := override(t, t.TempDir(), "node/enrollment", append([]string{
		"  introducing: {after", "  noting: {after: {1m: noted}, description: says something of itself}\n  introducing: {after",
		"from: [connecting, handshake], destination: introducing}\n", "from: [connecting, handshake], destination: noting}\n" +
			"  - {name: noted, from: [noting], destination: introducing}\n",
		// A state more in the handshake is one edit of what is there, and so are two.
		"handshake: {states: [hearing, judging, assigned, staging]", "handshake: {states: [noting, hearing, judging, assigned, vetting, staging]",
		"  staging: {after", "  vetting: {after: {1m: try_again}, description: a program of the site looks at the assignment}\n  staging: {after",
		"from: [assigned], destination: staging,", "from: [assigned], destination: vetting,",
		"  - {name: staged, from", "  - {name: vetted, from: [vetting], destination: staging}\n  - {name: vet_refused, from: [vetting], destination: pending}\n" +
			"  - {name: staged, from",
		"  - {name: stage, type: identity", "  - name: vet\n    type: exec\n    state_match: [vetting]\n    success_transition: vetted\n" +
			"    fail_transition: vet_refused\n    properties: {command: /bin/true}\n  - {name: stage, type: identity",
		"  - {name: inventory, type: service", "  - name: note\n    type: publish\n    state_match: [noting]\n    success_transition: noted\n    properties:\n" +
			"      connection: enrollment\n      subject: 'enroll.{{ lookup \"data.public_key\" \"\" }}.out.note'\n      body: \"{note: 'rack 7'}\"\n  - {name: inventory, type: service",
	}, impatient...)...)

	c := newCell(t, func(o *overlay.InitOptions) { o.Machines = onOverlay })
	heard, err := c.operator().SubscribeSync("site.notes.*")
	if err != nil {
		t.Fatal(err)
	}
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) { c.Machines = onNode })
	eventually(t, "the node is not approved", func() bool { return m.reason() == "the site has not approved this node" })
	write(t, allowed, "", 0o600)
	m.becomes("active")
	note, err := heard.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if want := "site.notes." + m.data("public_key").(string); note.Subject != want || !strings.Contains(string(note.Data), "rack 7") {
		t.Errorf("%s says %s, want %s", note.Subject, note.Data, want)
	}
	text, err := os.ReadFile(asked)
	if diff := cmp.Diff(true, strings.HasPrefix(string(text), "n1.example\nn1.example\n")); diff != "" || err != nil {
		t.Errorf("the site was asked about %q, %v", text, err)
	}
	if m.entered("noting") == 0 || m.entered("vetting") != 1 {
		t.Errorf("the node was %d and %d times in the states that the site has added", m.entered("noting"), m.entered("vetting"))
	}
}
