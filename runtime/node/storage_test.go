package node_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// smallStore gives a cell's host a store that a test can fill.
func smallStore(c *cell) {
	c.configure("hosts: 1", "hosts: 1\nstream_bytes: 67108864")
}

// fill writes messages of 256 KiB to a subject until its stream refuses one or has dropped one for it.
func fill(t testing.TB, js jetstream.JetStream, stream, subject string) {
	t.Helper()
	body := make([]byte, 256<<10)
	for i := range 400 {
		ack, err := js.Publish(t.Context(), fmt.Sprintf(subject, i), body, jetstream.WithRetryAttempts(0))
		if err != nil {
			t.Logf("%s is full: message %d: %v", stream, i, err)
			return
		}
		s, err := js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		if s.CachedInfo().State.FirstSeq > 1 || s.CachedInfo().State.Msgs < uint64(i) {
			t.Logf("%s is full: it drops what is old, at message %d of sequence %d", stream, i, ack.Sequence)
			return
		}
	}
	t.Fatalf("%s has no bound", stream)
}

// fillAll fills what nodes, clients and workflows have a part in.
func fillAll(c *cell) {
	c.t.Helper()
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		c.t.Fatal(err)
	}
	for stream, subject := range map[string]string{
		"EVENTS": "choria.machine.filler.%d", "DISCOVERY": "discovery.filler%d", "JOBS": "jobs.filler.%d", "AUDIT": "audit.filler.%d",
		"SUBMIT": "submit.filler.%d", "KV_GOVERNORS": "$KV.GOVERNORS.filler%d",
	} {
		fill(c.t, js, stream, subject)
	}
}

// revoke writes a revocation of an identity as an operator.
func (c *cell) revoke(id string) {
	c.t.Helper()
	revoked, err := json.Marshal(map[string]any{"reason": "it floods", "by": "operator", "at": time.Now().UTC().Format(time.RFC3339)})
	if err == nil {
		_, err = c.bucket("REVOKED").Put(c.t.Context(), "identity."+id, revoked)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestG45FullStreamsKeepNobodyOut fills every stream of a cell to its end. A node enrolls, another renews its token, an operator
// publishes a machine, which nodes run, and revokes a node, whose session ends at once.
func TestG45FullStreamsKeepNobodyOut(t *testing.T) {
	c := makeCell(t, func(o *overlay.InitOptions) { shortLived(t, "40s")(o) })
	smallStore(c)
	c.run()
	s := openShop(t, c)
	renews := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	renews.becomes("active")
	fillAll(c)
	newMember(t, "n2.example", t.TempDir(), c.join, nil).becomes("active")
	s.publish(s.stock(web("1.0.0")))
	renews.runs("web", "1.0.0")
	eventually(t, "a node renews its token", func() bool { return renews.expires().After(time.Now().Add(time.Minute)) })
	eventually(t, "the host says that streams are filling", func() bool { return stateOf(c.host.Host(), "storage") == "filling" })
	if told := strings.Join(c.host.Host().Health().Degraded, "; "); !strings.Contains(told, "EVENTS has ") || !strings.Contains(told, "AUDIT has ") {
		t.Errorf("the host says %q", told)
	}
	conn, err := renews.agent.Pool().Conn("n1.example", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.revoke("n1=example")
	eventually(t, "the session of who is revoked ends", func() bool { return !conn.IsConnected() })
	within(t, "the end of the session", 2*time.Second, began)
}

// TestG45AStoreThatWasFilledWithoutBoundsIsTakenOver: a cell of the time when streams had no bounds has filled its store, so that it takes nothing
// any more. Its next start bounds the streams, drops what may be dropped, keeps the register, and nodes enroll.
func TestG45AStoreThatWasFilledWithoutBoundsIsTakenOver(t *testing.T) {
	boundless := t.TempDir()
	src, err := manifests.Files.ReadFile("overlay/streams.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`,? *(max_bytes: \d+%|shrink: drop|discard: new)`).ReplaceAllString(string(src), "")
	write(t, filepath.Join(boundless, "streams.yaml"), text, 0o600)
	c := makeCell(t, func(o *overlay.InitOptions) { o.Machines = boundless })
	smallStore(c)
	c.run()
	dir := t.TempDir()
	first := newMember(t, "n1.example", dir, c.join, nil)
	first.becomes("active")
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, js, "EVENTS", "choria.machine.filler.%d")
	if _, err := c.bucket("NODES").Put(t.Context(), "another", []byte("{}")); err == nil {
		t.Fatal("the store is not full")
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.configure("machines: ", "# machines: ")
	c.run()
	eventually(t, "the streams are as declared", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
	if js, err = jetstream.New(c.operator().Conn); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if i := s.CachedInfo(); i.Config.MaxBytes != 67108864/100*30+64*30/100 || i.State.Bytes > uint64(i.Config.MaxBytes) || i.State.Msgs == 0 {
		t.Errorf("EVENTS has %d bytes in %d messages, bounded at %d", i.State.Bytes, i.State.Msgs, i.Config.MaxBytes)
	}
	if record(t, c.bucket("NODES"), "n1.example") == nil {
		t.Error("the register has lost a node")
	}
	newMember(t, "n2.example", t.TempDir(), c.join, nil).becomes("active")
}

// TestG45StreamBytesCanBeLowered: a host's store that is smaller from now on is shared anew, although what was promised is more than that.
func TestG45StreamBytesCanBeLowered(t *testing.T) {
	c := makeCell(t, nil)
	c.configure("hosts: 1", "hosts: 1\nstream_bytes: 268435456")
	for _, size := range []int64{268435456, 67108864, 134217728} {
		c.run()
		eventually(t, "the streams are as declared", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
		js, err := jetstream.New(c.operator().Conn)
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "KV_NODES")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().Config.MaxBytes; got < size/100*8 || got > size*8/100 {
			t.Errorf("with stream_bytes %d the register is bounded at %d", size, got)
		}
		if err := c.stop(); err != nil {
			t.Fatal(err)
		}
		c.configure("stream_bytes: 67108864", "stream_bytes: 134217728", "stream_bytes: 268435456", "stream_bytes: 67108864")
	}
}

// TestG45AHostWhoseStreamsCannotHaveTheirRoomDoesNotStart says how much it is and what to do.
func TestG45AHostWhoseStreamsCannotHaveTheirRoomDoesNotStart(t *testing.T) {
	for name, tt := range map[string]struct{ change, to, says string }{
		"shares":  {"max_bytes: 28%", "max_bytes: 29%", "the shares come to 96% of what a broker may keep"},
		"sizes":   {"max_bytes: 28%", "max_bytes: 1GiB", "raise stream_bytes in overlay.yaml to at least"},
		"nothing": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var pairs []string
			if tt.change != "" {
				pairs = []string{tt.change, tt.to}
			}
			dir := override(t, t.TempDir(), "overlay/streams", pairs...)
			c := makeCell(t, func(o *overlay.InitOptions) { o.Machines = dir })
			smallStore(c)
			folder, cfg, err := overlay.Open(c.dir)
			if err != nil {
				t.Fatal(err)
			}
			real, err := clock.NewReal()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = real.Close() }()
			h, err := overlay.NewHost(overlay.HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: quiet()})
			if h != nil && err == nil {
				_ = h.Host().Close()
			}
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v does not say %q", err, tt.says)
			}
		})
	}
}
