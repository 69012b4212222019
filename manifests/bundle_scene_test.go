package manifests_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/delivery"
)

// site is a folder with the state of a host and the machines that were deployed to it.
type site struct{ dir string }

const nodeName = "n1.example.net"

func (s *site) slots() *registry.Slots {
	return &registry.Slots{Target: filepath.Join(s.dir, "machines"), Sync: true}
}

// store puts a bundle where the archive watcher finds it without a source: the tests are not about downloads. What the name points to stays what it was, as
// it is tampering to change that.
func (s *site) store(b *registry.Bundle) error {
	made := &registry.Slots{Target: filepath.Join(s.dir, "made")}
	slot, err := made.Install(b.Name, b.Digest, bytes.NewReader(b.Data), int64(len(b.Data)), nil, registry.DefaultLimits())
	if err != nil {
		return err
	}
	place := filepath.Join(s.slots().Target, filepath.Base(filepath.Dir(slot)), filepath.Base(slot))
	if err := os.MkdirAll(filepath.Dir(place), 0o711); err != nil {
		return err
	}
	if err := os.Rename(slot, place); err != nil && !errors.Is(err, fs.ErrExist) { // it is there already
		return err
	}
	return os.RemoveAll(made.Target)
}

// entryOf is the input of an instance of the template.
func entryOf(b *registry.Bundle) map[string]any {
	return map[string]any{"target": "", "password": "", "manager": "test", "machine": map[string]any{
		"name": b.Name, "version": b.Version, "source": "object://BUNDLES/" + b.Digest, "checksum": b.Digest,
		"verify": registry.SumsFile, "verify_checksum": b.SumsDigest,
	}}
}

// node is a host of a site that runs, with the template bundle.
type node struct {
	host     *runtime.Host
	deployer *runtime.Deployer
	stop     func() error
}

// impatient are the changes of node/bundle with which it does not wait for long.
var impatient = strings.NewReplacer("after: {2m: unhealthy}", "after: {1s: unhealthy}", "for: 5s", "for: 100ms", "splay: 5s", "splay: 1ms")

// start runs a host on the folder. hook is the host's own.
func (s *site) start(hook func(point string)) (*node, error) {
	n := &node{}
	n.deployer = runtime.NewDeployer(runtime.DeployerConfig{Host: func() *runtime.Host { return n.host }, Reserved: func(name string) bool { return name == "enrollment" }})
	catalogue := all.New(all.Services{
		Spawner: watchers.SpawnerFunc(func(ctx context.Context, o watchers.SpawnOrder) (bool, error) { return n.host.Spawn(ctx, o) }),
		Delivery: delivery.Services{
			Deployer: n.deployer, Slots: func(string) (*registry.Slots, error) { return s.slots(), nil },
		},
	})
	source, err := manifests.Files.ReadFile("node/bundle.yaml")
	if err != nil {
		return nil, err
	}
	def, list := machine.Load("bundle.yaml", []byte(impatient.Replace(string(source))), catalogue)
	if err := list.Err(); err != nil {
		return nil, err
	}
	real, err := clock.NewReal()
	if err != nil {
		return nil, err
	}
	n.host, err = runtime.New(runtime.Config{
		Identity: nodeName, Catalogue: catalogue, Clock: real, Log: slog.New(slog.DiscardHandler), StateDir: filepath.Join(s.dir, "state"), Hook: hook,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.host.Run(ctx) }()
	n.stop = func() error {
		cancel()
		return errors.Join(<-ended, real.Close())
	}
	return n, n.host.Deploy(ctx, runtime.Deployment{Definition: def})
}

// bundle is the state of the instance of a machine, "" where there is none.
func (n *node) bundle(name string) string { return n.state("bundle:" + name) }

func (n *node) state(name string) string {
	for _, m := range n.host.Machines() {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}

// version is what runs under a name, "" where nothing does.
func (n *node) version(name string) string {
	s, ok := n.deployer.Standing(nodeName, name)
	if !ok {
		return ""
	}
	return s.Version
}

// want starts the instance of a bundle, or tells it of the change.
func (n *node) want(b *registry.Bundle) error {
	started, err := n.host.Spawn(context.Background(), watchers.SpawnOrder{Identity: nodeName, Template: "bundle", Key: b.Name, Input: entryOf(b)})
	if err != nil || started {
		return err
	}
	_, err = n.deployer.Signal(context.Background(), nodeName, "bundle", b.Name, "changed", entryOf(b))
	return err
}

// rests waits until the instance is in one of some states.
func (n *node) rests(name string, states ...string) error {
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		now := n.bundle(name)
		for _, s := range states {
			if s == now {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("the bundle is %s, want one of %s", now, strings.Join(states, ", "))
		}
	}
}

// pack makes a bundle of a machine web.
func pack(t testing.TB, manifest, work string) *registry.Bundle {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{"machine.yaml": {manifest, 0o644}, "work": {"#!/bin/sh\n" + work + "\n", 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	b, err := registry.Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// webOf is a machine that is well when its work can be done. States begin with a word of their own, so that a version of another word begins
// anew.
func webOf(version, word string) string {
	return strings.NewReplacer("VERSION", version, "WORD", word).Replace(`format: 1
name: web
version: VERSION
initial_state: WORD_checking
states:
  WORD_good: {home: true}
  WORD_lost: {final: failure}
transitions:
  - {name: worked, from: [WORD_checking, WORD_good], destination: WORD_good}
  - {name: broke, from: [WORD_checking], destination: WORD_checking}
  - {name: broke, from: [WORD_good], destination: WORD_checking}
  - {name: lost, from: [WORD_checking, WORD_good], destination: WORD_lost}
watchers:
  - name: work
    type: exec
    interval: 500ms
    success_transition: worked
    fail_transition: broke
    properties: {command: ./work}
`)
}
