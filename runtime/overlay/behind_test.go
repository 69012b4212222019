package overlay

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/cell"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// followers are hosts whose brokers are behind a leader that lives, until they have been started anew.
type followers struct {
	mu     sync.Mutex
	away   map[string]bool // by host: its broker was started anew and is not well yet
	starts map[string]int
	both   bool // more than one was away
}

// startedAnew reports whether a machine has started its broker anew.
func startedAnew(restarts any) bool {
	list, _ := restarts.([]any)
	return len(list) > 0
}

// follower is the broker of one of them.
type follower struct {
	*followers
	name string
}

// Health implements cell.Broker.
func (f follower) Health() cell.Health {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := cell.Health{Running: true, Enabled: true, Clustered: true, Leader: "o3", Current: true, Free: 1 << 40, Size: 1 << 40}
	if f.starts[f.name] == 0 || f.away[f.name] {
		h.Behind = []string{"the stream EVENTS"}
	}
	if f.away[f.name] { // it takes something in
		h.Moved = uint64(time.Now().UnixNano())
	}
	return h
}

// Restart implements cell.Broker. The broker takes in what it misses for a while after that.
func (f follower) Restart(context.Context) error {
	const misses = 2 * time.Second
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts[f.name]++
	f.away[f.name] = true
	f.both = f.both || len(f.away) > 1
	time.AfterFunc(misses, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.away, f.name)
	})
	return nil
}

// TestH66TwoThatAreBehindStartTheirBrokersOneAfterTheOther: with both away at once the leader has nobody left.
func TestH66TwoThatAreBehindStartTheirBrokersOneAfterTheOther(t *testing.T) {
	url := governed(t)
	f := &followers{away: map[string]bool{}, starts: map[string]int{}}
	var hosts []*runtime.Host
	for _, name := range []string{"o1", "o2"} {
		hosts = append(hosts, watched(t, url, name, follower{f, name}))
	}
	deadline := time.Now().Add(2 * time.Minute)
	for well := 0; well < len(hosts); time.Sleep(50 * time.Millisecond) {
		well = 0
		for _, h := range hosts {
			d, err := h.Machine(t.Context(), healthMachine)
			if err == nil && d.State == "well" && startedAnew(d.Data["restarts"]) {
				well++
			}
		}
		if time.Now().After(deadline) {
			for _, h := range hosts {
				d, err := h.Machine(t.Context(), healthMachine)
				t.Logf("%s, %v, %v", d.State, d.Data, err)
			}
			t.Fatalf("%d of %d hosts are well", well, len(hosts))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.both || f.starts["o1"] != 1 || f.starts["o2"] != 1 {
		t.Errorf("two were away at once: %t; started anew: %v", f.both, f.starts)
	}
}

// governed starts a server with the bucket of governors.
func governed(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), AlwaysEnableNonce: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "GOVERNORS", History: 1}); err != nil {
		t.Fatal(err)
	}
	return s.ClientURL()
}

// watched runs the machine health of a host with a broker.
func watched(t *testing.T, url, name string, broker cell.Broker) *runtime.Host {
	t.Helper()
	src, err := manifests.Files.ReadFile("overlay/health.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const reads = "properties: {data_item: broker}"
	text := strings.ReplaceAll(string(src), reads, "interval: 500ms\n    properties: {data_item: broker, behind: 1s}")
	if text == string(src) {
		t.Fatalf("the manifest has no %q", reads)
	}
	machines := t.TempDir()
	if err := os.MkdirAll(filepath.Join(machines, healthMachine), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(machines, healthMachine, "machine.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{url}, Key: key, InboxPrefix: "_INBOX." + name}, nil
	}, log)
	t.Cleanup(pool.Close)
	if err := pool.Keep(t.Context(), name, fleetConnection); err != nil {
		t.Fatal(err)
	}
	catalogue := all.New(all.Services{Pool: pool, Cell: cell.Services{Broker: broker}})
	set, err := builtin.Load(builtin.Set{Folder: "overlay", Overrides: machines, Vouch: runtime.Unsigned}, catalogue)
	if err != nil {
		t.Fatal(err)
	}
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	h, err := runtime.New(runtime.Config{Identity: name, Catalogue: catalogue, Clock: real, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("host %s: %v", name, err)
		}
		_ = real.Close()
	})
	for _, d := range set.Deployments {
		if d.Definition.Manifest.Name == healthMachine {
			if err := builtin.Deploy(ctx, h, []runtime.Deployment{d}, "", map[string]any{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}
