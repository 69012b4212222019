package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsSettings is what docs/consumers.md reads of nats.json.
type natsSettings struct {
	URL         string `json:"url"`
	Token       string `json:"token"`
	NKey        string `json:"nkey"`
	CA          string `json:"ca"`
	InboxPrefix string `json:"inbox_prefix"`
	APIPrefix   string `json:"jetstream_api_prefix"`
}

// consumesAsDocumented gives a client the right events_read and reads events as docs/consumers.md does it, by nats.go and, where it is installed, by the nats command line.
func (c *cluster) consumesAsDocumented() {
	c.t.Helper()
	folder := filepath.Join(c.t.TempDir(), "bridge")
	statecraft(c.t, "token", "issue", "client", "--dir", c.dir, "--name", "bridge", "--right", "events_read", "--output", folder)
	text, err := os.ReadFile(filepath.Join(folder, "nats.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var settings natsSettings
	if err := json.Unmarshal(text, &settings); err != nil {
		c.t.Fatal(err)
	}
	seed, err := nats.NkeyOptionFromSeed(settings.NKey)
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := nats.Connect(settings.URL, seed, nats.Token(settings.Token), nats.RootCAs(settings.CA), nats.CustomInboxPrefix(settings.InboxPrefix))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.NewWithAPIPrefix(conn, settings.APIPrefix)
	if err != nil {
		c.t.Fatal(err)
	}
	consumer, err := js.CreateOrUpdateConsumer(c.t.Context(), "EVENTS", jetstream.ConsumerConfig{
		Durable: "tickets", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "choria.lifecycle.event.>",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := consumer.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := m.DoubleAck(c.t.Context()); err != nil || !strings.HasPrefix(m.Subject(), "choria.lifecycle.event.") {
		c.t.Errorf("%s: %v", m.Subject(), err)
	}
	natsCommandLine(c.t, filepath.Join(folder, "nats.json"))
}

// natsCommandLine reads events with it.
func natsCommandLine(t *testing.T, settings string) {
	t.Helper()
	program, err := exec.LookPath("nats")
	if err != nil {
		t.Log("NOT RUN: the example of the nats command line, which is not installed: go install github.com/nats-io/natscli/nats@v0.5.1")
		return
	}
	for _, tt := range []struct{ args, want string }{
		{"stream info EVENTS", "choria.lifecycle.event.>"},
		{"consumer add EVENTS printed --pull --deliver all --ack explicit --defaults", "printed"},
		{"consumer next EVENTS printed --count 2", "choria."},
		{"consumer info EVENTS printed", "printed"},
		{"consumer rm EVENTS printed --force", ""},
	} {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"--context", settings}, strings.Fields(tt.args)...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("nats %s: %v\n%s", tt.args, err, out)
		}
	}
}

// verifiesTheHost holds the host's journal against the heads that the cell has of it, and a copy of it that was cut.
// H76: a journal that departs from a head that was published is found by the verb.
func (c *cluster) verifiesTheHost(host string) {
	c.t.Helper()
	state, operator := filepath.Join(c.dir, "hosts", host, "state"), filepath.Join(c.dir, "operator")
	heads := filepath.Join(c.t.TempDir(), "heads")
	text := ""
	for until := time.Now().Add(time.Minute); text == "" && time.Now().Before(until); time.Sleep(time.Second) {
		out, _ := exec.Command("statecraft", "trace", "heads", "--as", operator, host).Output()
		text = string(out)
	}
	if err := os.WriteFile(heads, []byte(text), 0o600); err != nil || text == "" {
		c.t.Fatalf("the cell has no head of %s: %v", host, err)
	}
	if out := statecraft(c.t, "trace", "verify", "--as", operator, "--node", host, state); !strings.Contains(out, "holds") {
		c.t.Errorf("trace verify says %q", out)
	}
	copied := filepath.Join(c.t.TempDir(), "journal")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(state, "journal"))); err != nil {
		c.t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(copied, "seg-*.log"))
	if err != nil || len(segments) == 0 {
		c.t.Fatal(segments, err)
	}
	for _, segment := range segments[1:] {
		if err := os.Remove(segment); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := os.Truncate(segments[0], 140); err != nil {
		c.t.Fatal(err)
	}
	verify := exec.Command("statecraft", "trace", "verify", "--heads", heads, copied)
	out, err := verify.CombinedOutput()
	if code := verify.ProcessState.ExitCode(); code != exitRefused || !strings.Contains(string(out), "departs") {
		c.t.Errorf("of a journal that was cut trace verify says %d %v\n%s", code, err, out)
	}
}
