package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sandboxedManifest is of a machine whose script runs as another user, and says what it could read.
const sandboxedManifest = `format: 1
name: web
version: 1.0.0
initial_state: idle
data: {output: {type: string, default: ""}}
states:
  idle: {}
  worked: {final: success}
  broken: {final: failure}
transitions:
  - {name: worked, from: [idle], destination: worked, set: {output: event.payload.output}}
  - {name: broke, from: [idle], destination: broken, set: {output: event.payload.stderr}}
watchers:
  - name: work
    type: exec
    state_match: [idle]
    success_transition: worked
    fail_transition: broke
    properties: {command: ./work, sandbox: {user: nobody}}
`

// TestB16APublishedMachineRunsAsAnotherUser publishes a machine whose script runs as nobody: on a node whose folder is new, on one whose folder an
// earlier release has made for its owner alone, and on an emulated one. The script finds its own files, and nothing of what the node keeps.
func TestB16APublishedMachineRunsAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root can run a script as another user; run this test as root")
	}
	c := newCell(t, nil)
	s := openShop(t, c)
	fresh, old := filepath.Join(passableDir(t), "node"), passableDir(t)
	if err := os.Chmod(old, 0o700); err != nil {
		t.Fatal(err)
	}
	work := "#!/bin/sh\nid -un; pwd\n"
	for _, dir := range []string{fresh, old} {
		work += fmt.Sprintf("ls %s %[1]s/identity %[1]s/state %[1]s/registry; cat %[1]s/identity/key\n", dir)
	}
	work += "exit 0\n"
	members := []*member{newMember(t, "n1.example", fresh, c.join, nil), newMember(t, "n2.example", old, c.join, nil)}
	entry := s.stock(map[string]string{"machine.yaml": sandboxedManifest, "work": work})
	s.publish(entry)
	for _, m := range members {
		eventually(t, m.id+"'s machine has ended", func() bool { state := stateOf(m.agent.Host(), "web"); return state == "worked" || state == "broken" })
		detail, err := m.agent.Host().Machine(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		output, _ := detail.Data["output"].(string)
		who, rest, _ := strings.Cut(output, "\n")
		if where, more, _ := strings.Cut(rest, "\n"); detail.State != "worked" || who != "nobody" || !strings.Contains(where, "/machines/") || more != "" {
			t.Errorf("%s: it ends in %s and says %q", m.id, detail.State, output)
		}
	}
	for _, dir := range []string{fresh, old} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("%s is %v, %v", dir, info, err)
		}
		for _, secret := range []string{"identity", "state", "registry"} {
			if info, err := os.Stat(filepath.Join(dir, secret)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s of %s is %v, %v", secret, dir, info, err)
			}
		}
	}
	emulation := newAgent(t, nil)
	if _, err := emulation.Emulate(t.Context(), "e", "example", c.join, 1, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the machine of an emulated node has worked", func() bool {
		for _, m := range emulation.Host().Machines() {
			if filepath.Base(m.Name) == "web" {
				return m.State == "worked"
			}
		}
		return false
	})
}

// passableDir is a folder of this test into which every user has a way.
func passableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
