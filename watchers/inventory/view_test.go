package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

func simple(name string, state string) string {
	return fmt.Sprintf(`{"facts":{"os":{"name":%q},"n":7},"classes":["base"],"machines":{"metadata":{"version":"1.0.0","state":%q}}}`, name, state)
}

func TestViewAnswers(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	v.has("n1.example", simple("debian", "waiting"))
	v.has("n2.example", simple("rocky", "waiting"))
	v.look()
	v.says(machine.OutcomeSuccess)
	v.has("n2.example", simple("rocky", "running"))
	v.has("n3.example", `{"facts":{"os":{}},"machines":{}}`)
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 3 })
	for _, tt := range []struct {
		q    Query
		want string
	}{
		{Query{}, "n1.example n2.example n3.example"},
		{Query{Node: "n2.example"}, "n2.example"},
		{Query{Where: `machines.metadata.state == "waiting"`}, "n1.example"},
		{Query{Where: `machines.metadata.state == "running"`}, "n2.example"}, // the last document wins
		{Query{Where: `facts.os.name in ["rocky", "debian"]`, Limit: 1}, "n1.example"},
		{Query{Where: `facts.os.name in ["rocky", "debian"]`, After: "n1.example"}, "n2.example"},
		{Query{Where: `facts.n > 5`, Node: "n3.example"}, ""},
		{Query{Where: `identity endsWith ".example" && digest == "aa" && last_seen > now() - duration("1h")`, After: "n2"}, "n2.example n3.example"},
		{Query{After: "z"}, ""},
	} {
		a, code, text := v.ask(tt.q)
		if code != "" || names(a) != tt.want || a.Known != 3 {
			t.Errorf("%+v: %q of %d (%s %s), want %q", tt.q, names(a), a.Known, code, text, tt.want)
		}
	}
	a, _, _ := v.ask(Query{Where: `facts.n > 5`, Limit: 1, Fields: []string{"facts.os.name", "machines", "none"}})
	if a.Matched != 2 || a.Next != "n1.example" || a.AsOf.Before(a.Nodes[0].LastSeen) || time.Since(a.AsOf) > time.Hour {
		t.Errorf("the answer is %+v", a)
	}
	if diff := cmp.Diff(map[string]int{"invalid operation: <nil> > int (line 1, column 9 of the expression)": 1}, a.Problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	got := map[string]string{}
	for path, raw := range a.Nodes[0].Fields {
		got[path] = string(raw)
	}
	if diff := cmp.Diff(map[string]string{"facts.os.name": `"debian"`, "machines": `{"metadata":{"version":"1.0.0","state":"waiting"}}`}, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	a, _, _ = v.ask(Query{Node: "n2.example", Document: true})
	if string(a.Nodes[0].Document) != simple("rocky", "running") || a.Nodes[0].Digest != "aa" || a.Next != "" {
		t.Errorf("the document is %s", a.Nodes[0].Document)
	}
}

func TestViewRefuses(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	v.has("n1.example", simple("debian", "waiting"))
	v.look()
	v.says(machine.OutcomeSuccess)
	for body, want := range map[string][2]string{
		``:                             {},
		`{"node": "n9.example"}`:       {"404", "there is no inventory of n9.example; "},
		`nonsense`:                     {"400", "the question cannot be read"},
		`{"were": "true"}`:             {"400", `unknown field "were"`},
		`{} {}`:                        {"400", "something follows"},
		`{"limit": -1}`:                {"400", "limit is a number of nodes"},
		`{"where": "fcts.os == 1"}`:    {"400", "where: unknown name fcts (line 1, column 1 of the expression); a condition sees identity"},
		`{"where": "facts.os ==\n ("}`: {"400", "line 2"},
		`{"fields": ["a.*"]}`:          {"400", "fields: the path"},
		`{"fields": ["a"` + strings.Repeat(`,"a"`, 64) + `]}`: {"400", "64 is the limit"},
		`{"node": "` + strings.Repeat("x", maxQuery) + `"}`:   {"413", "larger than 64 KiB"},
	} {
		_, code, text := v.askText(body)
		if code != want[0] || !strings.Contains(text, want[1]) {
			t.Errorf("%.60s: %s %s, want %v", body, code, text, want)
		}
	}
}

// TestViewAnswersToInboxesOnly drops what wants its answer led elsewhere.
func TestViewAnswersToInboxesOnly(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	v.look()
	v.says(machine.OutcomeSuccess)
	elsewhere, err := v.conn.SubscribeSync("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"elsewhere", "$JS.API.STREAM.DELETE.DISCOVERY"} {
		if err := v.conn.PublishRequest(querySubject, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, code, _ := v.ask(Query{}); code != "" || a.Known != 0 || len(a.Nodes) > 0 {
		t.Errorf("a proper question: %+v %s", a, code)
	}
	if n, _, err := elsewhere.Pending(); n > 0 || err != nil {
		t.Errorf("%d answers were led elsewhere (%v)", n, err)
	}
	if _, err := v.js.Stream(t.Context(), "DISCOVERY"); err != nil {
		t.Error(err)
	}
}

// TestViewIsNotReady asks before there is a stream.
func TestViewIsNotReady(t *testing.T) {
	v := newViewTest(t)
	v.look()
	v.says(machine.OutcomeFail)
	if _, code, _ := v.ask(Query{}); code != messaging.CodeNotReady {
		t.Errorf("without a stream: %s", code)
	}
	v.stream(0)
	v.says(machine.OutcomeSuccess)
	if a, code, _ := v.ask(Query{}); code != "" || a.Known != 0 {
		t.Errorf("with an empty stream: %+v, %s", a, code)
	}
	if n := v.said(machine.OutcomeFail); n != 1 {
		t.Errorf("it says %d times that there is no stream", n)
	}
}

// TestViewSurvivesRestart restarts the broker: what was known is answered at once, and what comes then is taken.
func TestViewSurvivesRestart(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	v.has("n1.example", simple("debian", "waiting"))
	v.has("n2.example", simple("debian", "waiting"))
	v.look()
	v.says(machine.OutcomeSuccess)
	v.srv.Shutdown()
	v.srv.WaitForShutdown()
	v.start()
	waitFor(t, reconnected(v.conn))
	if a, code, _ := v.ask(Query{}); code != "" || a.Known != 2 {
		t.Errorf("after the restart: %+v, %s", a, code)
	}
	waitFor(t, func() bool { _, err := v.js.Stream(t.Context(), "DISCOVERY"); return err == nil })
	v.has("n2.example", simple("debian", "running"))
	v.has("n3.example", simple("debian", "running"))
	waitFor(t, func() bool {
		a, _, _ := v.ask(Query{Where: `machines.metadata.state == "running"`})
		return a.Matched == 2
	})
	if a, _, _ := v.ask(Query{}); names(a) != "n1.example n2.example n3.example" {
		t.Errorf("there are %q", names(a))
	}
}

// TestViewFollowsAnotherStream removes the stream and makes it anew: what is in the new one counts.
func TestViewFollowsAnotherStream(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	for i := range 5 {
		v.has(fmt.Sprintf("n%d.example", i), simple("debian", "waiting"))
	}
	v.look()
	v.says(machine.OutcomeSuccess)
	if err := v.js.DeleteStream(t.Context(), "DISCOVERY"); err != nil {
		t.Fatal(err)
	}
	v.stream(0)
	v.has("n1.example", simple("debian", "running"))
	v.has("n7.example", simple("debian", "running"))
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return names(a) == "n1.example n7.example" })
	if a, _, _ := v.ask(Query{Where: `machines.metadata.state == "running"`}); a.Matched != 2 {
		t.Errorf("the answer is %+v", a)
	}
}

func TestViewAges(t *testing.T) {
	v := newViewTest(t)
	v.stream(time.Second)
	v.look()
	v.says(machine.OutcomeSuccess)
	v.has("n1.example", simple("debian", "waiting"))
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 1 })
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 0 })
	if _, code, _ := v.ask(Query{Node: "n1.example"}); code != messaging.CodeNotFound {
		t.Errorf("the code is %q", code)
	}
	v.has("n1.example", simple("debian", "waiting"))
	waitFor(t, func() bool { a, _, _ := v.ask(Query{Node: "n1.example"}); return a.Matched == 1 })
}

// TestViewMemoryIsBounded leaves out what does not fit, and says so.
func TestViewMemoryIsBounded(t *testing.T) {
	v := newViewTest(t)
	v.spec.Memory = 1
	v.stream(0)
	large := fmt.Sprintf(`{"facts":{"x":%q}}`, strings.Repeat("x", 400<<10))
	for i := range 4 {
		v.has(fmt.Sprintf("n%d.example", i), large)
	}
	v.look()
	v.says(outcomeOverLimit)
	a, _, _ := v.ask(Query{})
	if names(a) != "n0.example n1.example" || a.Problems["left out: the view's memory of 1 MiB is full"] != 2 {
		t.Errorf("the answer is %+v", a)
	}
	if state := v.state(); state["nodes"] != 2 || state["left_out"] != 2 || state["bytes"].(int) > 1<<20 {
		t.Errorf("the state is %v", state)
	}
	for i := range 4 {
		v.has(fmt.Sprintf("n%d.example", i), simple("debian", "waiting"))
	}
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 4 && len(a.Problems) == 0 })
	v.says(outcomeWithinLimit)
}

// TestViewTakesWhatAdaptersWrite reads both forms of adapters and of documents, and counts what it cannot read.
func TestViewTakesWhatAdaptersWrite(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	inline := fmt.Sprintf(`{"protocol":%q,"content":{"facts":{"n":1}}}`, protocol)
	good := adapted("n1.example", inline)
	v.put("n1.example", good)
	v.put("n2.example", strings.Replace(adapted("n2.example", inline), "choria_streams", "jetstream", 1))
	v.put("n3.example", adapted("n3.example", registered(`{"facts":{"n":1}}`)))
	for _, bad := range []struct{ sender, data string }{
		{"n4.example", adapted("n1.example", inline)},
		{"n5.example", "nonsense"},
		{"n5.example", `{"protocol":"other","data":"{}","sender":"n5.example"}`},
		{"n6.example", adapted("n6.example", "nonsense")},
		{"n6.example", adapted("n6.example", `{"protocol":"other","content":{}}`)},
		{"n7.example", adapted("n7.example", fmt.Sprintf(`{"protocol":%q,"zcontent":"!!"}`, protocol))},
		{"n7.example", adapted("n7.example", fmt.Sprintf(`{"protocol":%q,"zcontent":%q}`, protocol, zipped([]byte("{}"))[:20]))},
		{"n8.example", adapted("n8.example", registered(strings.Repeat(" ", maxUnpacked+1)))},
		{"n9.example", adapted("n9.example", registered(`[1]`))},
		{"n9.example", adapted("n9.example", registered(strings.Repeat("[", 1<<19)))},
		{"n9.example", adapted("n9.example", fmt.Sprintf(`{"protocol":%q}`, protocol))},
		{"n9.example", adapted("n9.example", registered(`{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`))},
		{"NO NAME", good},
		{"n1.example", "what is not readable does not replace what was"},
	} {
		subject := strings.ReplaceAll(strings.ReplaceAll(bad.sender, " ", "_"), "NO", "=")
		v.put(subject, bad.data)
	}
	v.look()
	v.says(machine.OutcomeSuccess)
	// The stream's last document of n1 cannot be read, and what came before it was never seen.
	if a, _, _ := v.ask(Query{Where: "facts.n == 1"}); names(a) != "n2.example n3.example" {
		t.Errorf("the nodes are %q", names(a))
	}
	v.put("n1.example", good)
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 3 })
	v.put("n1.example", "nonsense")
	v.put("n0.example", adapted("n0.example", inline))
	waitFor(t, func() bool { a, _, _ := v.ask(Query{}); return a.Known == 4 })
	if a, _, _ := v.ask(Query{Node: "n1.example"}); a.Matched != 1 {
		t.Error("what cannot be read takes away what was read")
	}
	want := map[string]any{
		errSender.Error(): 1, errNoOutput.Error(): 2, errNoDocument.Error(): 1, errUnpacking.Error(): 1, errUnpacked.Error(): 1, errNoJSON.Error(): 1, errNoNode.Error(): 1,
	}
	if diff := cmp.Diff(want, v.state()["unreadable"]); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
}

// TestViewPages asks for more than one answer holds.
func TestViewPages(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	text := fmt.Sprintf(`{"facts":{"x":%q,"tags":"<&>"}}`, strings.Repeat("<x>", 50<<10))
	for i := range 20 {
		v.has(fmt.Sprintf("n%02d.example", i), text)
	}
	v.has("n99.example", fmt.Sprintf(`{"facts":{"x":%q}}`, strings.Repeat("x", maxUnpacked-20)))
	v.look()
	v.says(machine.OutcomeSuccess)
	var all []string
	pages, after := 0, ""
	for {
		a, code, text := v.ask(Query{Document: true, After: after, Where: `identity != "n99.example"`})
		if code != "" || a.Matched != 20 || a.Known != 21 {
			t.Fatalf("page %d: %s %s, %d of %d", pages, code, text, a.Matched, a.Known)
		}
		all = append(all, strings.Fields(names(a))...)
		if pages, after = pages+1, a.Next; after == "" {
			break
		}
	}
	if len(all) != 20 || pages < 3 || all[0] != "n00.example" || all[19] != "n19.example" {
		t.Errorf("%d pages give %q", pages, all)
	}
	if _, code, text := v.ask(Query{Document: true, Node: "n99.example"}); code != messaging.CodeTooLarge || !strings.Contains(text, "n99.example") {
		t.Errorf("what is larger than an answer: %s %s", code, text)
	}
	if a, code, _ := v.ask(Query{Fields: []string{"facts.tags"}, Limit: MaxNodes + 1}); code != "" || len(a.Nodes) != 21 {
		t.Errorf("a field of all: %d nodes, %s", len(a.Nodes), code)
	}
}

func TestViewSumsMachinesUp(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	for i, machines := range []string{
		`{"web":{"version":"1.0.0","state":"idle","digest":"aa"},"db":{"version":"2.0.0"}}`,
		`{"web":{"version":"1.0.0","state":"idle","digest":"aa"}}`,
		`{"web":{"version":"1.0.0","state":"broken","digest":"aa"}}`,
		`{"web":{"version":"1.1.0","state":"idle","digest":"bb"}}`,
		`{"web":7,"db":{"version":7}}`, `[]`, `7`,
	} {
		v.has(fmt.Sprintf("n%d.example", i), `{"facts":{},"machines":`+machines+`}`)
	}
	many := `{"facts":{},"machines":{`
	for i := range maxGroups + 1 {
		many += fmt.Sprintf(`"m%d":{"version":"%d"},`, i, i)
	}
	v.has("x.example", many+`"last":{}}}`)
	v.look()
	v.says(machine.OutcomeSuccess)
	for _, tt := range []struct {
		q    Query
		want []MachineInUse
	}{
		{Query{Machines: "web"}, []MachineInUse{
			{Name: "web", Version: "1.0.0", State: "broken", Digest: "aa", Nodes: 1}, {Name: "web", Version: "1.0.0", State: "idle", Digest: "aa", Nodes: 2},
			{Name: "web", Version: "1.1.0", State: "idle", Digest: "bb", Nodes: 1},
		}},
		{Query{Machines: "*", Where: `identity startsWith "n" && machines.web.state != "idle"`}, []MachineInUse{
			{Name: "db", Nodes: 1}, {Name: "web", Version: "1.0.0", State: "broken", Digest: "aa", Nodes: 1},
		}},
		{Query{Machines: "db", Node: "n0.example"}, []MachineInUse{{Name: "db", Version: "2.0.0", Nodes: 1}}},
		{Query{Machines: "none"}, nil},
	} {
		a, code, text := v.ask(tt.q)
		if diff := cmp.Diff(tt.want, a.Machines); diff != "" || code != "" || len(a.Nodes) > 0 {
			t.Errorf("%+v: %s %s (-want +got):\n%s", tt.q, code, text, diff)
		}
	}
	if _, code, _ := v.ask(Query{Machines: "*"}); code != messaging.CodeTooLarge {
		t.Errorf("too many machines: %s", code)
	}
}
