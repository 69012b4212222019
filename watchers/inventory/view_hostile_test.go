package inventory

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// TestViewSurvivesHostileQuestions asks what would take for ever, of many nodes.
func TestViewSurvivesHostileQuestions(t *testing.T) {
	s := fleet(500)
	d := newDesk(&viewSpec{Timeout: strict.Duration(200 * time.Millisecond), Memory: 64}, s, querySubject, "inventory", &watchers.Look{})
	d.ready.Store(true)
	nested := "let a0 = facts; "
	for i := range 40 {
		nested += fmt.Sprintf("let a%d = [a%d, a%d]; ", i+1, i, i)
	}
	for _, where := range []string{
		`all(1..1000, all(1..1000, true))`, `len(1..1000000) > 0`, nested + `a40 == a39`, nested + `max(a40) == 1`,
		`any(1..90000, facts != facts)`, `any(1..90000, facts[string(#)] == 1)`, `any(facts.mounts, #.fstype == "x") || any(1..90000, len(keys(facts)) == 0)`,
		`facts.cpu.flags matches "(f|p|u| )*z" && all(1..9000, facts.cpu.flags matches "(f|p|u| )*y")`, strings.Repeat("(", 2000),
	} {
		body, err := d.inTurn(t.Context(), []byte(fmt.Sprintf(`{"where": %q}`, where)), 1<<20)
		if err == nil && !strings.Contains(string(body), `"matched":0,`) {
			t.Errorf("%.60s: %.200s", where, body)
		}
		if err != nil && !errors.Is(err, errTooLong) && !strings.Contains(err.Error(), "where: ") {
			t.Errorf("%.60s: %v", where, err)
		}
	}
	if body, err := d.inTurn(t.Context(), []byte(`{"where": "facts.os.name == 'debian'"}`), 1<<20); err != nil || !strings.Contains(string(body), `"matched":167,`) {
		t.Errorf("a proper question after those: %.100s, %v", body, err)
	}
}

// TestViewCountsProblemsByFewReasons has every node give a reason of its own.
func TestViewCountsProblemsByFewReasons(t *testing.T) {
	d := newDesk(&viewSpec{Memory: 64}, fleet(100), querySubject, "inventory", &watchers.Look{})
	body, err := d.answer(t.Context(), &Query{Where: `get_fact(identity + "*") == 1`}, 1<<20)
	if err != nil || strings.Count(string(body), "has \\\"*\\\" in it") != maxProblems || !strings.Contains(string(body), fmt.Sprintf(`"other reasons":%d`, 100-maxProblems)) {
		t.Errorf("%s, %v", body, err)
	}
}

// TestViewAnswersSoManyAtOnce has questions wait for their turn, and be refused when that does not come.
func TestViewAnswersSoManyAtOnce(t *testing.T) {
	d := newDesk(&viewSpec{Timeout: strict.Duration(10 * time.Millisecond), Memory: 64, Pending: 1}, fleet(3), querySubject, "inventory", &watchers.Look{})
	d.ready.Store(true)
	for range runtime.GOMAXPROCS(0) {
		d.turns <- struct{}{}
	}
	d.waiting.Add(1)
	if _, err := d.inTurn(t.Context(), nil, 1<<20); !errors.Is(err, errCrowd) || d.waiting.Load() != 0 {
		t.Errorf("with all turns taken: %v, %d wait", err, d.waiting.Load())
	}
	d.spec.Timeout = strict.Duration(patience)
	var all sync.WaitGroup
	for range 20 {
		d.waiting.Add(1)
		all.Go(func() {
			if body, err := d.inTurn(t.Context(), nil, 1<<20); err != nil || !strings.Contains(string(body), `"known":3`) {
				t.Errorf("%s, %v", body, err)
			}
		})
	}
	for range runtime.GOMAXPROCS(0) {
		<-d.turns
	}
	all.Wait()
	if d.waiting.Load() != 0 || len(d.turns) != 0 {
		t.Errorf("%d wait, %d turns are taken", d.waiting.Load(), len(d.turns))
	}
}

// TestViewRefusesACrowd asks by the broker while all turns are taken: one question may wait, and the next is refused.
func TestViewRefusesACrowd(t *testing.T) {
	v := newViewTest(t)
	v.spec.Pending = 1
	d := newDesk(&v.spec, fleet(3), querySubject, "inventory", &watchers.Look{})
	d.ready.Store(true)
	for range runtime.GOMAXPROCS(0) {
		d.turns <- struct{}{}
	}
	stop, err := d.open(t.Context(), new(watchers.Look), v.conn)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	waits := make(chan Answer, 1)
	go func() { a, _, _ := v.ask(Query{}); waits <- a }()
	waitFor(t, func() bool { return d.waiting.Load() == 1 })
	if _, code, text := v.ask(Query{}); code != messaging.CodeNotReady || text != errCrowd.text {
		t.Errorf("the second question: %s %s", code, text)
	}
	<-d.turns
	if a := <-waits; a.Known != 3 {
		t.Errorf("the first question: %+v", a)
	}
	if q, r := d.questions.Load(), d.refused.Load(); q != 2 || r != 1 {
		t.Errorf("%d questions, %d refused", q, r)
	}
}

// TestViewEndsWhileItAnswers leaves nothing behind.
func TestViewEndsWhileItAnswers(t *testing.T) {
	v := newViewTest(t)
	v.stream(0)
	for i := range 500 {
		v.has(fmt.Sprintf("n%d.example", i), simple("debian", "waiting"))
	}
	stop := v.look()
	v.says("success")
	before := runtime.NumGoroutine()
	for range 4 {
		if err := v.conn.PublishRequest(querySubject, "_INBOX.x.y", []byte(`{"where": "any(1..90000, len(keys(facts)) == 0)"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	stop()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}

// FuzzViewDocument reads whatever a stream may hold.
func FuzzViewDocument(f *testing.F) {
	inline := fmt.Sprintf(`{"protocol":%q,"content":{"facts":{"n":1}}}`, protocol)
	for _, seed := range []string{adapted("n1.example", inline), adapted("n1.example", registered(simple("debian", "waiting"))), adapted("n1.example", "{}"), "{}", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		document, err := new(unpacker).inventory("n1.example", data)
		if (err == nil) != (document != nil) {
			t.Fatalf("%v and %v", document, err)
		}
		if err != nil {
			return
		}
		q := &question{Query: &Query{Document: true}}
		if _, err := encoded(q.node(&entry{identity: "n1.example", document: document})); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
