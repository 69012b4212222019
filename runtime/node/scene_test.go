package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// override writes a built-in machine such as "node/enrollment" into a folder of a site's own machines. Pairs are texts of it and what takes
// their place; a text that the machine does not have fails the test.
func override(t testing.TB, dir, name string, pairs ...string) string {
	t.Helper()
	src, err := manifests.Files.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("machine %s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	write(t, filepath.Join(dir, filepath.Base(name)+".yaml"), text, 0o600)
	policies(t, dir, filepath.Dir(name))
	return dir
}

// policies writes those of a folder of built-in machines beside machines that are taken from it.
func policies(t testing.TB, dir, folder string) {
	t.Helper()
	found, err := fs.Glob(manifests.Files, folder+"/*.rego")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		text, err := manifests.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(name)), string(text), 0o600)
	}
}

// patience is how long a test waits for a message.
const patience = 30 * time.Second

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// impatient are changes of node/enrollment after which a node that waits asks again soon.
var impatient = []string{"pending: {home: true, after: {2m: try_again}", "pending: {home: true, after: {300ms: try_again}"}

// impatientNodes is a folder of machines of such nodes.
func impatientNodes(t testing.TB) func(c *node.Config) {
	dir := override(t, t.TempDir(), "node/enrollment", impatient...)
	return func(c *node.Config) { c.Machines = dir }
}

// stateOf is the state of a machine, "" where there is none.
func stateOf(h *runtime.Host, name string) string {
	for _, m := range h.Machines() {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}

// member is one node in an agent.
type member struct {
	t     testing.TB
	id    string
	agent *node.Agent
	store *identity.Store
	stop  func() error // the agent
	dir   string
}

// newMember runs a node in an agent of its own, with the state that its folder holds.
func newMember(t testing.TB, id, dir, join string, change func(c *node.Config)) *member {
	t.Helper()
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	cfg := node.Config{Vouch: runtime.Unsigned, Identity: id, Dir: dir, Clock: real, Log: quiet()}
	if change != nil {
		change(&cfg)
	}
	m := &member{t: t, id: id, dir: dir}
	if m.agent, err = node.New(cfg); err != nil {
		t.Fatal(err)
	}
	if m.store, err = m.agent.OpenStore(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.JoinToken(); err != nil {
		if err := m.store.SetJoinToken(join); err != nil {
			t.Fatal(err)
		}
	}
	m.stop = running(t, m.agent.Run, real.Close)
	t.Cleanup(m.explain)
	if err := m.agent.Add(t.Context(), id, m.store); err != nil {
		t.Fatal(err)
	}
	return m
}

// explain logs the way that the node of a test that has failed took.
func (m *member) explain() {
	if !m.t.Failed() {
		return
	}
	_ = m.agent.Host().History(context.Background(), "enrollment", func(e runtime.HistoryEntry) error {
		if r := e.Record; r != nil {
			m.t.Logf("%s %s: %s -> %s by %s %v", m.id, r.At.Format("05.000"), r.From, r.To, r.Event, r.Payload["reason"])
		}
		return nil
	})
}

func (m *member) state() string { return stateOf(m.agent.Host(), "enrollment") }

// data is a key of the enrollment machine's data.
func (m *member) data(key string) any {
	m.t.Helper()
	detail, err := m.agent.Host().Machine(m.t.Context(), "enrollment")
	if err != nil {
		m.t.Fatal(err)
	}
	return detail.Data[key]
}

func (m *member) reason() string {
	text, _ := m.data("reason").(string)
	return text
}

// becomes waits for a state.
func (m *member) becomes(state string) {
	m.t.Helper()
	eventually(m.t, m.id+" is "+state, func() bool { return m.state() == state })
}

// entered counts how often the enrollment machine has come to a state.
func (m *member) entered(state string) int {
	m.t.Helper()
	seen := map[uint64]bool{}
	err := m.agent.Host().History(m.t.Context(), "enrollment", func(e runtime.HistoryEntry) error {
		if e.Record != nil && e.Record.To == state && e.Record.From != state {
			seen[e.Record.Seq] = true
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return len(seen)
}

// operator connects to the cell as somebody who may do everything.
func (c *cell) operator() *overlay.Connection {
	c.t.Helper()
	client, err := overlay.OpenClient(filepath.Join(c.dir, "operator"))
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := client.Connect(c.t.Context(), quiet())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	return conn
}

func (c *cell) bucket(name string) jetstream.KeyValue {
	c.t.Helper()
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		c.t.Fatal(err)
	}
	bucket, err := js.KeyValue(c.t.Context(), name)
	if err != nil {
		c.t.Fatal(err)
	}
	return bucket
}

// record is what a bucket says of a node, nil where it does not.
func record(t testing.TB, nodes jetstream.KeyValue, id string) map[string]any {
	t.Helper()
	entry, err := nodes.Get(t.Context(), identity.Identity(id).Token())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal(entry.Value(), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// put changes keys of a record as an operator would.
func put(t testing.TB, nodes jetstream.KeyValue, id string, changes map[string]any) {
	t.Helper()
	value := record(t, nodes, id)
	for k, v := range changes {
		value[k] = v
	}
	data, err := json.Marshal(value)
	if err == nil {
		_, err = nodes.Put(t.Context(), identity.Identity(id).Token(), data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// within fails the test when something has taken longer than it may.
func within(t testing.TB, what string, limit time.Duration, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %s, want at most %s", what, took, limit)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
