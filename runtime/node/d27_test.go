package node_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// shortLived is a folder of an overlay's machines whose first tokens of nodes live for a while only, and the next ones for longer.
func shortLived(t testing.TB, first string) func(o *overlay.InitOptions) {
	dir := override(t, t.TempDir(), "overlay/enrollee", "lifetime: 24h", "lifetime: "+first)
	return func(o *overlay.InitOptions) {
		o.Machines = override(t, dir, "overlay/registrar", "lifetime: 24h", "lifetime: 1h")
	}
}

func (m *member) expires() time.Time {
	m.t.Helper()
	given, err := m.store.Active()
	if err != nil {
		m.t.Fatal(err)
	}
	claims, err := identity.Inspect(given.Token)
	if err != nil {
		m.t.Fatal(err)
	}
	return claims.Expires
}

// TestD27ExpiredNodeRecovers stops the overlay until a node's token has ended. The node renews it when the overlay is back, as it is.
func TestD27ExpiredNodeRecovers(t *testing.T) {
	c := newCell(t, shortLived(t, "3s"))
	quick := override(t, t.TempDir(), "node/enrollment", "overdue: {after: {5m: try_again}", "overdue: {after: {1s: try_again}",
		"retry: {max: 6, backoff: 1s..2m, then: renewal_failed}", "retry: {max: 6, backoff: 200ms..1s, then: renewal_failed}")
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) { c.Machines = quick })
	m.becomes("active")
	ended := m.expires()
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token has ended", func() bool { return time.Now().After(ended.Add(time.Second)) })
	c.run()
	eventually(t, "the node has a new token", func() bool { return m.expires().After(time.Now().Add(time.Minute)) })
	m.becomes("active")
	if n := m.entered("recovering"); n != 0 {
		t.Errorf("the node recovered %d times, want that it only renews", n)
	}
}

// trail collects when enrollment machines took a transition.
type trail struct {
	mu sync.Mutex
	at map[string][]time.Time // by event
}

func (r *trail) observe(rec *machine.Record, _ bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string][]time.Time{}
	}
	r.at[rec.Event] = append(r.at[rec.Event], rec.At)
}

func (r *trail) times(event string) []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.at[event])
}

// TestD27RenewalIsSpread lets nodes that came together renew: over the sessions that they have, between half and seven tenths of their
// tokens' life, and not together.
func TestD27RenewalIsSpread(t *testing.T) {
	const nodes, life = 40, 20 * time.Second
	c, seen := newCell(t, shortLived(t, "20s")), &trail{}
	a := newAgent(t, func(c *node.Config) { c.Observe = seen.observe })
	e, err := a.Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all have renewed", func() bool { return len(seen.times("stored")) == nodes })
	due := seen.times("renewal_due")
	slices.SortFunc(due, time.Time.Compare)
	given := seen.times("given")
	slices.SortFunc(given, time.Time.Compare)
	// It is due from half of the token's life on. A machine that is busy hears late of what was given, and is never early; that it was in time for
	// all shows in that none had to ask anew.
	if early := due[0].Sub(given[0]); early < life/4 {
		t.Errorf("the first renewed after %s of %s", early, life)
	}
	if spread := due[nodes*9/10].Sub(due[nodes/10]); spread < life/10 {
		t.Errorf("eight tenths of the nodes renewed within %s", spread)
	}
	for _, event := range []string{"renewal_failed", "renewal_refused", "cell_refused", "recover"} {
		if n := len(seen.times(event)); n > 0 {
			t.Errorf("%d nodes had %s", n, event)
		}
	}
	eventually(t, "all are active", func() bool { return e.Standing().Active == nodes })
}

// TestD27Revoked revokes an identity: its session ends, and the node asks where it belongs. The overlay tells it that it is revoked before
// anybody decides on it, and the node waits for long. Of what stands in the bucket without saying by whom, it takes no notice, as the broker.
func TestD27Revoked(t *testing.T) {
	c, seen := newCell(t, nil), &trail{}
	quick := override(t, t.TempDir(), "node/enrollment", hurried...)
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) { c.Machines, c.Observe = quick, seen.observe })
	other := newMember(t, "n2.example", t.TempDir(), c.join, nil)
	m.becomes("active")
	other.becomes("active")
	conn, err := m.agent.Pool().Conn("n1.example", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	before := record(t, c.bucket("NODES"), "n1.example")
	revoke := func(key, by string) {
		revoked, err := json.Marshal(map[string]any{"reason": "stolen", "by": by, "at": time.Now().UTC().Format(time.RFC3339)})
		if err == nil {
			_, err = c.bucket("REVOKED").Put(t.Context(), key, revoked)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	revoke("identity.n3=example", "")
	revoke("identity.n1=example", "operator")
	began := time.Now()
	eventually(t, "the session ends", func() bool { return !conn.IsConnected() })
	within(t, "the end of the session", 2*time.Second, began)
	m.becomes("revoked")
	if !strings.HasPrefix(m.reason(), "this identity is revoked for good") {
		t.Errorf("the node waits because %q", m.reason())
	}
	if n, told := len(seen.times("cell_refused")), len(seen.times("told")); n != 1 || told != 1 {
		t.Errorf("the node was refused by the cell %d times and by the overlay %d times, want once each", n, told)
	}
	if diff := cmp.Diff(before, record(t, c.bucket("NODES"), "n1.example")); diff != "" {
		t.Errorf("the register has another record of it: %s", diff)
	}
	if s := other.state(); s != "active" {
		t.Errorf("another node is %s", s)
	}
	newMember(t, "n3.example", t.TempDir(), c.join, nil).becomes("active")
}
