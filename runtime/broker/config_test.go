package broker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestConfigSaysEverythingAtOnce(t *testing.T) {
	o := newOverlay(t)
	whole := o.config(t, func(c *Config) {
		c.Monitor = "localhost:0"
		c.Cluster = &Cluster{Listen: "127.0.0.1:0", Peers: []string{"b2:6222"}, Secret: strings.Repeat("s", minSecret)}
		c.Leafnodes = []Leafnode{{Region: "emea", URLs: []string{"tls://user:secret@region:7422"}, CA: o.ca.PEM(), Out: []string{"region.>"}}}
	})
	if err := whole.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"nothing":                   {func(c *Config) { *c = Config{} }, "name"},
		"a name with spaces":        {func(c *Config) { c.Name = "a b" }, "name"},
		"a cell of two words":       {func(c *Config) { c.Cell = "a.b" }, "cell"},
		"no port":                   {func(c *Config) { c.Fleet = "127.0.0.1" }, "host:port"},
		"a port too high":           {func(c *Config) { c.Enrollment = "127.0.0.1:65536" }, "65535"},
		"in plain":                  {func(c *Config) { c.TLS, c.Fleet = nil, "0.0.0.0:4222" }, "certificate"},
		"in plain, anywhere":        {func(c *Config) { c.TLS, c.Enrollment = nil, ":4222" }, "certificate"},
		"no certificate":            {func(c *Config) { c.TLS = &TLS{} }, "certificate"},
		"monitored by all":          {func(c *Config) { c.Monitor = "0.0.0.0:8222" }, "127.0.0.1"},
		"a short secret":            {func(c *Config) { c.Cluster = &Cluster{Listen: "127.0.0.1:0", Secret: "x"} }, "secret"},
		"no peers":                  {func(c *Config) { c.Cluster.Peers = nil }, "peer"},
		"a bad peer":                {func(c *Config) { c.Cluster.Peers = []string{"b2"} }, "peer"},
		"no CA of the others":       {func(c *Config) { c.TLS = &TLS{Certificate: o.tls.Certificate} }, "CA"},
		"a leafnode in plain":       {func(c *Config) { c.Leafnodes[0].URLs = []string{"nats://user:secret@region:7422"} }, "tls"},
		"a leafnode of nothing":     {func(c *Config) { c.Leafnodes[0].URLs = nil }, "URL"},
		"a leafnode's CA":           {func(c *Config) { c.Leafnodes[0].CA = "x" }, "CA"},
		"of a release before":       {func(c *Config) { c.Leafnodes[0] = Leafnode{URLs: c.Leafnodes[0].URLs} }, "list as out, in and streams"},
		"a region of two words":     {func(c *Config) { c.Leafnodes[0].Region = "a.b" }, "not a word"},
		"a region called as we are": {func(c *Config) { c.Leafnodes[0].Region = "c1" }, "the cell itself"},
		"a region that is two":      {func(c *Config) { c.Leafnodes = append(c.Leafnodes, c.Leafnodes[0]) }, "two of region emea"},
		"nothing passes":            {func(c *Config) { c.Leafnodes[0].Out = nil }, "nothing passes"},
		"no limits":                 {func(c *Config) { c.Limits = Limits{} }, "payload"},
		"one limit":                 {func(c *Config) { c.Limits.JetStream.AckPending = 0 }, "acknowledgements"},
		"payload over all":          {func(c *Config) { c.Limits.Payload = int(c.Limits.Nodes.Pending) + 1 }, "pending"},
		"negative time":             {func(c *Config) { c.Limits.Skew = -1 }, "skew"},
	} {
		t.Run(name, func(t *testing.T) {
			c := whole
			if c.Cluster != nil {
				cluster := *whole.Cluster
				c.Cluster = &cluster
			}
			c.Leafnodes = slices.Clone(whole.Leafnodes)
			tt.change(&c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want something about %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "user:secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	if n := strings.Count((&Config{}).Validate().Error(), "\n"); n < 10 {
		t.Errorf("%d problems of an empty configuration", n+1)
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	taken := strings.TrimPrefix(b.ClientURL(), "tls://")
	for name, change := range map[string]func(*Config){
		"the fleet's port is taken":   func(c *Config) { c.Fleet = taken },
		"enrollment's port is taken":  func(c *Config) { c.Enrollment = taken },
		"the monitor's port is taken": func(c *Config) { c.Monitor = taken },
	} {
		if _, err := Start(t.Context(), o.config(t, change)); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := o.config(t, func(c *Config) { c.Dir += "/file" })
	if err := os.WriteFile(file.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), file); err == nil {
		t.Error("a file in place of the folder")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	alone := o.config(t, func(c *Config) {
		c.Cluster = &Cluster{Listen: "127.0.0.1:0", Peers: freeAddresses(t, 2), Secret: strings.Repeat("s", minSecret)}
	})
	waiting := startBroker(t, alone, Decide)
	cancel(errors.New("enough"))
	if err := waiting.Ready(ctx); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("alone in a cluster of three: %v", err)
	}
}

func TestMonitor(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Monitor = "127.0.0.1:0" })
	l := o.node(t, "n1")
	o.connect(t, b.ClientURL(), l)
	for _, page := range []string{"/healthz", "/connz?auth=1&subs=1", "/varz", "/leafz"} {
		r, err := http.Get(b.MonitorURL() + page)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", page, r.Status, err)
		}
		if strings.Contains(string(text), l.token) || strings.Contains(string(text), b.knowledge.LeafSecret) {
			t.Errorf("%s shows a secret", page)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestDataStays closes a broker and starts it again in its folder.
func TestDataStays(t *testing.T) {
	o := newOverlay(t)
	cfg := o.config(t, func(c *Config) { c.Dir += "/streams" })
	for i := range 2 {
		b, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(o.connect(t, b.ClientURL(), o.service(t, RightFleetService)))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "NODES"}); err != nil {
				t.Fatal(err)
			}
		} else if _, err := js.KeyValue(t.Context(), "NODES"); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
}

// TestCloseSendsClientsAway closes one broker of a cluster while clients are connected: they are told, and it is over in time.
func TestCloseSendsClientsAway(t *testing.T) {
	o := newOverlay(t)
	all := o.cluster(t, func(c *Config) { c.Limits.LameDuck = time.Second })
	conn := o.connect(t, all[0].ClientURL(), o.node(t, "n1"))
	began := time.Now()
	if err := all[0].Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	await(t, "the client is sent away", conn.IsClosed)
	if _, err := o.dial(t, all[1].ClientURL(), o.node(t, "n1")); err != nil {
		t.Errorf("at another broker: %v", err)
	}
}

// TestClusterNeedsTheSecret lets a broker with another secret, and one with a certificate of another authority, call a cluster.
func TestClusterNeedsTheSecret(t *testing.T) {
	o, stranger := newOverlay(t), newOverlay(t)
	at := freeAddresses(t, 1)
	member := func(o *overlay, name, secret, listen string) *Broker {
		return o.broker(t, func(c *Config) {
			c.Name, c.Cluster = name, &Cluster{Listen: listen, Peers: at, Secret: strings.Repeat(secret, minSecret)}
		})
	}
	first := member(o, "b1", "s", at[0])
	if first.ClusterURL() != at[0] {
		t.Errorf("it listens at %s, not %s", first.ClusterURL(), at[0])
	}
	member(o, "b2", "x", "127.0.0.1:0")
	member(stranger, "b3", "s", "127.0.0.1:0")
	member(o, "b4", "s", "127.0.0.1:0")
	await(t, "the member connects", func() bool { return first.fleet.server.NumRemotes() == 1 })
	select {
	case <-time.After(2 * quietly):
	case <-t.Context().Done():
	}
	if n := first.fleet.server.NumRemotes(); n != 1 {
		t.Errorf("%d others are in the cluster, want 1", n)
	}
}
