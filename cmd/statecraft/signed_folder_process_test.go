package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sourcing = `format: 1
name: sourcing
version: 1.0.0
initial_state: up
states:
  up: {home: true}
transitions:
  - {name: looked, from: [up], destination: up}
watchers:
  - {name: look, type: exec, state_match: [up], success_transition: looked, interval: 500ms, properties: {command: ./run.sh}}
`

// signedMachine is a folder of a machine whose script says, into a file beside the folder, what lib.sh tells it to.
type signedMachine struct {
	t                        *testing.T
	folder, state, said, key string
}

func newSignedMachine(t *testing.T) *signedMachine {
	t.Helper()
	top := t.TempDir()
	m := &signedMachine{t: t, folder: filepath.Join(top, "sourcing"), state: filepath.Join(top, "state"), said: filepath.Join(top, "said"), key: filepath.Join(top, "me.key")}
	if err := os.Mkdir(m.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	m.write("machine.yaml", sourcing, 0o644)
	m.write("run.sh", "#!/bin/sh\n. ./lib.sh\n", 0o755)
	m.write("lib.sh", m.script("good"), 0o644)
	statecraft(t, "keys", "new", m.key)
	m.sign()
	return m
}

func (m *signedMachine) script(word string) string { return "echo " + word + " >> " + m.said + "\n" }

func (m *signedMachine) write(name, content string, mode os.FileMode) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.folder, name), []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *signedMachine) sign() { statecraft(m.t, "sign", "--key", m.key, m.folder) }

// run starts the host. It ends with the test.
func (m *signedMachine) run() *process {
	m.t.Helper()
	public := strings.Fields(statecraft(m.t, "keys", "show", m.key))
	p := &process{t: m.t, Cmd: exec.Command("statecraft", "run", "--signed-by", public[2], "--state", m.state, m.folder)}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

// says waits until the script has said a word as often again.
func (m *signedMachine) says(word string, more int) {
	m.t.Helper()
	count := func() int {
		said, _ := os.ReadFile(m.said)
		return strings.Count(string(said), word+"\n")
	}
	for want, end := count()+more, time.Now().Add(30*time.Second); count() < want; time.Sleep(20 * time.Millisecond) { //nolint:forbidigo // the end of a poll
		if time.Now().After(end) {
			said, _ := os.ReadFile(m.said)
			m.t.Fatalf("it does not say %q:\n%s", word, said)
		}
	}
}

// TestH77WhatRunsIsWhatWasChecked changes a script through a mapping in memory, which leaves its times and its inode as they were.
func TestH77WhatRunsIsWhatWasChecked(t *testing.T) {
	m := newSignedMachine(t)
	file, err := os.OpenFile(filepath.Join(m.folder, "lib.sh"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content := []byte(m.script("good"))
	mapped, err := syscall.Mmap(int(file.Fd()), 0, len(content), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Munmap(mapped) }()
	host := m.run()
	m.says("good", 1)
	mapped[0] = content[0] // dirty, so that what is written next leaves no trace
	m.says("good", 8)      // 4 s, after which the times of a file tell that it is as it was
	copy(mapped, m.script("evil"))
	statecraft(t, "states", "sourcing", "--state", m.state)
	m.says("good", 4)
	if said, _ := os.ReadFile(m.said); strings.Contains(string(said), "evil") {
		t.Errorf("what nobody has signed has run:\n%s", said)
	}
	if verified := statecraft(t, "verify", "--state", m.state); !strings.Contains(verified, `goes on as it was signed; its folder `+m.folder+` is another now: `) ||
		!strings.Contains(verified, `changed: "lib.sh"`) {
		t.Errorf("verify says\n%s", verified)
	}
	if code := host.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d\n%s", code, host.err.String())
	}
}

// TestH77AFolderThatIsSignedAgainTakesThePlaceOfItsCopy goes from version to version, with one in between that is not as it was signed.
func TestH77AFolderThatIsSignedAgainTakesThePlaceOfItsCopy(t *testing.T) {
	m := newSignedMachine(t)
	host := m.run()
	m.says("good", 1)
	m.write("lib.sh", m.script("evil"), 0o644)
	until(t, func() bool { return strings.Contains(statecraft(t, "verify", "--state", m.state), `is another now`) })
	m.says("good", 4)
	for _, word := range []string{"second", "third", "fourth"} {
		m.write("lib.sh", m.script(word), 0o644)
		m.sign()
		m.says(word, 1)
	}
	until(t, func() bool {
		copies, err := os.ReadDir(filepath.Join(m.state, "signed"))
		return err == nil && len(copies) == 2 // and the one before
	})
	if said, _ := os.ReadFile(m.said); strings.Contains(string(said), "evil") {
		t.Errorf("what nobody has signed has run:\n%s", said)
	}
	if verified := statecraft(t, "verify", "--state", m.state); strings.Contains(verified, "another") {
		t.Errorf("verify says\n%s", verified)
	}
	copies, err := filepath.Glob(filepath.Join(m.state, "signed", "*", "lib.sh"))
	if err != nil || len(copies) != 2 {
		t.Fatalf("%v %v", copies, err)
	}
	for _, name := range copies { // one's own user can still do harm, which is found
		if err := os.WriteFile(name, []byte(m.script("evil")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("statecraft", "verify", "--state", m.state).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "what it runs from is not as it was signed: sourcing") {
		t.Errorf("%v\n%s", err, out)
	}
	if code := host.end(syscall.SIGTERM); code != exitOK || !strings.Contains(host.err.String(), "machine_not_replaced") {
		t.Errorf("exit code %d\n%s", code, host.err.String())
	}
	m.run()
	m.says("fourth", 2) // copied anew
	statecraft(t, "verify", "--state", m.state)
}
