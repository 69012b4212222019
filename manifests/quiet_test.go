package manifests_test

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
)

const (
	// settling is how long a node has been up when its day begins: what it does at first is no rest.
	settling = time.Hour
	day      = 24 * time.Hour
	// atRestBytes is what a node may write into EVENTS in a day of rest.
	atRestBytes = 20_000
	// storedBeside is what a stream stores beside a message's subject and body: 30 bytes of the file store (nats-server 2.12, filestore.go:
	// msgHdrSize 22, the checksum of 8), and headers.
	storedBeside = 130
)

// resting runs machines in virtual time in a world where nothing happens: whatever they ask is answered, and nothing is new.
type resting struct {
	t        *testing.T
	sim      *runtime.Simulation
	durable  map[string]bool // by machine
	awaited  []*runtime.PendingLook
	clock    *clock.Virtual
	due      bool           // the node's token is
	events   map[string]int // by machine and event or watcher
	bytes    int            // of the events
	records  map[string]int // by machine and event, of durable machines
	bundled  bool           // the node has a published machine
	counting bool
}

// Publish implements runtime.Bus.
func (r *resting) Publish(subject string, e event.Event) error {
	var data struct{ Machine, Transition, Name string }
	if err := e.DataAs(&data); err != nil {
		return err
	}
	text, err := e.MarshalJSON()
	r.stored(data.Machine+" "+data.Transition+data.Name, subject, text)
	return err
}

func (r *resting) stored(what, subject string, text []byte) {
	if r.counting {
		r.events[what]++
		r.bytes += len(subject) + len(text) + storedBeside
	}
}

// rest runs the machines of a folder, and a published one of which there is an instance of node/bundle.
func rest(t *testing.T, folder, id string, extra ...string) *resting {
	t.Helper()
	r := &resting{t: t, clock: clock.NewVirtual(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)), durable: map[string]bool{}, events: map[string]int{}, records: map[string]int{}, bundled: len(extra) > 0}
	catalogue := all.New(all.Services{})
	var err error
	r.sim, err = runtime.NewSimulation(runtime.Config{
		Identity: id, Catalogue: catalogue, Log: slog.New(slog.DiscardHandler), Bus: r,
		Random:    func(below time.Duration) time.Duration { return max(0, below) / 2 },
		Intercept: func(p *runtime.PendingLook) { r.awaited = append(r.awaited, p) },
		Observe: func(rec *machine.Record, _ bool) {
			if r.counting && r.durable[rec.Machine] {
				r.records[rec.Machine+" "+rec.Event]++
			}
		},
	}, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.sim.Close() })
	files, err := fs.Glob(manifests.Files, folder+"/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.yaml") {
			continue
		}
		src, err := manifests.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r.deploy(catalogue, file, src)
	}
	for _, text := range extra {
		r.deploy(catalogue, "machine.yaml", []byte(text))
	}
	r.settle()
	return r
}

func (r *resting) deploy(catalogue runtime.Catalogue, file string, src []byte) {
	r.t.Helper()
	def, problems := machine.LoadText(machine.Text{File: file, Source: src, Files: runtime.FilesOf(manifests.Files, path.Dir(file))}, catalogue)
	if err := problems.Err(); err != nil {
		r.t.Fatal(err)
	}
	m := def.Manifest
	d := runtime.Deployment{Definition: def}
	if m.Kind == machine.KindTemplate {
		if m.Name != "bundle" || !r.bundled {
			return
		}
		d.Instance = "web"
		d.Input = map[string]any{"machine": map[string]any{"name": "web", "version": "1.0.0", "checksum": "aa", "verify_checksum": "bb"}, "password": "", "target": ""}
	}
	r.durable[m.Name] = m.Durable
	if err := r.sim.Deploy(r.t.Context(), d); err != nil {
		r.t.Fatal(err)
	}
}

// settle answers every look that waits, until none does.
func (r *resting) settle() {
	r.sim.Settle()
	for len(r.awaited) > 0 {
		p := r.awaited[0]
		r.awaited = r.awaited[1:]
		switch {
		case p.Cancelled():
			p.Complete(watchers.Failure("cancelled"))
		case p.Listener():
			r.listening(p)
		default:
			p.Complete(r.answer(p))
		}
		r.sim.Settle()
	}
}

// listening is what listeners say at first: that they are there.
func (r *resting) listening(p *runtime.PendingLook) {
	switch path.Base(p.Machine()) + " " + p.Watcher() {
	case "enrollment cell":
		p.Emit(watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"logins": 1}})
	case "inventory view":
		p.Emit(watchers.Success())
	}
}

// quietAnswer is what a look comes to at rest, where success is not it.
func (r *resting) quietAnswer(name string) (watchers.Report, bool) {
	listed := map[string]any{"serial": 7, "root": 1, "names": []any{"web"}, "unknown": []any{}, "reason": "", "detail": ""}
	doc := map[string]any{"document": "{}", "digest": "dd", "size": 2}
	reports := map[string]watchers.Report{
		"enrollment key":        {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"public_key": "aa11"}},
		"enrollment assignment": {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"pending": false, "expired": false, "token_id": "t1"}},
		"enrollment renew":      {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"body": map[string]any{"token": "next"}}},
		"enrollment store":      {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"id": "t2"}},
		"deployer ask": {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"body": map[string]any{
			"specs": map[string]any{"default": "one"}, "digests": map[string]any{"default": "d1"}, "roots": []any{}, "more": false,
		}}},
		"deployer root":    {Outcome: "missing", Payload: map[string]any{"key": "root.2"}},
		"deployer list":    {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"key": "spec.overlay", "value": "one", "revision": 7}},
		"deployer poll":    {Outcome: watchers.OutcomeUnchanged, Payload: map[string]any{"body": map[string]any{}}},
		"deployer deploy":  {Outcome: watchers.OutcomeUnchanged, Payload: listed, State: map[string]any{"serial": 7}, Quiet: true},
		"inventory look":   {Outcome: watchers.OutcomeUnchanged, Payload: doc},
		"inventory notice": {},
		"health facts":     {Outcome: machine.OutcomeSuccess, Facts: []byte(`{"mountpoints":{"/":{"used_bytes":1,"available_bytes":1}}}`)},
		"bundle:web fetch": {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"directory": "/web", "digest": "aa"}},
		"bundle:web verify": {Outcome: watchers.OutcomeUnchanged, State: map[string]any{"name": "web"}, Quiet: true,
			Payload: map[string]any{"directory": "/web", "digest": "aa"}},
		"web check":       {Outcome: machine.OutcomeSuccess, State: map[string]any{"command": "./check", "previous_outcome": "success"}},
		"metadata facter": {Outcome: watchers.OutcomeUnchanged, Payload: map[string]any{"count": 100}},
		"streams ensure":  {Outcome: watchers.OutcomeUnchanged},
		"names logins":    {},
		// Nothing that is journalled happens at rest but what enrollment does to renew the token.
		"evidence sign": {Outcome: machine.OutcomeSuccess, Payload: map[string]any{"head": "{}", "sum": "aa", "segment": 1, "size": 900, "at": "2026-03-02T10:00:00Z"}},
	}
	rep, known := reports[name]
	return rep, known
}

// answer is what a look comes to.
func (r *resting) answer(p *runtime.PendingLook) watchers.Report {
	if p.Watcher() == "due" {
		if !r.due {
			return watchers.Report{Outcome: watchers.OutcomeUnchanged}
		}
		r.due = false
		return watchers.Success()
	}
	if rep, known := r.quietAnswer(p.Machine() + " " + p.Watcher()); known {
		return rep
	}
	r.told(p)
	return watchers.Success()
}

// told counts what a look publishes as an event of its own.
func (r *resting) told(p *runtime.PendingLook) {
	if p.Machine() != "heartbeat" {
		return
	}
	src, err := manifests.Files.ReadFile("node/heartbeat.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	def, _ := machine.Load("heartbeat.yaml", src, all.New(all.Services{}))
	for _, w := range def.Manifest.Watchers {
		if w.Name != p.Watcher() || w.Properties == nil || w.Properties.Get("event") == nil {
			continue
		}
		body, err := watchers.CompileFormula(w.Properties.Get("body").Value)
		if err != nil {
			r.t.Fatal(err)
		}
		data, err := body.Value(p.View(), nil)
		if err != nil {
			r.t.Fatal(err)
		}
		e := event.New()
		e.SetID("00000000-0000-0000-0000-000000000000")
		e.SetSource("io.choria.lifecycle")
		e.SetType("io.choria.lifecycle.v1." + w.Name)
		e.SetSubject(p.View().Identity)
		e.SetTime(p.View().At)
		if err := e.SetData(event.ApplicationJSON, data); err != nil {
			r.t.Fatal(err)
		}
		text, err := json.Marshal(e)
		if err != nil {
			r.t.Fatal(err)
		}
		r.stored("lifecycle "+w.Name, "choria.lifecycle.event."+w.Name+".server", text)
	}
}

// pass lets time pass.
func (r *resting) pass(d time.Duration) {
	for d > 0 {
		next, ok := r.sim.Next()
		step := d
		if ok {
			step = min(d, max(next, 1))
		}
		r.sim.Advance(step)
		r.settle()
		d -= step
	}
}

// renew lets the node's token be due. The watcher that says so looks when its clock is set.
func (r *resting) renew() {
	r.t.Helper()
	r.due = true
	r.sim.SetWall(r.clock.Now())
	r.pass(time.Second)
	if r.due {
		r.t.Fatal("nobody looks whether the token is due")
	}
}

// day counts a day of rest, in which the node's token is renewed twice: a token of a day is due after 50 to 70 % of it.
func (r *resting) day() {
	r.pass(settling)
	r.counting = true
	for range 2 {
		r.pass(12 * time.Hour)
		r.renew()
	}
}

// published is a machine of a cell that looks every minute, and finds each time what it found before.
const published = `format: 1
name: web
version: 1.0.0
initial_state: up
states: {up: {home: true}, down: {home: true}}
transitions:
  - {name: broke, from: [up], destination: down}
  - {name: mended, from: [down], destination: up}
watchers:
  - {name: check, type: exec, interval: 1m, state_match: [up], fail_transition: broke, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], success_transition: mended, properties: {command: ./repair}}
`

// TestH63ADayOfANodeAtRest counts what a node at rest stores in EVENTS within a day of virtual time, and what it writes to its own disk.
func TestH63ADayOfANodeAtRest(t *testing.T) {
	example, err := os.ReadFile("examples/metadata/machine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, machines := range map[string][]string{
		"nothing published": nil, "a published machine": {published}, "the example metadata": {string(example)},
	} {
		t.Run(name, func(t *testing.T) {
			r := rest(t, "node", nodeName, machines...)
			r.day()
			t.Logf("%d bytes of events %v; records %v", r.bytes, r.events, r.records)
			if r.bytes > atRestBytes {
				t.Errorf("a node at rest stores %d bytes a day, more than %d:", r.bytes, atRestBytes)
				for _, what := range slices.SortedFunc(maps.Keys(r.events), func(a, b string) int { return r.events[b] - r.events[a] }) {
					t.Errorf("%6d %s", r.events[what], what)
				}
			}
			if n := r.events["lifecycle alive"]; n < 20 {
				t.Errorf("it says %d times that it is there, so that nobody knows a silent node from a dead one", n)
			}
			// Each renewal is three records: the token's id has to survive a restart.
			for what, n := range r.records {
				if n > 2 || !strings.HasPrefix(what, "enrollment ") {
					t.Errorf("it records %q %d times", what, n)
				}
			}
		})
	}
}

// TestH63ADayOfAHostAtRest has the machines of a host of the overlay publish and record nothing.
func TestH63ADayOfAHostAtRest(t *testing.T) {
	r := rest(t, "overlay", "overlay1")
	r.pass(settling)
	r.counting = true
	r.pass(day)
	if len(r.events) > 0 || len(r.records) > 0 {
		t.Errorf("a host at rest publishes %v and records %v", r.events, r.records)
	}
}

// TestH63TwentyThousandNodesFitIntoTheDefaultBounds holds the share of EVENTS of what a host keeps by default against seven days of as many nodes
// at rest, and that of DISCOVERY against their last inventories of 25 kB each; those of the bench's made-up nodes have five.
func TestH63TwentyThousandNodesFitIntoTheDefaultBounds(t *testing.T) {
	const nodes, days, inventories, inventoryBytes = 20_000, 7, 5, 25_000
	src, err := manifests.Files.ReadFile("overlay/streams.yaml")
	if err != nil {
		t.Fatal(err)
	}
	def, problems := machine.Load("streams.yaml", src, all.New(all.Services{}))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(def.Manifest.Watchers, func(w machine.WatcherSpec) bool { return w.Name == "ensure" })
	shares := map[string]float64{}
	for _, stream := range def.Manifest.Watchers[i].Properties.Get("streams").Items {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(stream.Get("max_bytes").Value, "%"), 64)
		if err != nil {
			t.Fatal(err)
		}
		shares[stream.Get("name").Value] = percent / 100 * float64(broker.DefaultLimits().JetStream.Store)
	}
	for name, need := range map[string]float64{"EVENTS": nodes * days * atRestBytes, "DISCOVERY": nodes * inventories * inventoryBytes} {
		if shares[name] < need {
			t.Errorf("%s may have %.2f GB by default; %d nodes at rest need %.2f GB", name, shares[name]/1e9, nodes, need/1e9)
		}
	}
}
