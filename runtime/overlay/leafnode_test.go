package overlay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// documented returns the blocks of docs/overlay.md about leafnodes: the entry of overlay.yaml, and the configuration of a region's nats-server.
func documented(t *testing.T) (entry, region string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/overlay.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### Leafnodes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for part := range strings.SplitSeq(section, "\n\n") {
		if strings.HasPrefix(part, "    ") {
			blocks = append(blocks, strings.ReplaceAll("\n"+part, "\n    ", "\n")+"\n")
		}
	}
	if len(blocks) != 2 {
		t.Fatalf("docs/overlay.md has %d blocks about leafnodes", len(blocks))
	}
	return blocks[0], blocks[1]
}

// region starts a nats-server as docs/overlay.md has it, with the certificate of a host's folder. Pairs of texts replace what it says.
func region(t *testing.T, folder string, change ...string) *server.Server {
	t.Helper()
	_, text := documented(t)
	text = strings.NewReplacer(append([]string{
		"server.pem", filepath.Join(folder, certFile), "server.key", filepath.Join(folder, certKeyFile), "/var/lib/nats", t.TempDir(),
		"port: 7422", "listen: \"127.0.0.1:-1\"", "host: 127.0.0.1", "listen: \"127.0.0.1:-1\"", "users: [", "users: [\n{user: all, password: all}",
	}, change...)...).Replace(text)
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the region does not start")
	}
	return s
}

// entryFor is the entry of docs/overlay.md for a server. Pairs of texts replace what it says.
func entryFor(t *testing.T, s *server.Server, folder string, change ...string) string {
	t.Helper()
	listens, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	entry, _ := documented(t)
	return strings.NewReplacer(append([]string{
		"region.example.net:7422", fmt.Sprintf("127.0.0.1:%d", listens.LeafNode.Port), "region.pem", filepath.Join(folder, caFile),
	}, change...)...).Replace(entry)
}

// makeCell makes the folder of a cell of one, and returns that of its host.
func makeCell(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	_, err := Init(InitOptions{Dir: dir, Cell: name, Now: time.Now(), Hosts: []HostOptions{{Name: name + "1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222}}})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "hosts", name+"1")
}

// withMore adds lines to a host's configuration.
func withMore(t *testing.T, folder, more string) {
	t.Helper()
	file := filepath.Join(folder, configFile)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, more...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startCell starts the broker of a host whose configuration has more lines.
func startCell(t *testing.T, folder, more string) *Host {
	t.Helper()
	withMore(t, folder, more)
	folder, cfg, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Fleet = "127.0.0.1:0"
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	h := &Host{cfg: HostConfig{Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.DiscardHandler)}}
	if err := h.openIdentity(); err != nil {
		t.Fatal(err)
	}
	h.broker.start = h.startBroker
	if err = h.broker.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.broker.close() })
	return h
}

// connected connects to an account of the host's broker as the host.
func connected(t *testing.T, h *Host, name string) *nats.Conn {
	t.Helper()
	pool := messaging.NewPool(h.credentials, h.cfg.Log)
	t.Cleanup(pool.Close)
	if err := pool.Keep(context.WithoutCancel(t.Context()), "test", name); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := pool.Wait(ctx, "test", name)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// heard says something again and again until it is heard, for a minute at most.
func heard(t *testing.T, from *nats.Conn, subject string, at *nats.Subscription) {
	t.Helper()
	for range 600 {
		if err := from.Publish(subject, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := at.NextMsg(100 * time.Millisecond); err == nil {
			return
		}
	}
	t.Fatal("nothing was heard")
}

// Two cells that a region connects hear what both list, but for what is not the region's; one that does not know its secret hears and says nothing. The configuration
// of the region, and the entry for it, are those of docs/overlay.md.
func TestLeafnodesOfTwoCells(t *testing.T) {
	folders := map[string]string{}
	for _, name := range []string{"lon1", "par1", "odd1"} {
		folders[name] = makeCell(t, name)
	}
	r := region(t, folders["lon1"], "{user: lon1,", `
		{user: par1, password: SECRET, allowed_connection_types: [LEAFNODE], permissions: {publish: ["region.notice.>"], subscribe: ["region.news.>", "$KV.>"]}}
		{user: lon1,`)
	lon := startCell(t, folders["lon1"], entryFor(t, r, folders["lon1"]))
	reversed := []string{"lon1", "par1", "out:", "in:", "in:", "out:", "streams: [OUT_LON1]", ""}
	par := connected(t, startCell(t, folders["par1"], entryFor(t, r, folders["lon1"], reversed...)), fleetConnection)
	odd := connected(t, startCell(t, folders["odd1"], entryFor(t, r, folders["lon1"], append(reversed, "SECRET", "guessed")...)), fleetConnection)
	near := connected(t, lon, fleetConnection)
	subscribed := func(nc *nats.Conn, subject string) *nats.Subscription {
		sub, err := nc.SubscribeSync(subject)
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	far, odds, outside := subscribed(par, "region.news.*"), subscribed(near, "region.notice.odd"), subscribed(odd, "region.news.*")
	registers, back := subscribed(par, "$KV.>"), subscribed(near, "region.notice.*")
	heard(t, near, "region.news.first", far)
	heard(t, par, "region.notice.first", back)
	for subject, nc := range map[string]*nats.Conn{"region.notice.odd": odd, "$KV.NODES.n1": near} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	heard(t, near, "region.news.later", far)
	if n := r.NumLeafNodes(); n != 2 {
		t.Errorf("%d leafnodes are connected", n)
	}
	for what, sub := range map[string]*nats.Subscription{
		"from a cell that is not known": odds, "at a cell that is not known": outside, "of another cell's register": registers,
	} {
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("%d messages %s: %v", n, what, err)
		}
	}
	takesTheDocumentedStream(t, connected(t, lon, uplinkConnection), r)
}

// takesTheDocumentedStream has the region of docs/overlay.md take the stream that it lists.
func takesTheDocumentedStream(t *testing.T, uplink *nats.Conn, r *server.Server) {
	t.Helper()
	const messages = 500
	ctx := t.Context()
	there, err := nats.Connect(r.ClientURL(), nats.UserInfo("all", "all"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(there.Close)
	here, err := jetstream.New(uplink)
	if err != nil {
		t.Fatal(err)
	}
	_, err = here.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT_LON1", Subjects: []string{"out.>"}, Retention: jetstream.WorkQueuePolicy, MaxBytes: 1 << 20})
	if err == nil {
		_, err = here.CreatePushConsumer(ctx, "OUT_LON1", jetstream.ConsumerConfig{
			Durable: "emea", DeliverSubject: "to.emea.lon1.OUT_LON1", AckPolicy: jetstream.AckFlowControlPolicy, FlowControl: true,
			IdleHeartbeat: time.Second, MaxAckPending: 100,
		})
	}
	for i := 0; err == nil && i < messages; i++ {
		_, err = here.Publish(ctx, "out.x", fmt.Append(nil, i))
	}
	if err != nil {
		t.Fatal(err)
	}
	regional, err := jetstream.New(there)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := regional.CreateStream(ctx, jetstream.StreamConfig{Name: "CELLS", Sources: []*jetstream.StreamSource{{
		Name: "OUT_LON1", External: &jetstream.ExternalStream{APIPrefix: "$JS.lon1.API", DeliverPrefix: "to.emea.lon1"},
		Consumer: &jetstream.StreamConsumerSource{Name: "emea", DeliverSubject: "to.emea.lon1.OUT_LON1"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		info, err := taken.Info(ctx)
		if err == nil && info.State.Msgs == messages {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the region has %+v, %v", info, err)
		}
	}
}

// A host with an entry of the release before, which lists nothing, does not start and says what to do.
func TestALeafnodeOfTheReleaseBeforeIsRefused(t *testing.T) {
	folder := makeCell(t, "lon1")
	withMore(t, folder, "leafnodes:\n  - urls: [\"tls://lon1:SECRET@region.example.net:7422\"]\n")
	_, _, err := Open(folder)
	if err == nil || !strings.Contains(err.Error(), "list as out, in and streams what may pass") || strings.Contains(err.Error(), "SECRET") {
		t.Error(err)
	}
}

// A host that has streams on their way to a region does not move in with others, who would have none of them.
func TestStreamsThatLeaveAreNotForgottenWhenACellGrows(t *testing.T) {
	h := &Host{cfg: HostConfig{Folder: t.TempDir(), Config: Config{Replicas: 3}}}
	for _, name := range []string{"FLEET/streams/KV_NODES", "UPLINK/streams/OUT_LON1"} {
		if err := os.MkdirAll(h.path(filepath.Join(dataDir, "jetstream", name)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.setAsideAlone(); err == nil || !strings.Contains(err.Error(), "OUT_LON1") {
		t.Error(err)
	}
	if err := os.RemoveAll(h.path(filepath.Join(dataDir, "jetstream", "UPLINK", "streams", "OUT_LON1"))); err != nil {
		t.Fatal(err)
	}
	if moves, err := h.setAsideAlone(); !moves || err != nil {
		t.Errorf("it moves: %v, %v", moves, err)
	}
}

func TestACertificateAuthorityOfALeafnodeThatIsMissing(t *testing.T) {
	h := &Host{cfg: HostConfig{Folder: t.TempDir()}}
	if _, err := h.leafnode(&Leafnode{URLs: []string{"tls://region"}, CA: "region.pem"}); err == nil {
		t.Error("it is used without its authority")
	}
}
