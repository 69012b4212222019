package machine

import (
	"io/fs"
	"strings"
	"testing"
)

// TestMissingProgramIsSaid holds that a program below the manifest's folder is looked for there, and nowhere where the folder is not at hand.
func TestMissingProgramIsSaid(t *testing.T) {
	src := []byte(`format: 1
name: web
version: 1.0.0
initial_state: up
transitions:
  - {name: go, from: [up], destination: up}
watchers:
  - {name: there, type: exec, interval: 10s, success_transition: go, properties: {command: ./there}}
  - {name: gone, type: exec, interval: 10s, success_transition: go, properties: {command: bin/../gone}}
`)
	types := checkTypes()
	exec, _ := types.Find("exec")
	exec.Programs = func(w *WatcherSpec) []string { return []string{w.Properties.Get("command").Value} }
	folder := func(name string) ([]byte, error) {
		if name == "there" {
			return nil, nil
		}
		return nil, fs.ErrNotExist
	}
	_, list := LoadText(Text{File: "m.yaml", Source: src, Files: folder}, types)
	if len(list) != 1 || list[0].Code != "SC428" || !strings.Contains(list[0].Message, "watcher gone: there is no gone in") {
		t.Error(list)
	}
	if _, list := Load("m.yaml", src, types); len(list) > 0 {
		t.Error(list)
	}
}
