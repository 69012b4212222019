package broker

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// BenchmarkDecide decides about a node whose token has been verified.
func BenchmarkDecide(b *testing.B) {
	k := testKnowledge(b)
	for i := range 10_000 {
		k.Revoked.Add(Revocation{Kind: RevokedToken, Value: strconv.Itoa(i)})
	}
	e := testEvidence(newKey(b).Public())
	b.ReportAllocs()
	for b.Loop() {
		if d := Decide(e, k); d.Refused != "" {
			b.Fatal(d.Refused)
		}
	}
}

// BenchmarkAuthentication is all that the broker does for one login: the nonce's signature, the token's with its chain, the decision and
// the book.
func BenchmarkAuthentication(b *testing.B) {
	o := newOverlay(b)
	broker := o.broker(b)
	l := o.node(b, "n1.example")
	nonce := []byte("0123456789abcde")
	opts := server.ClientOpts{Token: l.token, Nkey: l.key.Public().NKey(), Sig: signed(l.key, string(nonce))}
	g := broker.fleet.gate
	b.ReportAllocs()
	var id uint64
	for b.Loop() {
		id++
		shown := opts
		if !g.Check(&knock{opts: &shown, nonce: nonce, id: 1<<40 + id}) {
			b.Fatal("refused")
		}
	}
}

// knock is a connection without a server.
type knock struct {
	server.ClientAuthentication
	opts  *server.ClientOpts
	nonce []byte
	id    uint64

	// What the gate sets in a connection of nats-server's.
	mu    sync.RWMutex       //nolint:unused // by its name
	msubs int32              //nolint:unused // by its name
	out   struct{ mp int64 } //nolint:unused // by its name
}

func (k *knock) GetOpts() *server.ClientOpts { return k.opts }
func (k *knock) GetNonce() []byte            { return k.nonce }
func (k *knock) Kind() int                   { return server.CLIENT }
func (k *knock) GetID() uint64               { return k.id }
func (k *knock) RemoteAddress() net.Addr     { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (k *knock) RegisterUser(u *server.User) {}

// BenchmarkRevoke bans one of a crowd, from Revoke to the end of its connection.
func BenchmarkRevoke(b *testing.B) {
	o := newOverlay(b)
	broker := o.broker(b)
	o.gathers(b, broker, *crowdSize)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		gone := make(chan struct{})
		l := o.node(b, "n"+strconv.Itoa(i))
		o.connect(b, broker.ClientURL(), l, nats.DisconnectErrHandler(func(*nats.Conn, error) { close(gone) }))
		b.StartTimer()
		broker.Revoke(Revocation{Kind: RevokedToken, Value: l.claims.ID})
		<-gone
	}
}

// BenchmarkStorm connects -crowd nodes at once, in this process.
func BenchmarkStorm(b *testing.B) {
	o := newOverlay(b)
	broker := o.broker(b)
	var logins []login
	for i := range *crowdSize {
		logins = append(logins, o.node(b, fmt.Sprintf("n%d", i)))
	}
	for b.Loop() {
		took := storm(b, o, broker, logins)
		b.ReportMetric(float64(len(logins))/took.Seconds(), "connects/s")
	}
}

// BenchmarkMemoryPerConnection holds -crowd idle nodes of another process, connected with TLS, with three subscriptions each.
func BenchmarkMemoryPerConnection(b *testing.B) {
	o := newOverlay(b)
	broker := o.broker(b)
	before, rss := memory(b), resident(b)
	o.gathers(b, broker, *crowdSize)
	if held := broker.fleet.server.NumClients(); held != *crowdSize {
		b.Fatalf("%d connections are open", held)
	}
	rssAtOnce := resident(b)
	after := memory(b)
	rssAfter := resident(b)
	for b.Loop() {
		runtime.Gosched()
	}
	n := float64(*crowdSize)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(rssAtOnce-rss)/n/1024, "KiB_resident_at_once/conn")
	b.ReportMetric(float64(rssAfter-rss)/n/1024, "KiB_resident/conn")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n/1024, "KiB_heap/conn")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n/1024, "KiB_stack/conn")
}

func memory(b *testing.B) runtime.MemStats {
	b.Helper()
	settle := time.NewTimer(500 * time.Millisecond)
	<-settle.C
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}

// resident is the memory of this process that the kernel holds, in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("resident memory is read from /proc, which this system does not have")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
