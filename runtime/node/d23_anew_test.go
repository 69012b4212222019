package node_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// credulous writes built-in machines of the overlay into a folder, without what they ask of messages: they pass on what comes, as it came.
func credulous(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	asks := regexp.MustCompile(`(?m)^      fields:\n(        - .*\n)+|^      where: >-\n(        .*\n)+|^      where: .*\n`)
	for _, name := range names {
		text, err := manifests.Files.ReadFile("overlay/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !asks.Match(text) {
			t.Fatalf("overlay/%s asks nothing of messages", name)
		}
		write(t, filepath.Join(dir, name+".yaml"), asks.ReplaceAllString(string(text), ""), 0o600)
	}
	policies(t, dir, "overlay")
	return dir
}

// forgery is an event that says more, or another thing, than who passes it on may have looked at.
type forgery struct {
	subject string // behind node.n2=example.out.event.
	body    string // as a node sends it
	kept    bool   // it is passed on, without what is forged
}

// forgeries are events that a node sends in its own name. In each the word forged stands where it must not come to anybody, or the whole must not.
func forgeries() map[string]forgery {
	startup, transition, state := "lifecycle.startup.server", "machine.transition", "machine.watcher.exec.state"
	lifecycle := func(with, data string) string {
		return eventText("io.choria.lifecycle", "io.choria.lifecycle.v1.startup", with, data)
	}
	const started = `"component": "server"`
	moved := func(with, data string) string {
		return eventText("io.choria.machine", "io.choria.machine.v1.transition", with, `"machine": "web", "transition": "t", "from_state": "a", "to_state": "b"`+data)
	}
	watched := func(with, data string) string {
		return eventText("io.choria.machine", "io.choria.machine.watcher.exec.v1.state", with, `"machine": "web", "name": "work"`+data)
	}
	slow := func(with, data string) string {
		return eventText("io.choria.machine", "io.statecraft.machine.v1.throttled", with, `"machine": "web", "throttled": true, "state": "a", "pace": "60/m"`+data)
	}
	return map[string]forgery{
		"data_base64 beside data":        {startup, lifecycle(`, "data_base64": "Zm9yZ2Vk", "forged": 1`, started), true},
		"data_base64 of a transition":    {transition, moved(`, "data_base64": "Zm9yZ2Vk", "forged": 1`, ""), true},
		"data_base64 of a watcher":       {state, watched(`, "data_base64": "Zm9yZ2Vk", "forged": 1`, `, "type": "exec"`), true},
		"unknown attributes":             {startup, lifecycle(`, "traceparent": "forged", "dataschema": "forged"`, started), true},
		"unknown fields of the data":     {startup, lifecycle("", started+`, "labels": {"a": "forged"}`), true},
		"beside a message":               {transition, moved(`, "message": "it broke", "forged": 1`, ""), true},
		"beside a watcher's message":     {state, watched(`, "message": "it broke", "forged": 1`, `, "type": "exec"`), true},
		"a message that steers":          {transition, moved(`, "message": "forged \u001b[2J"`, ""), false},
		"a message that is long":         {state, watched(`, "message": "forged`+strings.Repeat("x", 1020)+`"`, `, "type": "exec"`), false},
		"fields of a transition":         {transition, moved("", `, "forged": true`), true},
		"a time that is none":            {startup, lifecycle(`, "time": "2026-99-99T99:99:99Z"`, started), false},
		"a timestamp that nobody reads":  {transition, moved("", `, "timestamp": 99999999999999999999`), false},
		"an id that is empty":            {transition, strings.Replace(moved("", ""), `"id": "1"`, `"id": ""`, 1), false},
		"a name that steers terminals":   {transition, strings.Replace(moved("", ""), `"web"`, `"web\u001b[2J"`, 1), false},
		"a version that does":            {state, strings.Replace(watched(`, "forged": 1`, `, "type": "exec"`), `"raw"`, `"forged\u0000"`, 1), false},
		"a source of its own":            {startup, strings.Replace(lifecycle("", started), `"source": "io.choria.lifecycle"`, `"source": "forged"`, 1), false},
		"a protocol of another kind":     {startup, lifecycle("", started+`, "protocol": "forged"`), false},
		"the same of a transition":       {transition, moved("", `, "protocol": "forged"`), false},
		"a component of another subject": {startup, lifecycle("", `"component": "forged"`), false},
		"a watcher of another type":      {state, watched("", `, "type": "forged"`), false},
		"provisioned, of oneself":        {"lifecycle.provisioned.server", strings.ReplaceAll(lifecycle(`, "forged": 1`, started), "startup", "provisioned"), false},
		"a number that is none":          {startup, lifecycle("", started+`, "timestamp": 1e400, "forged": 1`), false},
		"a time that is a text":          {startup, lifecycle("", started+`, "timestamp": "forged"`), false},
		"a name in another case":         {startup, lifecycle("", started+`, "Identity": "forged"`), false},
		"a name in another case, open":   {state, watched("", `, "type": "exec", "Identity": "forged"`), false},
		"a key twice":                    {startup, lifecycle("", `"identity": "forged", `+started), false},
		"another specification":          {startup, strings.Replace(lifecycle(`, "forged": 1`, started), `"1.0"`, `"0.3"`, 1), false},
		"no data but base64":             {startup, strings.Replace(lifecycle(`, "data_base64": "forged"`, started), `"data":`, `"other":`, 1), false},
		"a long version":                 {startup, strings.Replace(lifecycle(`, "forged": 1`, started), `"raw"`, `"`+strings.Repeat("1", 201)+`"`, 1), false},
		"fields of a throttled machine":  {"machine.throttled", slow("", `, "forged": true`), true},
		"a pace that steers terminals":   {"machine.throttled", strings.Replace(slow(`, "forged": 1`, ""), `"60/m"`, `"60/m\u001b[2J"`, 1), false},
		"a list":                         {transition, `["forged"]`, false},
	}
}

// eventText is an event of n2.example, with what else it has.
func eventText(source, typ, with, data string) string {
	fields := fmt.Sprintf(`"protocol": %q, "id": "1", "identity": "n2.example", "version": "raw", "timestamp": 1`, typ)
	for _, name := range []string{"protocol", "timestamp"} { // it says that itself
		if strings.Contains(data, `"`+name+`"`) {
			fields = regexp.MustCompile(`"`+name+`": [^,}]*,? ?`).ReplaceAllString(fields, "")
		}
	}
	return fmt.Sprintf(`{"specversion": "1.0", "id": "1", "source": %q, "type": %q, "subject": "n2.example", "datacontenttype": "application/json", "data": {%s, %s}%s}`,
		source, typ, strings.TrimSuffix(fields, ", "), data, with)
}

// good is an event of its kind that is as it should be, known by its id, and the subject for it.
func (f forgery) good(id string) (subject, text string) {
	subject, text = f.subject, eventText("io.choria.machine", "io.choria.machine.v1.transition", "", `"machine": "web", "transition": "t", "from_state": "a", "to_state": "b"`)
	switch kind := strings.Split(f.subject, "."); {
	case kind[0] == "lifecycle":
		subject, text = "lifecycle.startup.server", eventText("io.choria.lifecycle", "io.choria.lifecycle.v1.startup", "", `"component": "server"`)
	case kind[1] == "throttled":
		text = eventText("io.choria.machine", "io.statecraft.machine.v1.throttled", "", `"machine": "web", "throttled": true, "state": "a", "pace": "60/m"`)
	case kind[1] == "watcher":
		text = eventText("io.choria.machine", "io.choria.machine.watcher.exec.v1.state", "", `"machine": "web", "name": "work", "type": "exec"`)
	}
	return subject, strings.Replace(text, `"id": "1"`, `"id": "`+id+`"`, 1)
}

// isHeard waits until who takes its kind listens: a cell that is new begins at this moment, and what is told before that nobody hears.
func (f forgery) isHeard(t *testing.T, conn *nats.Conn, heard *nats.Subscription) {
	t.Helper()
	eventually(t, "a good event is passed on", func() bool {
		end := uuid.NewString()
		subject, text := f.good(end)
		if err := conn.Publish("node.n2=example.out.event."+subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
		for { // what was told before comes before
			m, err := heard.NextMsg(5 * time.Second)
			if err != nil || strings.Contains(string(m.Data), end) {
				return err == nil
			}
		}
	})
}

// TestD23EventsAreWrittenAnew has a node send, by its own connection and on its own subjects, events that say more than what is checked. Machines that ask
// nothing of them pass each on as it came; those of the overlay pass on what they know, written anew, or nothing.
func TestD23EventsAreWrittenAnew(t *testing.T) {
	for name, machines := range map[string]string{"with machines that believe everything": credulous(t, "events"), "as it is": ""} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, func(o *overlay.InitOptions) { o.Machines = machines })
			conn := nodeConnection(t, c)
			operator := c.operator()
			heard, err := operator.SubscribeSync("choria.>")
			if err == nil {
				err = operator.Flush() // the first event comes at once, on another connection
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"lifecycle.startup.server", "machine.transition", "machine.throttled", "machine.watcher.exec.state"} {
				forgery{subject: kind}.isHeard(t, conn, heard)
			}
			for forged, f := range forgeries() {
				came := f.say(t, conn, heard)
				if machines != "" {
					if len(came) != 1 || string(came[0].Data) != f.body || came[0].Header.Get("Forged") == "" {
						t.Errorf("%s: the test cannot fail: a machine that believes everything passes on %d, not %s", forged, len(came), f.body)
					}
					continue
				}
				switch want := map[bool]int{true: 1}[f.kept]; {
				case len(came) != want:
					t.Errorf("%s: %d came, not %d", forged, len(came), want)
				case want > 0 && (strings.Contains(string(came[0].Data), "orged") || strings.Contains(string(came[0].Data), "base64") || came[0].Header.Get("Forged") != ""):
					t.Errorf("%s: what came is %s with %v", forged, came[0].Data, came[0].Header)
				case want > 0 && strings.Contains(f.body, "it broke") != strings.Contains(string(came[0].Data), `"message":"it broke"`):
					t.Errorf("%s: the message is not passed on: %s", forged, came[0].Data)
				}
			}
		})
	}
}

// say sends the event, then a good one by the same way, and returns what comes until that.
func (f forgery) say(t *testing.T, conn *nats.Conn, heard *nats.Subscription) (came []*nats.Msg) {
	t.Helper()
	end := uuid.NewString()
	subject, good := f.good(end)
	forged := &nats.Msg{Subject: "node.n2=example.out.event." + f.subject, Data: []byte(f.body), Header: nats.Header{"Forged": {"forged"}}}
	if err := conn.PublishMsg(forged); err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish("node.n2=example.out.event."+subject, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatalf("a good event on %s does not come: %v", subject, err)
		}
		text := string(m.Data)
		if strings.Contains(text, end) {
			return came
		}
		if strings.Contains(text, `"raw"`) || strings.Contains(text, "orged") {
			came = append(came, m)
		}
	}
}

// nodeConnection is a connection of n2.example, a node that has joined, with nothing of ours between it and the broker.
func nodeConnection(t *testing.T, c *cell) *nats.Conn {
	t.Helper()
	member := newMember(t, "n2.example", t.TempDir(), c.join, nil)
	member.becomes("active")
	given, err := member.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	own, err := member.store.Key()
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := raw(t, given.URLs, given.Token, own, "_INBOX.n2=example", given.CA, nil)
	return conn
}

// TestD23InventoriesAreWrittenAnew does the same with an inventory: the stream has what the overlay knows of it.
func TestD23InventoriesAreWrittenAnew(t *testing.T) {
	for name, machines := range map[string]string{"with a machine that believes everything": credulous(t, "adapter"), "as it is": ""} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, func(o *overlay.InitOptions) { o.Machines = machines })
			conn := nodeConnection(t, c)
			js, err := jetstream.New(c.operator().Conn)
			if err != nil {
				t.Fatal(err)
			}
			tell := func(body string) string {
				m := &nats.Msg{Subject: "node.n2=example.out.inventory", Data: []byte(body), Header: nats.Header{
					"Statecraft-Sender": {"n2.example"}, "Statecraft-Message-Id": {uuid.NewString()}, "Statecraft-Inventory-Digest": {"forged"},
				}}
				answer, err := conn.RequestMsg(m, patience)
				if err != nil {
					t.Fatal(err)
				}
				var ack struct{ Seq uint64 }
				if code := answer.Header.Get("Nats-Service-Error-Code"); code != "" || json.Unmarshal(answer.Data, &ack) != nil {
					return "refused " + answer.Header.Get("Nats-Service-Error")
				}
				stream, err := js.Stream(t.Context(), "DISCOVERY")
				if err != nil {
					t.Fatal(err)
				}
				stored, err := stream.GetMsg(t.Context(), ack.Seq)
				if err != nil {
					t.Fatal(err)
				}
				var doc struct{ Data string }
				if err := json.Unmarshal(stored.Data, &doc); err != nil {
					t.Fatal(err)
				}
				return doc.Data + stored.Header.Get("Statecraft-Inventory-Digest")
			}
			const good = `{"content":{"facts":{}},"protocol":"choria:registration:inventorycontent:1"}`
			for body, want := range map[string]string{
				`{"protocol": "choria:registration:inventorycontent:1", "content": {"facts": {}}, "data_base64": "Zm9yZ2Vk", "forged": {"a": 1}}`: good,
				`{"protocol": "choria:registration:inventorycontent:1", "content": {"facts": {}}, "Sender": "forged"}`:                            good,
				`{"protocol": "forged", "content": {"facts": {}}}`:                                                                                "refused",
				`{"protocol": "choria:registration:inventorycontent:1", "zcontent": 1e400, "forged": 1}`:                                          "refused",
				`{"protocol": "choria:registration:inventorycontent:1", "content": ["forged"]}`:                                                   "refused",
				`["forged"]`: "refused", "forged": "refused",
			} {
				got := tell(body)
				if believes := machines != ""; believes && got != body && got != body+"forged" {
					t.Errorf("the test cannot fail: a machine that believes everything stores %s of %s", got, body)
				} else if !believes && !strings.HasPrefix(got, want) || !believes && want != "refused" && got != want {
					t.Errorf("%s is stored as %s, not %s", body, got, want)
				}
			}
		})
	}
}
