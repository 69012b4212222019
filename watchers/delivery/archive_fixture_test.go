package delivery

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/registry/archivetest"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

const (
	archiveNode     = "n1.example"
	archivePatience = 2 * time.Minute // a hang guard
)

// archiveTest is a target and sources of archives.
type archiveTest struct {
	t        testing.TB
	outside  string // a folder around the target
	slots    *registry.Slots
	services Services
}

func newArchiveTest(t testing.TB) *archiveTest {
	t.Helper()
	outside := t.TempDir()
	slots := &registry.Slots{Target: filepath.Join(outside, "a", "machines")}
	return &archiveTest{
		t: t, outside: outside, slots: slots, services: Services{Slots: func(string) (*registry.Slots, error) { return slots, nil }},
	}
}

// bundleOf makes the bundle of a version of the machine web.
func bundleOf(t testing.TB, version string) *registry.Bundle {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"machine.yaml": "name: web\nversion: " + version + "\n", "check.sh": "#!/bin/sh\n", "lib/a": "a",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := registry.Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// spec is the properties for a bundle.
func (a *archiveTest) spec(b *registry.Bundle, source string) *archiveSpec {
	return &archiveSpec{
		Source: watchers.PlainText(source), Checksum: watchers.PlainText(b.Digest), Creates: watchers.PlainText("web"), VerifyChecksum: watchers.PlainText(b.SumsDigest), Connection: "fleet",
		Timeout: strict.Duration(archivePatience),
	}
}

func (a *archiveTest) watcher(spec *archiveSpec) *archive {
	return &archive{spec: spec, services: a.services}
}

func (a *archiveTest) look(moment watchers.Moment) *watchers.Look {
	return &watchers.Look{
		Moment: moment, Machine: "deployer", Watcher: "w", Identity: archiveNode, Facts: new(watchers.Facts), Strict: true, Log: slog.New(slog.DiscardHandler),
	}
}

// check looks, and holds the outcome.
func (a *archiveTest) check(w *archive, moment watchers.Moment, outcome string) watchers.Report {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), archivePatience)
	defer cancel()
	r := w.Check(ctx, a.look(moment))
	if r.Outcome != outcome {
		a.t.Fatalf("the look reports %s (%s), want %s", r.Outcome, r.Message, outcome)
	}
	return r
}

// fails looks, and holds that it fails for a reason, and that nothing changes.
func (a *archiveTest) fails(w *archive, because string) string {
	a.t.Helper()
	before := a.files()
	r := a.check(w, watchers.Entered, "fail")
	if !strings.Contains(r.Message, because) {
		a.t.Errorf("fails with %q, want something that says %q", r.Message, because)
	}
	if after := a.files(); after != before {
		a.t.Errorf("leaves\n%s\nwhere there was\n%s", after, before)
	}
	return r.Message
}

// files are all files around the target, with their content, but for the folder of the slots.
func (a *archiveTest) files() string {
	a.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(a.outside, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && filepath.Dir(path) == a.outside || d.Name() == ".slots" || d.Name() == "machines" {
			return err
		}
		all.WriteString(path + " " + d.Type().String())
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			all.Write(content)
			all.WriteString("\n")
			return err
		}
		all.WriteString("\n")
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return all.String()
}

// runs holds which version is deployed, and that it is intact.
func (a *archiveTest) runs(b *registry.Bundle) {
	a.t.Helper()
	dir, digest, ok := a.slots.Current("web")
	if !ok || digest != b.Digest || registry.Verify(dir, registry.SumsFile, b.SumsDigest) != nil {
		a.t.Errorf("there is %s in %s, %t; want %s", digest, dir, ok, b.Digest)
	}
}

// serve starts an https server, whose certificate is in ca.
func serve(t testing.TB, handler http.HandlerFunc) (s *httptest.Server, ca string) {
	t.Helper()
	s = httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// web is a watcher of what an https server answers.
func (a *archiveTest) web(b *registry.Bundle, handler http.HandlerFunc) *archive {
	a.t.Helper()
	s, ca := serve(a.t, handler)
	spec := a.spec(b, s.URL+"/web.tar.gz")
	spec.CA = watchers.PlainText(ca)
	return a.watcher(spec)
}

func sends(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) }
}

// ranges is a service that answers for ranges as the overlay does, as far as a test does not tell it otherwise.
type ranges struct {
	mu      sync.Mutex
	object  []byte
	queries []ObjectQuery
	answer  func(q ObjectQuery, m *nats.Msg) *nats.Msg // nil is none
}

// respond makes the proper answer.
func (r *ranges) respond(q ObjectQuery) *nats.Msg {
	m := nats.NewMsg("")
	m.Header.Set(headerObjectSize, strconv.Itoa(len(r.object)))
	m.Header.Set(headerObjectOffset, strconv.FormatInt(q.Offset, 10))
	from := min(q.Offset, int64(len(r.object)))
	m.Data = r.object[from:min(from+min(q.Length, objectRange), int64(len(r.object)))]
	return m
}

func (r *ranges) serve(msg *nats.Msg) {
	var q ObjectQuery
	if err := json.Unmarshal(msg.Data, &q); err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queries = append(r.queries, q)
	m := r.respond(q)
	if r.answer != nil {
		m = r.answer(q, m)
	}
	if m != nil {
		_ = msg.RespondMsg(m)
	}
}

func (r *ranges) asked() []ObjectQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]ObjectQuery(nil), r.queries...)
}

// broker starts a broker, with a connection of the test's node to it, and one that serves ranges.
func (a *archiveTest) broker(r *ranges) {
	a.t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		a.t.Fatal(err)
	}
	srv.Start()
	a.t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(archivePatience) {
		a.t.Fatal("the broker does not start")
	}
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{srv.ClientURL()}}, nil
	}, slog.New(slog.DiscardHandler))
	a.t.Cleanup(pool.Close)
	ctx, cancel := context.WithTimeout(context.Background(), archivePatience)
	a.t.Cleanup(cancel)
	if err := pool.Keep(ctx, archiveNode, "fleet"); err != nil {
		a.t.Fatal(err)
	}
	if _, err := pool.Wait(ctx, archiveNode, "fleet"); err != nil {
		a.t.Fatal(err)
	}
	a.services.Pool = pool
	overlay, err := nats.Connect(srv.ClientURL())
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(overlay.Close)
	if _, err := overlay.Subscribe("node.n1=example.out.bundle", r.serve); err != nil {
		a.t.Fatal(err)
	}
	if err := overlay.Flush(); err != nil {
		a.t.Fatal(err)
	}
}

// object is a watcher of an object of the overlay.
func (a *archiveTest) object(b *registry.Bundle) *archive {
	return a.watcher(a.spec(b, "object://BUNDLES/"+b.Digest))
}

// attacked is an attack as if it were a bundle.
func attacked(data []byte) *registry.Bundle {
	return &registry.Bundle{Data: data, Digest: archivetest.Digest(data), SumsDigest: archivetest.Digest(nil)}
}

func refusal(code, text string) *nats.Msg {
	m := nats.NewMsg("")
	m.Header.Set(micro.ErrorCodeHeader, code)
	m.Header.Set(micro.ErrorHeader, text)
	return m
}

// filled is a text into which values are filled.
func filled(t testing.TB, text string) watchers.Text {
	t.Helper()
	out, err := watchers.CompileText(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
