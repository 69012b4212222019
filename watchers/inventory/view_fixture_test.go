package inventory

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// viewTest is a broker with a stream, and a view of it.
type viewTest struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server
	conn *nats.Conn
	js   jetstream.JetStream
	spec viewSpec

	mu      sync.Mutex
	reports []watchers.Report
}

// querySubject is what the tests' views are asked by.
const querySubject = "client.UTEST.out.inventory"

// newViewTest starts a broker; there is no stream yet and no view.
func newViewTest(t testing.TB) *viewTest {
	t.Helper()
	v := &viewTest{t: t, opts: server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()}}
	v.spec = viewSpec{
		Connection: "fleet", Stream: "DISCOVERY", Filter: "discovery.>", Name: "inventory", Subject: watchers.PlainText(querySubject), Memory: 64,
		Timeout: strict.Duration(patience), Pending: 64,
	}
	v.start()
	t.Cleanup(func() { v.srv.Shutdown(); v.srv.WaitForShutdown() })
	var err error
	if v.conn, err = nats.Connect(v.srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.conn.Close)
	if v.js, err = jetstream.New(v.conn); err != nil {
		t.Fatal(err)
	}
	return v
}

// start starts the broker, where it was before.
func (v *viewTest) start() {
	v.t.Helper()
	opts := v.opts
	var err error
	if v.srv, err = server.NewServer(&opts); err != nil {
		v.t.Fatal(err)
	}
	v.srv.Start()
	if !v.srv.ReadyForConnections(patience) {
		v.t.Fatal("the broker does not start")
	}
	v.opts.Port = opts.Port
}

// stream makes the stream.
func (v *viewTest) stream(age time.Duration) {
	v.t.Helper()
	if _, err := v.js.CreateStream(v.t.Context(), jetstream.StreamConfig{Name: "DISCOVERY", Subjects: []string{"discovery.>"}, MaxMsgsPerSubject: 5, MaxAge: age}); err != nil {
		v.t.Fatal(err)
	}
}

// look runs a view until what it returns is called, or the test ends.
func (v *viewTest) look() (stop func()) {
	v.t.Helper()
	url := v.srv.ClientURL()
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{url}, InboxPrefix: "_INBOX.view"}, nil
	}, slog.New(slog.DiscardHandler))
	if err := pool.Keep(v.t.Context(), "host", "fleet"); err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(v.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w := &view{spec: &v.spec, services: Services{Pool: pool}}
		w.Listen(ctx, &watchers.Look{Machine: "inventory", Watcher: "view", Identity: "host", Log: slog.New(slog.DiscardHandler)}, func(r watchers.Report) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.reports = append(v.reports, r)
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended; pool.Close() })
	v.t.Cleanup(stop)
	return stop
}

// said is how often an outcome was reported.
func (v *viewTest) said(outcome string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, r := range v.reports {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

// says waits for an outcome.
func (v *viewTest) says(outcome string) {
	v.t.Helper()
	waitFor(v.t, func() bool { return v.said(outcome) > 0 })
}

// state is the last state that was reported.
func (v *viewTest) state() map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range slices.Backward(v.reports) {
		if r.State != nil {
			return r.State
		}
	}
	return nil
}

// put writes a message to the stream.
func (v *viewTest) put(node, data string) {
	v.t.Helper()
	m := &nats.Msg{Subject: "discovery." + strings.ReplaceAll(node, ".", "="), Data: []byte(data), Header: nats.Header{DigestHeader: {"aa"}}}
	if _, err := v.js.PublishMsg(v.t.Context(), m); err != nil {
		v.t.Fatal(err)
	}
}

// has writes a node's inventory to the stream.
func (v *viewTest) has(node, inventory string) {
	v.t.Helper()
	v.put(node, adapted(node, registered(inventory)))
}

// adapted is what an adapter makes of a registration document.
func adapted(sender, data string) string {
	text, _ := json.Marshal(output{Protocol: "choria:adapters:choria_streams:output:1", Data: data, Sender: sender, Time: "2026-01-01T00:00:00Z", RequestID: "1"})
	return string(text)
}

// registered is the registration document of an inventory.
func registered(inventory string) string {
	return fmt.Sprintf(`{"protocol":%q,"zcontent":%q}`, protocol, zipped([]byte(inventory)))
}

func zipped(data []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data) // into memory
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// ask asks the view; code is that of an error.
func (v *viewTest) ask(q Query) (a Answer, code, text string) {
	v.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.askText(string(body))
}

func (v *viewTest) askText(body string) (a Answer, code, text string) {
	v.t.Helper()
	var m *nats.Msg
	waitFor(v.t, func() bool {
		var err error
		m, err = v.conn.Request(querySubject, []byte(body), 10*time.Second)
		return err == nil
	})
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return a, code, m.Header.Get(micro.ErrorHeader)
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		v.t.Fatal(err)
	}
	return a, "", ""
}

// names are the nodes of an answer.
func names(a Answer) string {
	var list []string
	for _, n := range a.Nodes {
		list = append(list, n.Identity)
	}
	return strings.Join(list, " ")
}

// realistic is an inventory as a node sends it: 4 to 6 KB of facts and 6 machines.
func realistic(i int) string {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	mounts, links := map[string]any{}, map[string]any{}
	for m := range 20 {
		mounts[fmt.Sprintf("/srv/data%d", m)] = map[string]any{"device": fmt.Sprintf("/dev/sd%c1", 'a'+m), "fstype": "ext4", "size": r.IntN(1 << 40), "used_percent": r.Float64() * 100}
	}
	for l := range 12 {
		links[fmt.Sprintf("eth%d", l)] = map[string]any{
			"mac": fmt.Sprintf("52:54:00:%02x:%02x:%02x", l, i>>8&255, i&255), "mtu": 1500, "up": true,
			"addresses": []string{fmt.Sprintf("10.%d.%d.%d/24", l, i>>8&255, i&255), fmt.Sprintf("fd00::%x:%x/64", l, i)},
		}
	}
	text := func(n int) string {
		b := make([]byte, n/2)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return fmt.Sprintf("%x", b)
	}
	facts := map[string]any{
		"host":   map[string]any{"name": fmt.Sprintf("n%05d", i), "id": text(32), "boot_id": text(32), "uptime": r.IntN(1e7), "procs": r.IntN(500)},
		"os":     map[string]any{"name": []string{"debian", "rocky", "ubuntu"}[i%3], "family": "linux", "version": "12.7", "kernel": "6.1.0-25-amd64", "arch": "x86_64"},
		"cpu":    map[string]any{"count": 4 << (i % 4), "model": "AMD EPYC 7763 64-Core Processor", "mhz": 2450.5, "flags": strings.Repeat("fpu vme de pse ", 40)},
		"memory": map[string]any{"total": 16 << 30, "free": r.IntN(16 << 30), "swap": map[string]any{"total": 1 << 30, "free": r.IntN(1 << 30)}},
		"mounts": mounts, "network": links, "load": []float64{r.Float64(), r.Float64(), r.Float64()}, "site": fmt.Sprintf("dc%d", i%5),
		"metadata": map[string]any{"rack": text(8), "owner": "team-" + text(4), "serials": []string{text(40), text(40), text(40), text(40)}},
	}
	machines := map[string]running{}
	for m, name := range []string{"metadata", "health", "deployer", "renewal", "inventory", "bundle"} {
		machines[name] = running{Version: fmt.Sprintf("1.%d.0", (i+m)%4), State: []string{"waiting", "running", "settled"}[(i/7+m)%3], Digest: strings.Repeat(fmt.Sprintf("%x", m), 64)}
	}
	raw, _ := json.Marshal(facts)
	doc, _ := json.Marshal(content{
		Agents: []string{"rpcutil", "discovery"}, Classes: []string{"base", "roles::web"}, Facts: raw, Status: map[string]any{"machines": 6},
		Collectives: []string{"main"}, Build: map[string]string{"version": "0.9.0"}, Machines: machines,
	})
	return string(doc)
}

// fleet is a sheet with so many realistic inventories.
func fleet(n int) *sheet {
	s := newSheet(1 << 30)
	for i := range n {
		document, err := watchers.ReadDocument([]byte(realistic(i)))
		if err != nil {
			panic(err)
		}
		s.take(&entry{identity: fmt.Sprintf("n%05d.example.net", i), seen: time.Now(), digest: strings.Repeat("ab", 32), document: document, seq: uint64(i)})
	}
	return s
}
