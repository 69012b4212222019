package runtime_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/journal"
	"github.com/statecraft-io/statecraft/runtime/vault"
	"github.com/statecraft-io/statecraft/watchers"
)

// hidden is what must be in nothing that is stored or shown.
const hidden = "hunter2-hunter2"

const keeper = `
format: 1
name: keeper
version: VERSION
initial_state: idle
states: {idle: {home: true}}
secret_input: [password]
data:
	token: {type: string, default: "", secret: true}
	seen: {type: string, default: ""}
	count: {type: integer, default: 0}
transitions:
	- {name: given, from: [idle], destination: has, set: {token: event.payload.body.token, count: data.count + 1}}
	- {name: works, from: [has], destination: has, reenter: true, when: data.token != "" && input.password == data.token, set: {count: data.count + 1}}
	- {name: fails, from: [has], destination: idle, set: {count: int(data.token)}}
	- {name: back, from: [has], destination: idle}
watchers:
	- {name: use, type: use, state_match: [has], fail_transition: fails}
`

func keeperOf(version string) string { return strings.ReplaceAll(keeper, "VERSION", version) }

// inClear is the keeper before it was declared that it has secrets.
func inClear() string {
	return strings.NewReplacer(", secret: true", "", "secret_input: [password]\n", "").Replace(keeperOf("0.9.0"))
}

// shown collects what a host says to people and to the bus.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shown) Publish(_ string, e event.Event) error {
	_, err := s.Write(e.Data())
	return err
}

func (s *shown) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// secretHost runs the keeper. What its watcher finds of the secret goes to seen.
type secretHost struct {
	*host
	out  *shown
	used chan string // what the watcher was given
}

func newSecretHost(t *testing.T, dir, manifest string, opts journal.Options) *secretHost {
	t.Helper()
	s := &secretHost{out: &shown{}, used: make(chan string, 64)}
	c := newFakes()
	c.check("use", func(_ context.Context, l *watchers.Look) watchers.Report {
		token, _ := l.Data["token"].(string)
		s.used <- token
		return watchers.Report{Outcome: machine.OutcomeSuccess, Message: "used " + token, State: map[string]any{"command": []any{"use", token}}}
	})
	s.host = runHost(t, runtime.Config{
		StateDir: dir, Catalogue: c, Journal: opts, Log: slog.New(slog.NewTextHandler(s.out, nil)), Bus: s.out,
		Observe: func(r *machine.Record, _ bool) { _, _ = s.out.Write([]byte(machine.Transcript(r) + "\n")) },
	})
	s.start(manifest)
	return s
}

func (s *secretHost) start(manifest string) {
	s.t.Helper()
	d := runtime.Deployment{Definition: load(s.t, s.catalogue, manifest), Input: map[string]any{"password": hidden, "site": "east"}}
	if err := s.Deploy(s.t.Context(), d); err != nil {
		s.t.Fatal(err)
	}
}

func (s *secretHost) give() runtime.Fired {
	s.t.Helper()
	f, err := s.Fire(s.t.Context(), "keeper", "given", map[string]any{"body": map[string]any{"token": hidden}}, "op")
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// works reports whether the machine decides by its secret, which only the secret itself lets it.
func (s *secretHost) works() bool {
	return s.fire("keeper", "works").Record.Kind == machine.RecordTransition
}

// told is all that the host shows of the machine when it is asked.
func (s *secretHost) told() string {
	s.t.Helper()
	detail, err := s.Machine(s.t.Context(), "keeper")
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(detail)
	if err != nil {
		s.t.Fatal(err)
	}
	out := string(text)
	err = s.History(s.t.Context(), "keeper", func(e runtime.HistoryEntry) error {
		out += "\n" + machine.Transcript(e.Record) + string(e.JSON)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// filesWith returns the files below a folder that hold a text.
func filesWith(t testing.TB, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func keyOf(dir string) string { return filepath.Join(dir, vault.KeyName) }

// TestF41SecretsAreSealed has a secret go through a machine in every way there is, over checkpoints and restarts, and looks for it in all
// that is written, logged, published and shown. The machine itself works with it.
func TestF41SecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	for restart := range 3 {
		s := newSecretHost(t, dir, keeperOf("1.0.0"), journal.Options{SegmentBytes: 4 << 10})
		if restart == 0 {
			if f := s.give(); !f.Durable || strings.Contains(machine.Transcript(&f.Record), hidden) {
				t.Errorf("given: %+v", f)
			}
		}
		if got := <-s.used; got != hidden {
			t.Fatalf("after restart %d the watcher is given %q", restart, got)
		}
		for range 20 { // enough for checkpoints
			if !s.works() {
				t.Fatalf("after restart %d the guard does not hold: %s", restart, s.told())
			}
		}
		eventually(t, "the watcher has said something", func() bool {
			return strings.Contains(s.out.all(), "use (secret)") || strings.Contains(s.told(), "used (secret)")
		})
		if _, err := s.Fire(t.Context(), "keeper", "gievn", map[string]any{"body": map[string]any{"token": hidden}}, "op"); err != nil {
			t.Fatal(err)
		}
		if f := s.fire("keeper", "fails"); f.Record.Kind != machine.RecordRefused {
			t.Fatalf("a text became a number: %+v", f)
		}
		if text := s.told() + s.out.all(); strings.Contains(text, hidden) || !strings.Contains(text, "(secret)") {
			t.Errorf("shown:\n%s", text)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if found := filesWith(t, dir, hidden); len(found) > 0 {
			t.Errorf("after restart %d the secret is in %v", restart, found)
		}
	}
	snapshots, err := runtime.ReadSnapshots(t.Context(), dir)
	if err != nil || machine.ConcealSealed(snapshots["keeper"].Data)["token"] != machine.Concealed {
		t.Errorf("recorded is %v, %v", snapshots["keeper"].Data, err)
	}
}

// TestF41ExportedSecretsAreSealed exports the machine's trace, and replays it with the key and without.
func TestF41ExportedSecretsAreSealed(t *testing.T) {
	dir := t.TempDir()
	s := newSecretHost(t, dir, keeperOf("1.0.0"), journal.Options{})
	s.give()
	s.works()
	s.fire("keeper", "back")
	d, _ := s.Definition("keeper")
	var trace bytes.Buffer
	x := runtime.Export{StateDir: dir, Machine: "keeper", Definitions: []*machine.Definition{d}, At: start}
	if _, err := x.Write(t.Context(), &trace); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(trace.String(), hidden) {
		t.Errorf("the trace holds the secret:\n%s", trace.String())
	}
	key, err := vault.Read(keyOf(dir))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]machine.Vault{"with the key": key, "without": nil} {
		r, err := machine.NewTraceReader("trace", bytes.NewReader(trace.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		done, err := machine.ReplaySealed(r, d, machine.ReplayOptions{Vault: v})
		if err != nil || done.Snapshot.State != "idle" || (len(done.Unseen.Guards) == 1) != (v == nil) {
			t.Errorf("%s: %v, in %s, unseen %+v", name, err, done.Snapshot.State, done.Unseen)
		}
	}
}

// TestLostKey takes the key away, or damages it, while a machine has a secret: it goes on without, and says so everywhere.
func TestLostKey(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"lost":      func(dir string) error { return os.Remove(keyOf(dir)) },
		"damaged":   func(dir string) error { return os.WriteFile(keyOf(dir), []byte("x"), 0o600) },
		"a folder":  func(dir string) error { return joined(os.Remove(keyOf(dir)), os.Mkdir(keyOf(dir), 0o700)) },
		"another's": func(dir string) error { return otherKey(t, dir) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newSecretHost(t, dir, keeperOf("1.0.0"), journal.Options{})
			s.give()
			if err := joined(s.stop(), spoil(dir)); err != nil {
				t.Fatal(err)
			}
			s = newSecretHost(t, dir, keeperOf("1.0.0"), journal.Options{})
			if got := <-s.used; got != "" {
				t.Errorf("the watcher is given %q", got)
			}
			if told := s.told(); !strings.Contains(told, "secrets are gone: data.token") || !strings.Contains(told, `"count":1`) {
				t.Errorf("nothing says that the secret is gone, or more than it is:\n%s", told)
			}
			degraded := strings.Join(s.Health().Degraded, "\n")
			if !strings.Contains(degraded, "secrets of machine keeper") || !strings.Contains(s.out.all(), "secrets_gone") {
				t.Errorf("the host says %q and logs\n%s", degraded, s.out.all())
			}
			s.fire("keeper", "back")
			if s.give(); <-s.used != hidden {
				t.Error("the machine does not take the secret again")
			}
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			s = newSecretHost(t, dir, keeperOf("1.0.0"), journal.Options{})
			want := hidden
			if name == "a folder" { // no key can be made: what is not sealed is not stored
				want = ""
			}
			if got := <-s.used; got != want {
				t.Errorf("given again and started again, the watcher is given %q", got)
			}
			if found := filesWith(t, dir, hidden); len(found) > 0 {
				t.Errorf("the secret is in %v", found)
			}
		})
	}
}

func otherKey(t testing.TB, dir string) error {
	other := t.TempDir()
	vault.Open(other).Seal(machine.SecretField{}, nil)
	return os.Rename(keyOf(other), keyOf(dir))
}

// TestA13StoreWithoutSecretsOpens opens a store in which nothing is sealed, and upgrades its machine to a manifest that declares secrets.
func TestA13StoreWithoutSecretsOpens(t *testing.T) {
	for name, onRestart := range map[string]string{"resume": "", "initial": "on_restart: initial\n"} {
		for _, live := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				s := newSecretHost(t, dir, inClear(), journal.Options{})
				s.give()
				<-s.used
				if _, err := os.Stat(keyOf(dir)); err == nil {
					t.Error("a host without secrets has a key")
				}
				upgraded := strings.Replace(keeperOf("1.0.0"), "data:\n", onRestart+"data:\n", 1)
				if live {
					s.start(upgraded)
				} else if err := s.stop(); err != nil {
					t.Fatal(err)
				} else {
					s = newSecretHost(t, dir, upgraded, journal.Options{})
				}
				if err := s.stop(); err != nil {
					t.Fatal(err)
				}
				last, err := runtime.ReadSnapshots(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal(last["keeper"])
				if err != nil || bytes.Contains(text, []byte(hidden)) || !bytes.Contains(text, []byte("(secret)")) {
					t.Errorf("live %t: the last snapshot is %s, %v", live, text, err)
				}
			})
		}
	}
}

// TestSecretsOfVolatileMachines holds that a machine of which nothing is stored seals nothing and shows nothing.
func TestSecretsOfVolatileMachines(t *testing.T) {
	dir := t.TempDir()
	s := newSecretHost(t, dir, strings.Replace(keeperOf("1.0.0"), "data:\n", "durable: false\ndata:\n", 1), journal.Options{})
	s.give()
	if got := <-s.used; got != hidden || !s.works() {
		t.Errorf("the watcher is given %q", got)
	}
	if text := s.told() + s.out.all(); strings.Contains(text, hidden) || !strings.Contains(text, "(secret)") {
		t.Errorf("shown:\n%s", text)
	}
	if entries, err := filepath.Glob(keyOf(dir) + "*"); err != nil || len(entries) > 0 {
		t.Errorf("a host that stores no secret has %v, %v", entries, err)
	}
}

// TestSecretsOfInstances restarts a host with an instance of a template whose input is secret.
func TestSecretsOfInstances(t *testing.T) {
	dir := t.TempDir()
	template := strings.Replace(keeperOf("1.0.0"), "format: 1\n", "format: 1\nkind: template\n", 1)
	template = strings.Replace(template, "back, from: [has], destination: idle", "back, from: [has], destination: over", 1)
	template = strings.Replace(template, "{home: true}", "{home: true}, over: {final: success}", 1)
	var first map[string]any
	for restart := range 2 {
		s := &secretHost{out: &shown{}, used: make(chan string, 64)}
		c := newFakes()
		c.check("use", func(_ context.Context, l *watchers.Look) watchers.Report {
			s.used <- l.Input["password"].(string)
			return watchers.Success()
		})
		s.host = runHost(t, runtime.Config{StateDir: dir, Catalogue: c})
		s.deploy(template)
		if restart == 0 {
			input := map[string]any{"password": hidden, "site": "east"}
			if _, err := s.Spawn(t.Context(), watchers.SpawnOrder{Template: "keeper", Key: "k", Input: input}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Fire(t.Context(), "keeper:k", "given", map[string]any{"body": map[string]any{"token": hidden}}, "op"); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-s.used; got != hidden {
			t.Errorf("after restart %d the instance was started with %q", restart, got)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if found := filesWith(t, dir, hidden); len(found) > 0 {
			t.Errorf("after restart %d the secret is in %v", restart, found)
		}
		last, err := runtime.ReadSnapshots(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = last["keeper:k"].Input
		}
		if diff := cmp.Diff(first, last["keeper:k"].Input); diff != "" {
			t.Errorf("the input is another after a restart:\n%s", diff)
		}
	}
}
