package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A machine is held against those that run beside it where the channel is followed, before anything is published.
func TestPublishRefusesWhatDoesNotFitTheMachinesOfNodes(t *testing.T) {
	const manifest = "format: 1\nname: watcher\nversion: 1.0.0\ninitial_state: on\nstates: {on: {home: true}}\n" +
		"transitions: [{name: go, from: [on], destination: on, subscribe: [{machine_name: health, event: EVENT}]}]\n"
	for event, want := range map[string]string{"failing": "", "failed_badly": `SC502 the machine health has no event "failed_badly"`} {
		dir := filepath.Join(t.TempDir(), "watcher")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "machine.yaml"), []byte(strings.Replace(manifest, "EVENT", event, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		inv := &invocation{out: &results{w: &out}, stderr: &out}
		verb := publishVerb{Paths: []string{dir}}
		verb.Channel = "default"
		packed, err := verb.pack(inv)
		if (err == nil) != (want == "") || !strings.Contains(out.String(), want) || want == "" && len(packed) != 1 {
			t.Errorf("%s: %v\n%s", event, err, &out)
		}
	}
}
