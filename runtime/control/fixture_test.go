package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pump = `format: 1
name: pump
version: 1.2.0
initial_state: idle
data:
  count: {type: integer, default: 0}
transitions:
  - {name: go, from: [idle], destination: busy, set: {count: data.count + 1}}
  - {name: done, from: [busy], destination: idle}
  - {name: note, from: ["*"], destination: busy}
watchers:
  - {name: check, type: probe, state_match: [busy], success_transition: done, when: data.count > 1000}
`

// volatile keeps nothing.
var volatile = strings.NewReplacer("name: pump", "name: fan", "version", "durable: false\nversion").Replace(pump)

// catalogue has one type of watcher, probe, whose looks succeed.
type catalogue map[string]watchers.Type

type nothing struct{}

type probe struct{}

func (probe) Check(context.Context, *watchers.Look) watchers.Report { return watchers.Success() }

func newCatalogue() catalogue {
	t := watchers.Type{WatcherType: machine.WatcherType{Name: "probe"}}
	return catalogue{"probe": watchers.Define(t, func(*nothing, *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return probe{} }}
	})}
}

func (c catalogue) Find(name string) (*machine.WatcherType, bool) {
	t, ok := c[name]
	return &t.WatcherType, ok
}

func (c catalogue) Names() []string { return slices.Sorted(maps.Keys(c)) }

func (c catalogue) Prepare(w *machine.WatcherSpec) (*watchers.Prepared, diag.List) {
	return c[w.Type].Prepare(w)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serving is a host that runs machines, with its control socket.
type serving struct {
	host   *runtime.Host
	client *control.Client
	dir    string
	stop   func()
}

func serve(t testing.TB, manifests ...string) *serving {
	t.Helper()
	s := &serving{dir: t.TempDir()}
	real, err := clock.NewReal()
	check(t, err)
	metrics := prometheus.NewRegistry()
	s.host, err = runtime.New(runtime.Config{
		Identity: "n1", Catalogue: newCatalogue(), Clock: real, Log: quiet(), StateDir: s.dir, Metrics: metrics,
	})
	check(t, err)
	l, err := control.Listen(control.SocketPath(s.dir))
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- s.host.Run(ctx) }()
	go func() { served <- control.NewServer(s.host, metrics, quiet()).Serve(ctx, l) }()
	s.client = control.NewClient(s.dir)
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		s.client.Close()
		cancel()
		if err := errors.Join(<-served, <-ran, real.Close()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	}
	t.Cleanup(s.stop)
	for _, m := range manifests {
		d, list := machine.Load("machine.yaml", []byte(m), newCatalogue())
		check(t, list.Err())
		check(t, s.host.Deploy(t.Context(), runtime.Deployment{Definition: d}))
	}
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// send writes bytes to the socket and returns all that comes back. The answer must come within 10 s.
func (s *serving) send(t testing.TB, request string) []byte {
	t.Helper()
	c, err := net.Dial("unix", control.SocketPath(s.dir))
	check(t, err)
	defer c.Close()
	check(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	// A host that refuses early may close before it has read all.
	_, _ = io.WriteString(c, request)
	_ = c.(*net.UnixConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Fatalf("no end of the answer to %.200q after 10 s", request)
	}
	return answer
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// parse reads the answers on one connection, which must all be HTTP, and holds refusals to what they promise.
func parse(t testing.TB, request string, answer []byte) (statuses []int, last control.Error) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(string(answer)))
	for {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return statuses, last
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("the answer to %.200q is not HTTP: %v\n%.500q", request, err, answer)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return statuses, last // to HEAD; it has no body to read
		}
		statuses = append(statuses, resp.StatusCode)
		if resp.StatusCode < 400 || len(body) == 0 && strings.HasPrefix(request, "HEAD ") {
			continue
		}
		last = control.Error{}
		if err := json.Unmarshal(body, &last); err != nil || last.Message == "" || last.Hint == "" {
			t.Fatalf("the refusal of %.200q has no message with a next step: %v\n%.500q", request, err, body)
		}
	}
}
