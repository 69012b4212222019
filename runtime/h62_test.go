package runtime_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// users are watchers of every type that keeps something by a connection.
const users = `
format: 1
name: users
version: 1.0.0
initial_state: using
states: {using: {home: true}, paused: {home: true}}
transitions:
	- {name: pause, from: [using], destination: paused}
watchers:
	- {name: fleet, type: connection, state_match: [using], properties: {name: fleet}}
	- {name: echo, type: service, state_match: [using], properties: {name: echo, subject: ask.echo, reply: message.body}}
	- {name: pass, type: subscribe, state_match: [using], properties: {subject: in.>, forward: {subject: '"out." + message.tokens[1]'}}}
	- {name: read, type: kv, state_match: [using], interval: 1h, properties: {bucket: B, key: k, mode: watch}}
	- {name: lead, type: election, state_match: [using], properties: {bucket: B, name: office, ttl: 5s}}
	- {name: hold, type: governor, state_match: [using], properties: {bucket: B, name: room, capacity: 1, lease: 5s}}
	- {name: specs, type: depot, state_match: [using], properties: {name: specs, subject: ask.specs, inbox: '"_INBOX."', serves: specs, bucket: B}}
	- {name: objects, type: depot, state_match: [using], properties: {name: objects, subject: ask.objects, inbox: '"_INBOX."', serves: objects, bucket: O}}
	- name: take
	  type: ingest
	  state_match: [using]
	  properties: {subject: node.*.out.inventory, to: '"discovery." + message.tokens[1]', sender: "message.tokens[1]"}
	- {name: view, type: view, state_match: [using], properties: {stream: DISCOVERY, name: view, subject: ask.view}}
`

// TestH62WhatUsesAConnectionMovesToTheNextOne has a broker close the connection of a host for good, by a line that is too long, and then
// uses everything that the host's watchers do by it.
func TestH62WhatUsesAConnectionMovesToTheNextOne(t *testing.T) {
	nc := broker(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "B"})
	_, err2 := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "O"})
	_, err3 := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DISCOVERY", Subjects: []string{"discovery.*"}, MaxMsgsPerSubject: 1})
	if err := joined(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{nc.ConnectedUrl()}}, nil
	}, quiet())
	t.Cleanup(pool.Close)
	h := runHost(t, runtime.Config{Catalogue: all.New(all.Services{Pool: pool})})
	h.deploy(users)
	u := &usage{t: t, host: h, nc: nc, kv: kv}
	u.all("one")
	old, err := pool.Wait(t.Context(), "n1.example.net", "fleet")
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Publish(strings.Repeat("a", 100_000), nil); err != nil {
		t.Fatal(err)
	}
	_ = old.FlushTimeout(10 * time.Second)
	eventually(t, "the connection is another", func() bool {
		now, err := pool.Conn("n1.example.net", "fleet")
		return err == nil && now != old && old.IsClosed()
	})
	u.all("two")
}

// usage uses what watchers do by their connection.
type usage struct {
	t    *testing.T
	host *host
	nc   *nats.Conn
	kv   jetstream.KeyValue
}

// all uses all of them, with a word that was not used before.
func (u *usage) all(word string) {
	u.t.Helper()
	u.until("the service answers", func() bool { return u.ask("ask.echo", word) == word })
	heard, err := u.nc.SubscribeSync("out." + word)
	if err != nil {
		u.t.Fatal(err)
	}
	u.until("messages are passed on", func() bool {
		_ = u.nc.Publish("in."+word, []byte(word))
		m, err := heard.NextMsg(100 * time.Millisecond)
		return err == nil && string(m.Data) == word
	})
	u.put("k", word)
	u.until("the key is heard of", func() bool { return u.data("B_k") == word })
	u.put("spec.default", word)
	u.until("specs are served", func() bool { return strings.Contains(u.ask("ask.specs", `{"channels": ["default"]}`), word) })
	u.until("objects are served", func() bool {
		return u.ask("ask.objects", `{"bucket": "O", "name": "`+strings.Repeat("0", 64)+`", "length": 1}`) == "404"
	})
	u.until("inventories reach the view", func() bool {
		inventory, _ := json.Marshal(map[string]any{"protocol": "choria:registration:inventorycontent:1", "content": map[string]any{"identity": word}})
		_ = u.nc.Publish("node."+word+".out.inventory", inventory)
		return strings.Contains(u.ask("ask.view", `{}`), `"known":`+map[string]string{"one": "1", "two": "2"}[word])
	})
	// The leases last for five seconds; whoever has lost one has another then.
	u.until("it leads", func() bool { return u.says("lead", "success") })
	u.until("it holds the governor", func() bool { return u.says("hold", "success") })
}

func (u *usage) until(what string, holds func() bool) {
	u.t.Helper()
	for range 6 { // a minute in all, for a machine that is busy
		if comes(holds) {
			return
		}
	}
	u.t.Fatalf("it never happens that %s", what)
}

// ask asks, and gives the answer or the code of an error.
func (u *usage) ask(subject, body string) string {
	m, err := u.nc.Request(subject, []byte(body), time.Second)
	if err != nil {
		return ""
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return code
	}
	return string(m.Data)
}

func (u *usage) put(key, value string) {
	u.t.Helper()
	if _, err := u.kv.Put(u.t.Context(), key, []byte(value)); err != nil {
		u.t.Fatal(err)
	}
}

func (u *usage) data(key string) any {
	d, err := u.host.Machine(u.t.Context(), "users")
	if err != nil {
		return err
	}
	return d.Data[key]
}

func (u *usage) says(watcher, outcome string) bool {
	d, err := u.host.Machine(u.t.Context(), "users")
	if err != nil {
		return false
	}
	for _, w := range d.Watchers {
		if w.Name == watcher {
			return w.Outcome == outcome
		}
	}
	return false
}
