package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// fleetPatience is how long a test waits for what is to come.
const fleetPatience = 20 * time.Second

// fleetCell is a cell with its broker, buckets and an administrator: without machines where newFleetCell makes it, with those of an overlay where
// newHostedCell does.
type fleetCell struct {
	t      *testing.T
	dir    string
	url    string         // of the fleet listener; "" is what overlay.Init wrote
	broker *broker.Broker // of a cell without machines
	host   *overlay.Host  // of a cell with them
	admins string         // the administrator's folder
	admin  *overlay.Connection
	nodes  jetstream.KeyValue
}

func newFleetCell(t *testing.T) *fleetCell {
	t.Helper()
	c := &fleetCell{t: t, dir: filepath.Join(t.TempDir(), "cell")}
	_, err := overlay.Init(overlay.InitOptions{Dir: c.dir, Cell: "main", Now: time.Now(), Hosts: []overlay.HostOptions{{
		Name: "overlay1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222, Enrollment: 4223, Cluster: 6222,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	c.enter()
	return c
}

// enter makes the administrator's folder and connects.
func (c *fleetCell) enter() {
	c.t.Helper()
	c.admins = c.client("admin", "admin")
	client, err := overlay.OpenClient(c.admins)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), fleetPatience)
	defer cancel()
	if c.admin, err = client.Connect(ctx, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.admin.Close)
}

// start starts the broker on a port of its own.
func (c *fleetCell) start() {
	c.t.Helper()
	host := filepath.Join(c.dir, "hosts", "overlay1")
	cert, err := tls.LoadX509KeyPair(filepath.Join(host, "tls.pem"), filepath.Join(host, "tls.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	roots, err := rootsOf(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), fleetPatience)
	defer cancel()
	limits := broker.DefaultLimits()
	limits.LameDuck = 0
	c.broker, err = broker.Start(ctx, broker.Config{
		Name: "overlay1", Cell: "main", Dir: c.t.TempDir(), Fleet: "127.0.0.1:0",
		TLS: &broker.TLS{Certificate: cert, CA: read(c.t, filepath.Join(host, "ca.pem"))}, Verifier: identity.NewVerifier(roots...),
		Limits: limits, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.url = c.broker.ClientURL()
	following, stop := context.WithCancel(context.Background())
	followed := make(chan error, 1)
	go func() { followed <- c.broker.FollowRevocations(following) }()
	c.t.Cleanup(func() {
		stop()
		if err := errors.Join(<-followed, c.broker.Close()); err != nil {
			c.t.Error(err)
		}
	})
}

func (c *fleetCell) streams() jetstream.JetStream {
	c.t.Helper()
	js, err := jetstream.New(c.admin.Conn)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// client makes the folder of a client with the verb that operators use.
func (c *fleetCell) client(name string, rights ...string) string {
	c.t.Helper()
	folder := filepath.Join(c.t.TempDir(), name)
	v := &tokenIssueClientVerb{issuerFlags: issuerFlags{Dir: c.dir}, Name: name, Right: rights, Output: folder}
	if c.url != "" {
		v.URL = []string{c.url}
	}
	if a := answer(c.t, v, false); a.code != exitOK {
		c.t.Fatal(a)
	}
	return folder
}

// record puts a record into the register.
func (c *fleetCell) record(id identity.Identity, fields map[string]any) {
	c.t.Helper()
	value, err := json.Marshal(fields)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.nodes.Put(c.t.Context(), id.Token(), value); err != nil {
		c.t.Fatal(err)
	}
}

// responder answers what operators ask of a node, and remembers it.
func (c *fleetCell) responder(token string, answer func(m *nats.Msg) error) (asked func() []string) {
	c.t.Helper()
	var mu sync.Mutex
	var bodies []string
	_, err := c.admin.Subscribe("node."+token+".in.operate.reprovision", func(m *nats.Msg) {
		mu.Lock()
		bodies = append(bodies, string(m.Data))
		mu.Unlock()
		if err := answer(m); err != nil {
			c.t.Error(err)
		}
	})
	if err == nil {
		err = c.admin.Flush()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return bodies
	}
}

// verbAnswer is what a verb printed, and its exit code.
type verbAnswer struct {
	out, errs string
	code      int
}

func (a verbAnswer) String() string {
	return fmt.Sprintf("exit code %d\n-- stdout --\n%s-- stderr --\n%s", a.code, a.out, a.errs)
}

// decode reads what was printed as JSON.
func (a verbAnswer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.out), into); err != nil {
		t.Fatalf("%v: %v", err, a)
	}
}

// answer runs a verb as run does.
func answer(t *testing.T, v interface{ Run(*invocation) error }, asJSON bool) verbAnswer {
	t.Helper()
	out, errs := &quietBuffer{}, &quietBuffer{}
	inv := testInvocation(t.Context(), out, errs, asJSON)
	code := inv.report(inv.ended(v.Run(inv)))
	return verbAnswer{out: out.String(), errs: errs.String(), code: code}
}

func testInvocation(ctx context.Context, out, errs io.Writer, asJSON bool) *invocation {
	return &invocation{ctx: ctx, stdin: strings.NewReader(""), out: &results{w: out}, stderr: errs, log: slog.New(slog.DiscardHandler), json: asJSON}
}

// quietBuffer takes what connections say, too, which have goroutines of their own.
type quietBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *quietBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *quietBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// wants fails unless the exit code and texts are there.
func (a verbAnswer) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if a.code != code {
		t.Errorf("the exit code is not %d: %v", code, a)
	}
	for _, text := range texts {
		if !strings.Contains(a.out+a.errs, text) {
			t.Errorf("it does not say %q: %v", text, a)
		}
	}
}

const otherKey = "0f1c2d3e4f5a6b7c8d9eafb0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f4"

func nodeFields(id, state string) map[string]any {
	return map[string]any{
		"identity": id, "state": state, "cell": "main", "public_key": otherKey, "owner": "overlay1", "first_seen": 1767607200,
		"last_seen": 1767610800, "token_id": "T1", "upgrade": "2.1.0", "extra": map[string]any{"big": json.Number("9007199254740993")},
	}
}

func TestFleetLsAndShow(t *testing.T) {
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: newFleetCell(t).admins}}, false).
		wants(t, exitUnreachable, "asking the cell's service nodes: no host of the cell answers")
	c := newHostedCell(t)
	as := contextFlags{As: c.client("viewer", "fleet_view")}
	answer(t, &fleetLsVerb{contextFlags: as}, false).wants(t, exitOK, "no node has joined yet; statecraft node run --join FILE")
	c.record("n2.example", nodeFields("n2.example", "active"))
	c.record("n1.example", nodeFields("n1.example", "assigned"))
	if _, err := c.nodes.Put(t.Context(), "n3", []byte("no JSON\x1b[2J")); err != nil {
		t.Fatal(err)
	}
	a := answer(t, &fleetLsVerb{contextFlags: as}, false)
	const table = `NODE        STATE         CELL  RENEWED               OWNER
n1.example  assigned      main  2026-01-05 11:00:00Z  overlay1
n2.example  active        main  2026-01-05 11:00:00Z  overlay1
n3          (unreadable)  -     -                     -
`
	if diff := cmp.Diff(table, a.out); diff != "" || a.code != exitOK {
		t.Errorf("exit code %d, -want +got\n%s", a.code, diff)
	}
	var listed fleetResult
	answer(t, &fleetLsVerb{contextFlags: as}, true).decode(t, &listed)
	seen := time.Unix(1767610800, 0).UTC()
	want := nodeResult{
		Identity: "n1.example", State: "assigned", Cell: "main", PublicKey: otherKey, Owner: "overlay1", FirstSeen: time.Unix(1767607200, 0).UTC(), LastSeen: seen,
	}
	if diff := cmp.Diff(want, listed.Nodes[0]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	answer(t, &fleetShowVerb{as, "n1.example"}, false).wants(t, exitOK, "public key  "+otherKey, "token_id    T1", "upgrade     2.1.0", `"big":9007199254740993`)
	a = answer(t, &fleetShowVerb{as, "n3"}, false)
	if a.wants(t, exitOK, "(unreadable)"); strings.Contains(a.out, "\x1b") {
		t.Errorf("a record takes hold of the terminal: %q", a.out)
	}
	answer(t, &fleetShowVerb{as, "n4"}, false).wants(t, exitFailed, "the register knows no node n4", "statecraft fleet ls")
	answer(t, &fleetShowVerb{as, "N4"}, false).wants(t, exitUsage)
}

// The exit codes of docs/cli.md.
func TestFleetRefusedAndUnreachable(t *testing.T) {
	c := newHostedCell(t)
	c.record("n1", nodeFields("n1", "active"))
	viewer := c.client("viewer", "fleet_view")
	begun := time.Now()
	answer(t, &fleetRetireVerb{contextFlags{As: viewer}, "n1"}, false).wants(t, exitRefused, "viewer is not allowed to", "--right fleet_approve")
	answer(t, &fleetReprovisionVerb{contextFlags: contextFlags{As: viewer}, Rate: "10/s", Nodes: []string{"n1"}}, false).
		wants(t, exitRefused, "--right fleet_operate")
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: c.client("revoker", "token_revoke")}}, false).wants(t, exitRefused, "--right fleet_view")
	answer(t, &fleetWatchVerb{contextFlags{As: c.client("revoker", "token_revoke")}}, false).wants(t, exitRefused, "--right fleet_view")
	if took := time.Since(begun); took > patience {
		t.Errorf("who is refused waits %s for an answer", took)
	}
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: filepath.Join(c.dir, "nowhere")}}, false).wants(t, exitUsage, "STATECRAFT_CONTEXT")
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: foreign(t, viewer, c.client("other", "admin"))}}, false).wants(t, exitRefused, "refuses the token of viewer")

	stranger, err := identity.NewCA("another", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: changed(t, viewer, func(o *overlay.Client) { o.CA = stranger.PEM() })}}, false).
		wants(t, exitRefused, "is not a broker of cell main")
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: changed(t, viewer, func(o *overlay.Client) { o.URLs = []string{"tls://127.0.0.1:1"} })}}, false).
		wants(t, exitUnreachable, "connecting to cell main at tls://127.0.0.1:1", "hint: ")
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: changed(t, viewer, func(o *overlay.Client) { o.Token = "a.b.c" })}}, false).wants(t, exitInvalid)
}

// changed copies a client's folder and changes its context.
func changed(t *testing.T, folder string, change func(*overlay.Client)) string {
	t.Helper()
	copied := t.TempDir()
	o, err := overlay.OpenClient(folder)
	if err != nil {
		t.Fatal(err)
	}
	change(o)
	if err := o.Save(copied); err != nil {
		t.Fatal(err)
	}
	withKey(t, copied, folder)
	return copied
}

// withKey gives a client's folder the key of another.
func withKey(t *testing.T, folder, of string) {
	t.Helper()
	_, to := overlay.ClientFiles(folder)
	_, from := overlay.ClientFiles(of)
	if err := os.WriteFile(to, []byte(read(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// foreign is a folder with the token of one client and the key of another.
func foreign(t *testing.T, token, key string) string {
	t.Helper()
	copied := changed(t, token, func(*overlay.Client) {})
	withKey(t, copied, key)
	return copied
}

func TestFleetRetire(t *testing.T) {
	c := newHostedCell(t)
	c.record("n1.example", nodeFields("n1.example", "active"))
	var n changedNode
	approver := contextFlags{As: c.client("bob", "fleet_approve")}
	a := answer(t, &fleetRetireVerb{approver, "n1.example"}, false)
	a.wants(t, exitOK, "n1.example is retired", "statecraft token revoke --key "+otherKey)
	answer(t, &fleetRetireVerb{approver, "n1.example"}, true).decode(t, &n)
	if n.Changed || n.State != retired || n.Revision == 0 {
		t.Errorf("retired a second time: %+v", n)
	}
	entry, err := c.nodes.Get(t.Context(), "n1=example")
	if err != nil {
		t.Fatal(err)
	}
	want := nodeFields("n1.example", "retired")
	want["claims"] = map[string]any{} // which may be long
	var got map[string]any
	exact := json.NewDecoder(bytes.NewReader(entry.Value()))
	exact.UseNumber() // no digit of a record may be lost
	if err := exact.Decode(&got); err != nil {
		t.Fatal(err)
	}
	// Who has retired it is said with the key that the client logged in with.
	if by, _ := got["retired_by"].(string); !strings.HasPrefix(by, "bob (U") || got["retired_at"] == nil {
		t.Errorf("retired by %q at %v", by, got["retired_at"])
	}
	delete(got, "retired_by")
	delete(got, "retired_at")
	if diff := cmp.Diff(sameJSON(t, want), sameJSON(t, got)); diff != "" {
		t.Errorf("the record, -want +got\n%s", diff)
	}
	answer(t, &fleetRetireVerb{approver, "n4"}, false).wants(t, exitFailed, "the register knows no node n4")
}

func sameJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
