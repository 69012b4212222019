package broker

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestD31ManyConnectAtOnce lets nodes connect with TLS at the same moment. None is lost.
func TestD31ManyConnectAtOnce(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	var logins []login
	for i := range *crowdSize {
		logins = append(logins, o.node(t, fmt.Sprintf("n%d", i)))
	}
	took := storm(t, o, b, logins)
	t.Logf("%d connected in %s", len(logins), took.Round(time.Millisecond))
	if n := b.fleet.gate.sessions.count()[identity.PurposeNode]; n != len(logins) {
		t.Errorf("%d sessions, want %d", n, len(logins))
	}
}

// storm connects all at once and returns how long it took.
func storm(t testing.TB, o *overlay, b *Broker, logins []login) time.Duration {
	t.Helper()
	var work sync.WaitGroup
	begin := make(chan struct{})
	for _, l := range logins {
		work.Go(func() {
			<-begin
			if _, err := o.dial(t, b.ClientURL(), l, nats.Timeout(time.Minute)); err != nil {
				t.Error(err)
			}
		})
	}
	began := time.Now()
	close(begin)
	work.Wait()
	return time.Since(began)
}

// TestD31ConnectionsAreCapped holds each listener to its own cap: those who join cannot keep the fleet out.
func TestD31ConnectionsAreCapped(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Limits.EnrollmentConnections = 2 })
	one := o.connect(t, b.EnrollmentURL(), o.join(t))
	o.connect(t, b.EnrollmentURL(), o.join(t))
	if _, err := o.dial(t, b.EnrollmentURL(), o.join(t), nats.Timeout(quietly)); err == nil {
		t.Error("there is room for a third one")
	}
	o.connect(t, b.ClientURL(), o.node(t, "n1"))
	one.Close()
	await(t, "there is room again", func() bool {
		_, err := o.dial(t, b.EnrollmentURL(), o.join(t))
		return err == nil
	})
}

// TestD31BrokersGoneAndBack kills a broker of three, then all, and lets them come back: every node does, too.
func TestD31BrokersGoneAndBack(t *testing.T) {
	o := newOverlay(t)
	cluster, clients := freeAddresses(t, 3), freeAddresses(t, 3)
	configs := make([]Config, 3)
	for i := range configs {
		configs[i] = o.config(t, func(c *Config) {
			c.Name, c.Fleet, c.Enrollment = "b"+strconv.Itoa(i), clients[i], ""
			c.Cluster = &Cluster{Listen: cluster[i], Peers: cluster, Secret: strings.Repeat("s", minSecret)}
		})
	}
	brokers := make([]*Broker, 3)
	begin := func(i int) {
		t.Helper()
		b, err := Start(t.Context(), configs[i])
		if err != nil {
			t.Fatal(err)
		}
		brokers[i] = b
	}
	end := func(i int) {
		t.Helper()
		brokers[i].stop() // at once: nobody is sent away before
		brokers[i] = nil
	}
	defer func() {
		for i := range brokers {
			if brokers[i] != nil {
				end(i)
			}
		}
	}()
	for i := range brokers {
		begin(i)
	}
	urls := "tls://" + strings.Join(clients, ",tls://")
	var nodes []*nats.Conn
	for i := range 30 {
		nodes = append(nodes, o.connect(t, urls, o.node(t, fmt.Sprintf("n%d", i)), func(opts *nats.Options) error {
			opts.AllowReconnect = true
			return nil
		}, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 20*time.Millisecond)))
	}
	connected := func(when string) {
		t.Helper()
		await(t, when+": all nodes are connected", func() bool {
			for _, n := range nodes {
				if n.FlushTimeout(time.Second) != nil {
					return false
				}
			}
			return true
		})
	}
	connected("at first")
	for i := range brokers { // rolled
		end(i)
		connected(fmt.Sprintf("without broker %d", i))
		begin(i)
	}
	for i := range brokers {
		end(i)
	}
	for i, a := range clients {
		if conn, err := net.Dial("tcp", a); err == nil {
			_ = conn.Close()
			t.Errorf("broker %d is not gone", i)
		}
	}
	for i := range brokers {
		begin(i)
	}
	connected("after all were gone")
}
