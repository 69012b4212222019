package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// hasty is a folder of machines of nodes that decide soon, and ask often.
func hasty(t testing.TB) func(c *node.Config) {
	dir := override(t, t.TempDir(), "node/bundle", "after: {2m: unhealthy}", "after: {2s: unhealthy}", "for: 5s", "for: 100ms", "splay: 5s", "splay: 10ms")
	override(t, dir, "node/deployer", "timer: 5m, splay: true", "timer: 1s", "interval: 1m\n    splay: 1m\n    timeout: 10s", "interval: 1s\n    timeout: 10s")
	return func(c *node.Config) { c.Machines = dir }
}

// delivered is a cell with a node that runs version 1.0.0 of the machine web.
func delivered(t testing.TB, change func(o *overlay.InitOptions)) (*cell, *shop, *member) {
	t.Helper()
	c := newCell(t, change)
	s := openShop(t, c)
	m := newMember(t, "n1.example", t.TempDir(), c.join, hasty(t))
	s.publish(s.stock(web("1.0.0")))
	m.runs("web", "1.0.0")
	m.bundleBecomes("web", "running")
	return c, s, m
}

// holds waits until the deployer refuses something, for a reason.
func (m *member) holds(reason registry.Reason) {
	m.t.Helper()
	eventually(m.t, m.id+" holds: "+string(reason), func() bool {
		return stateOf(m.agent.Host(), "deployer") == "holding" && m.deployer("reason") == string(reason)
	})
	if detail, _ := m.deployer("detail").(string); detail == "" {
		m.t.Error("it does not say why")
	}
	m.stillRuns("1.0.0")
}

// stillRuns is what the last good spec says.
func (m *member) stillRuns(version string) {
	m.t.Helper()
	if got := versionOf(m.agent.Host(), "web"); got != version {
		m.t.Errorf("the node runs %q, want %s", got, version)
	}
}

func (m *member) settles() {
	m.t.Helper()
	eventually(m.t, m.id+" is settled", func() bool { return stateOf(m.agent.Host(), "deployer") == "settled" })
}

// slot is the folder of the machine that runs.
func (m *member) slot() string {
	m.t.Helper()
	detail, err := m.agent.Host().Machine(m.t.Context(), "web")
	if err != nil {
		m.t.Fatal(err)
	}
	return detail.Directory
}

// TestC21TamperedMachines changes what a node runs, in every way. It is found, not used, and deployed anew.
func TestC21TamperedMachines(t *testing.T) {
	_, _, m := delivered(t, nil)
	target, marker := filepath.Dir(filepath.Dir(m.slot())), filepath.Join(t.TempDir(), "ran")
	evil := "#!/bin/sh\necho ran >> " + marker + "\n"
	for name, change := range map[string]func() error{
		"a script": func() error { return os.WriteFile(filepath.Join(m.slot(), "work"), []byte(evil), 0o755) },
		"the manifest": func() error {
			return os.WriteFile(filepath.Join(m.slot(), "machine.yaml"), []byte("name: evil"), 0o644)
		},
		"the sums":       func() error { return os.WriteFile(filepath.Join(m.slot(), registry.SumsFile), nil, 0o644) },
		"another file":   func() error { return os.WriteFile(filepath.Join(m.slot(), "more"), []byte(evil), 0o755) },
		"a missing file": func() error { return os.Remove(filepath.Join(m.slot(), "work")) },
		"the pointer": func() error {
			return errors.Join(os.Remove(filepath.Join(target, "web")), os.Symlink("/tmp", filepath.Join(target, "web")))
		},
		"the whole slot": func() error { return os.RemoveAll(m.slot()) },
	} {
		m.bundleBecomes("web", "running")
		before := m.times("bundle:web", "tampered")
		eventually(t, "the files are watched", func() bool { return m.looked("bundle:web", "verify") })
		var err error
		eventually(t, "nobody runs the file", func() bool {
			err = change()
			return !errors.Is(err, syscall.ETXTBSY)
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is found that somebody has changed "+name, func() bool { return m.times("bundle:web", "tampered") > before })
		m.bundleBecomes("web", "running")
		text, err := os.ReadFile(filepath.Join(m.slot(), "work"))
		if err != nil || string(text) != web("1.0.0")["work"] {
			t.Errorf("after %s was changed there is %q, %v", name, text, err)
		}
		if _, err := os.Lstat(filepath.Join(m.slot(), "more")); err == nil {
			t.Error("what was added is still there")
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("what was tampered with was used")
	}
}

// times is how often a machine has come to a state.
func (m *member) times(unit, state string) int {
	m.t.Helper()
	n := 0
	m.records(unit, func(to string) {
		if to == state {
			n++
		}
	})
	return n
}

// records calls f with the states that a machine has come to.
func (m *member) records(unit string, f func(to string)) {
	m.t.Helper()
	if err := m.agent.Host().History(m.t.Context(), unit, func(e runtime.HistoryEntry) error {
		if r := e.Record; r != nil && r.To != r.From {
			f(r.To)
		}
		return nil
	}); err != nil {
		m.t.Fatal(err)
	}
}

// looked reports whether a watcher of a machine has looked since its state was entered.
func (m *member) looked(unit, watcher string) bool {
	detail, err := m.agent.Host().Machine(m.t.Context(), unit)
	if err != nil {
		return false
	}
	for _, w := range detail.Watchers {
		if w.Name == watcher {
			return w.Active && !w.Running && w.Outcome != "" && w.At.After(detail.Since)
		}
	}
	return false
}

// TestRestartOfTheCell restarts the cell's host, and with it all that it has in memory.
func TestRestartOfTheCell(t *testing.T) {
	c, s, m := delivered(t, nil)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	m.stillRuns("1.0.0")
	c.run()
	s.publish(s.stock(web("1.1.0")))
	m.runs("web", "1.1.0")
	m.bundleBecomes("web", "running")
}

// TestNodeRestartsCutOff restarts a node whose cell is gone: it runs its machines from its disk. That holds where it had been fetching a new
// version, too.
func TestNodeRestartsCutOff(t *testing.T) {
	c := newCell(t, nil)
	s := openShop(t, c)
	dir := t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, hasty(t))
	s.publish(s.stock(web("1.0.0")))
	m.bundleBecomes("web", "running")
	next := s.stock(web("1.1.0"))
	next.Source = "object://BUNDLES/nowhere"
	for _, state := range []string{"running", "fetching"} {
		if state == "fetching" {
			s.publish(next)
		}
		m.bundleBecomes("web", state)
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		if state == "fetching" {
			if err := c.stop(); err != nil {
				t.Fatal(err)
			}
		}
		m = newMember(t, "n1.example", dir, c.join, hasty(t))
		m.runs("web", "1.0.0")
		m.bundleBecomes("web", state)
		eventually(t, "the machine works", func() bool { return m.works("web") })
	}
}

// works reports whether the machine's own watcher has done its work.
func (m *member) works(name string) bool {
	detail, err := m.agent.Host().Machine(m.t.Context(), name)
	return err == nil && len(detail.Watchers) == 1 && detail.Watchers[0].Outcome == "success"
}

// TestE36DisorderlyRepublish gives a node what a stream may say after it was cut short, restored from an old copy, or said twice and out of
// order. It keeps its last good spec, and says why.
func TestE36DisorderlyRepublish(t *testing.T) {
	_, s, m := delivered(t, nil)
	one, two := s.stock(web("1.0.0")), s.stock(web("1.1.0"))
	older := s.sign(s.spec(one), s.key)
	newer := s.sign(s.spec(two), s.key)
	s.put("spec.default", newer)
	m.runs("web", "1.1.0")
	m.bundleBecomes("web", "running")
	m.settles()
	s.put("spec.default", newer) // once more
	m.settles()
	s.put("spec.default", older) // restored from an old copy
	eventually(t, "the node says that it is older", func() bool { return m.deployer("reason") == string(registry.Rollback) })
	m.stillRuns("1.1.0")
	mixed := s.spec(one)
	mixed.Serial--
	s.put("spec.default", s.sign(mixed, s.key)) // the same serial with another content
	eventually(t, "the node says that it is another one", func() bool { return m.deployer("reason") == string(registry.Mixed) })
	m.stillRuns("1.1.0")
	if err := s.c.bucket("SPECS").Purge(t.Context(), "spec.default"); err != nil { // the stream was cut short
		t.Fatal(err)
	}
	eventually(t, "the node says that it is missing", func() bool { return m.deployer("reason") == "missing" })
	m.stillRuns("1.1.0")
	s.publish(one)
	m.runs("web", "1.0.0")
	m.settles()
}

// TestC18ReplacedSpec has somebody who may write the bucket, but has no key of the spec role, replace the spec in every way.
func TestC18ReplacedSpec(t *testing.T) {
	_, s, m := delivered(t, nil)
	good, evil := s.stock(web("1.0.0")), s.stock(web("6.6.6"))
	thief := newKey(t)
	tomorrow := time.Now().UTC().Truncate(time.Second).Add(24 * time.Hour)
	for _, tt := range []struct {
		reason registry.Reason
		key    *identity.Key
		change func(*registry.Spec)
	}{
		{registry.Unsigned, thief, func(*registry.Spec) {}},
		{registry.Expired, s.key, func(sp *registry.Spec) {
			sp.Issued, sp.Expires = tomorrow.Add(-72*time.Hour), tomorrow.Add(-48*time.Hour)
		}},
		{registry.NotYet, s.key, func(sp *registry.Spec) { sp.Issued, sp.Expires = tomorrow, tomorrow.Add(time.Hour) }},
		{registry.WrongPlace, s.key, func(sp *registry.Spec) { sp.Audience = "elsewhere" }},
		{registry.WrongPlace, s.key, func(sp *registry.Spec) { sp.Channel = "other" }},
		{registry.Rollback, s.key, func(sp *registry.Spec) { sp.Serial = 1 }},
	} {
		s.publish(good)
		m.settles()
		spec := s.spec(evil)
		tt.change(spec)
		s.put("spec.default", s.sign(spec, tt.key))
		m.holds(tt.reason)
	}
	for reason, text := range map[registry.Reason][]byte{
		registry.Malformed: []byte(`{"payload": 1}`),
		registry.WrongType: s.sign(s.firstRoot(), s.root, s.key),
	} {
		s.publish(good)
		m.settles()
		s.put("spec.default", text)
		m.holds(reason)
	}
}

// TestC18ForgedRepublish has a node speak as the stream does. A broker that allows it would pass it on; ours does not, and the node would not
// believe it.
func TestC18ForgedRepublish(t *testing.T) {
	_, s, m := delivered(t, nil)
	envelope := s.sign(s.spec(s.stock(web("6.6.6"))), newKey(t))
	permissive := anything(t, &server.Options{Port: -1})
	free, err := nats.Connect(permissive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free.Close)
	heard, err := free.SubscribeSync("fleet.specs.>")
	if err == nil {
		err = free.Publish("fleet.specs.spec.default", envelope)
	}
	if err == nil {
		_, err = heard.NextMsg(patience)
	}
	if err != nil {
		t.Fatalf("a broker that allows it does not pass it on: %v", err)
	}
	other := newMember(t, "n2.example", t.TempDir(), s.c.join, nil)
	other.becomes("active")
	given, err := other.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	key, err := other.store.Key()
	if err != nil {
		t.Fatal(err)
	}
	attacker, denied := raw(t, given.URLs, given.Token, key, "_INBOX."+identity.Identity(other.id).Token(), given.CA, nil)
	for _, subject := range []string{"fleet.specs.spec.default", "fleet.specs.root.2", "$KV.SPECS.spec.default", "node.n1=example.in.spec", "node.n1=example.out.spec", "_INBOX.n1=example.x"} {
		if err := attacker.Publish(subject, envelope); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the broker denies "+subject, func() bool { return denied.of("publish", subject) })
	}
	m.settles()
	m.stillRuns("1.0.0")
	if err := s.c.operator().Publish("fleet.specs.spec.default", envelope); err != nil { // the broker itself, as it were
		t.Fatal(err)
	}
	m.holds(registry.Unsigned)
}

// TestC18LyingDepot has an overlay that answers with old, forged and other specs, and with other bundles.
func TestC18LyingDepot(t *testing.T) {
	c, s, m := delivered(t, nil)
	forged := string(s.sign(s.spec(s.stock(web("6.6.6"))), newKey(t)))
	good := s.stock(web("1.1.0"))
	if _, err := c.host.Host().Fire(t.Context(), "bundles", "drain", nil, "attacker"); err != nil {
		t.Fatal(err)
	}
	liar := c.operator()
	eventually(t, "the true depot is gone", func() bool {
		_, err := liar.Request("node.n9=example.out.spec", []byte(`{"channels":["default"]}`), time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
	if _, err := liar.Subscribe("node.*.out.spec", func(q *nats.Msg) {
		_ = q.Respond([]byte(fmt.Sprintf(`{"specs": {"default": %q}, "roots": [], "more": false}`, forged)))
	}); err != nil {
		t.Fatal(err)
	}
	other := pack(t, web("6.6.6")).Data
	if _, err := liar.Subscribe("node.*.out.bundle", func(q *nats.Msg) {
		answer := nats.NewMsg(q.Reply)
		answer.Data = other
		answer.Header.Set("Statecraft-Size", fmt.Sprint(len(other)))
		answer.Header.Set("Statecraft-Offset", "0")
		_ = liar.PublishMsg(answer)
	}); err != nil {
		t.Fatal(err)
	}
	m.holds(registry.Unsigned)
	s.publish(good)
	m.bundleBecomes("web", "fetching")
	eventually(t, "the node says that it was given another bundle", func() bool {
		detail, err := m.agent.Host().Machine(t.Context(), "bundle:web")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range detail.Watchers {
			if w.Name == "fetch" && strings.Contains(w.Message, "digest") {
				return true
			}
		}
		return false
	})
	m.stillRuns("1.0.0")
}

// TestPurgeRemovesOnlyItsOwn empties the list of a node that has other machines, too.
func TestPurgeRemovesOnlyItsOwn(t *testing.T) {
	_, s, m := delivered(t, nil)
	eventually(t, "the payload is there", func() bool { _, err := os.Stat(m.slot()); return err == nil })
	slot := m.slot()
	s.publish()
	eventually(t, "the machine is gone", func() bool { return versionOf(m.agent.Host(), "web") == "" && m.bundle("web") == "" })
	if _, err := os.Stat(slot); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its payload is still there: %v", err)
	}
	for _, name := range []string{"enrollment", "heartbeat", "health", "deployer"} {
		if stateOf(m.agent.Host(), name) == "" {
			t.Errorf("the machine %s is gone, too", name)
		}
	}
}

// TestBundleTakesNoBuiltInName publishes a machine with the name of one that comes with the program.
func TestBundleTakesNoBuiltInName(t *testing.T) {
	_, s, m := delivered(t, nil)
	evil := web("6.6.6")
	evil["machine.yaml"] = strings.Replace(evil["machine.yaml"], "name: web", "name: heartbeat", 1)
	s.publish(s.stock(web("1.0.0")), s.stock(evil))
	eventually(t, "the node says so", func() bool {
		detail, _ := m.deployer("detail").(string)
		return strings.Contains(detail, "heartbeat")
	})
	m.stillRuns("1.0.0")
	if v := versionOf(m.agent.Host(), "heartbeat"); v == "6.6.6" || v == "" {
		t.Errorf("heartbeat has the version %q", v)
	}
}

// TestGovernorLimitsFetching has two of three nodes fetch under a governor at once; the third waits for its turn.
func TestGovernorLimitsFetching(t *testing.T) {
	machines := override(t, t.TempDir(), "overlay/turn", "capacity: 50", "capacity: 2", "after: {10m: overdue}", "after: {1h: overdue}")
	c := newCell(t, func(o *overlay.InitOptions) { o.Machines = machines })
	s := openShop(t, c)
	var members []*member
	for i := range 3 {
		m := newMember(t, fmt.Sprintf("n%d.example", i+1), t.TempDir(), c.join, hasty(t))
		m.becomes("active")
		members = append(members, m)
	}
	good := s.stock(web("1.0.0"))
	nowhere := good
	nowhere.Source, nowhere.Governor = "object://BUNDLES/nowhere", "slow"
	s.publish(nowhere)
	turns := func() (granted, queued int) {
		for _, m := range c.host.Host().Machines() {
			if strings.HasPrefix(m.Name, "turn:") {
				granted += map[string]int{"granted": 1}[m.State]
				queued += map[string]int{"queued": 1}[m.State]
			}
		}
		return granted, queued
	}
	eventually(t, "two have their turn and one waits", func() bool { granted, queued := turns(); return granted == 2 && queued == 1 })
	good.Governor = "slow"
	s.publish(good)
	for _, m := range members {
		m.runs("web", "1.0.0")
	}
	eventually(t, "all turns were given back", func() bool { granted, queued := turns(); return granted+queued == 0 })
}
