package delivery

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// asked is a request that keeps its answers.
type asked struct {
	data    []byte
	answers [][]byte
	codes   []string
}

func (a *asked) Respond(data []byte, _ ...micro.RespondOpt) error {
	a.answers = append(a.answers, data)
	return nil
}

func (a *asked) RespondJSON(any, ...micro.RespondOpt) error { return nil }

func (a *asked) Error(code, _ string, _ []byte, _ ...micro.RespondOpt) error {
	a.codes = append(a.codes, code)
	return nil
}

func (a *asked) Data() []byte           { return a.data }
func (a *asked) Headers() micro.Headers { return nil }
func (a *asked) Subject() string        { return "node.n1=example.out.spec" }
func (a *asked) Reply() string          { return "_INBOX.n1=example.x" }

// FuzzSpecQuery holds that every question for specs has one answer, of bounded size, or one refusal.
func FuzzSpecQuery(f *testing.F) {
	for _, seed := range []string{
		`{"channels": ["default"], "root": 0}`, `{"channels": ["default"], "known": {"default": "x"}}`, `{"root": 1e400}`, `{"root": -1}`, `{"channels": null}`,
		`{"channels": [{}]}`, `{"channels":["a"],"channels":["default"]}`, "[]", "null", "", `{"channels": ["\ud800"]}`, strings.Repeat("[", 1000),
	} {
		f.Add([]byte(seed))
	}
	s := newSpecShelf("SPECS", slog.New(slog.DiscardHandler))
	stock := newSpecStock()
	for key, value := range map[string]string{"spec.default": "a spec", "spec.large": strings.Repeat("x", 62<<10), "root.1": "one", "root.2": strings.Repeat("\n", 40<<10)} {
		s.take(stock, keyed{key: key, value: []byte(value)})
	}
	s.take(stock, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &asked{data: data}
		s.answer(t.Context(), r)
		if len(r.answers)+len(r.codes) != 1 {
			t.Fatalf("%d answers and %d refusals", len(r.answers), len(r.codes))
		}
		for _, body := range r.answers {
			var a specAnswer
			if err := json.Unmarshal(body, &a); err != nil || len(body) > 64<<10 {
				t.Errorf("%v, %d bytes", err, len(body))
			}
		}
	})
}

// FuzzRecordPage holds that every page of a list of records, whatever these are, is JSON, fits, and goes on.
func FuzzRecordPage(f *testing.F) {
	for _, seed := range []string{
		`{"after": "n1", "limit": 1}`, `{"limit": 1e400}`, `{"limit": 9223372036854775807}`, `{"after": "\ud800"}`, `{"revision": 1}`, "", "[]", "null",
	} {
		f.Add([]byte(seed), "n1=example", []byte(`{"state": "active", "owner": [1, {"a": "\u2028"}]}`))
		f.Add([]byte(seed), "n/1", []byte("\xff"))
	}
	f.Fuzz(func(t *testing.T, question []byte, key string, value []byte) {
		q, ok := readRecordQuery(question)
		if !ok {
			return
		}
		s := newRecordShelf("NODES", []string{"state", "owner", ""}, slog.New(slog.DiscardHandler))
		s.payload = 16 << 10
		table := newRecordTable(0, 0)
		for _, k := range []string{key, "n0", "n2"} {
			s.take(table, keyed{key: k, value: value})
		}
		s.take(table, nil)
		s.take(table, keyed{key: "n3", value: value})
		body, _ := s.page(q)
		if body == nil {
			if q.Revision == 0 {
				t.Fatal("there is no page")
			}
			return
		}
		var p recordPage
		if err := json.Unmarshal(body, &p); err != nil || len(body) > s.payload {
			t.Errorf("%v, %d bytes: %.200s", err, len(body), body)
		}
		if p.Next != "" && len(p.Records) == 0 {
			t.Errorf("a page that goes on is empty: %s", body)
		}
	})
}

// FuzzObjectQuery holds that every question for a range has one answer, no larger than a range, or one refusal, and that no name is looked up
// that is not one.
func FuzzObjectQuery(f *testing.F) {
	for _, seed := range []string{
		`{"name": "a", "bucket": "BUNDLES", "offset": 0, "length": 10}`, `{"name": "a", "bucket": "BUNDLES", "offset": 9223372036854775807, "length": 9223372036854775807}`,
		`{"name": "a\u0000", "bucket": "BUNDLES", "length": 1}`, `{"name": "*.>", "bucket": "BUNDLES", "length": 1}`, `{"length": 1e400}`, `{"offset": -1}`, "", "[]",
		`{"name": "` + strings.Repeat("a", 300) + `", "bucket": "BUNDLES", "length": 1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newObjectShelf("BUNDLES", 1<<20, 1000, slog.New(slog.DiscardHandler))
		s.kept.objects["a"] = s.kept.order.PushFront(&cachedObject{name: "a", data: make([]byte, 300<<10)})
		done := make(chan struct{})
		s.read = func(_ context.Context, name string) ([]byte, error) {
			defer close(done)
			if len(name) > 256 || strings.ContainsAny(name, "*> \r\n\t\x00") {
				t.Errorf("%q is looked up", name)
			}
			return nil, jetstream.ErrObjectNotFound
		}
		r := &asked{data: data}
		s.answer(t.Context(), r)
		if len(r.answers)+len(r.codes) == 0 {
			<-done // it is answered beside
			return
		}
		if len(r.answers)+len(r.codes) != 1 || len(r.answers) == 1 && len(r.answers[0]) > objectRange {
			t.Errorf("%d answers and %d refusals", len(r.answers), len(r.codes))
		}
	})
}

// FuzzObjectAnswer holds that what a node takes of an answer is the part that it asked for.
func FuzzObjectAnswer(f *testing.F) {
	f.Add("10", "0", "", []byte("0123456789"), int64(0), int64(10))
	f.Add("9223372036854775807", "9223372036854775807", "", []byte("x"), int64(9223372036854775807), int64(9223372036854775807))
	f.Add("-1", "1e400", "404", []byte{}, int64(1), int64(1))
	f.Fuzz(func(t *testing.T, size, at, code string, data []byte, offset, length int64) {
		if offset < 0 || length <= 0 || length > objectRange {
			return
		}
		header := nats.Header{headerObjectSize: {size}, headerObjectOffset: {at}}
		if code != "" {
			header.Set(micro.ErrorCodeHeader, code)
		}
		part, n, err := ReadRange(&nats.Msg{Header: header, Data: data}, offset, length)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		if said, _ := strconv.ParseInt(size, 10, 64); int64(len(part)) > length || offset+int64(len(part)) > n || n != said || code != "" {
			t.Errorf("takes %d of %d bytes at %d", len(part), n, offset)
		}
	})
}
