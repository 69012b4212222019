package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// recordTable is what lists show of a bucket's records.
type recordTable struct {
	began, last uint64          // sequences: of the stream when reading began, and of what has come last
	expected    uint64          // keys that the stream had then, those that mark a deletion included
	rows        map[string]row  // by key
	gone        map[string]bool // keys that were deleted, of which a mark is there
	keys        []string        // of rows, in order; nil until all that there was has come
}

// row is a record in a list, as it is sent.
type row []byte

func newRecordTable(began, expected uint64) *recordTable {
	return &recordTable{began: began, expected: expected, rows: map[string]row{}, gone: map[string]bool{}}
}

// take takes an entry.
func (t *recordTable) take(e jetstream.KeyValueEntry, fields []string) {
	key := e.Key()
	t.last = max(t.last, e.Revision())
	_, had := t.rows[key]
	if e.Operation() != jetstream.KeyValuePut {
		t.gone[key] = true
		delete(t.rows, key)
	} else {
		delete(t.gone, key)
		t.rows[key] = shown(key, e.Revision(), e.Value(), fields)
	}
	if _, has := t.rows[key]; t.keys != nil && has != had {
		at, _ := slices.BinarySearch(t.keys, key)
		if has {
			t.keys = slices.Insert(t.keys, at, key)
		} else {
			t.keys = slices.Delete(t.keys, at, at+1)
		}
	}
}

// count is how many keys have come, those that mark a deletion included.
func (t *recordTable) count() uint64 { return uint64(len(t.rows) + len(t.gone)) }

// complete notes that all that there was has come.
func (t *recordTable) complete() {
	t.last = max(t.last, t.began)
	t.keys = slices.AppendSeq(make([]string, 0, len(t.rows)), maps.Keys(t.rows))
	slices.Sort(t.keys)
}

// maxField bounds a field of a list, in bytes. Longer ones are left out: who wants them asks for the record.
const maxField = 1 << 10

// shown writes a record as lists have it: {"key": ..., "revision": ..., "record": {field: value}}. record is null where the value is no mapping.
func shown(key string, revision uint64, value []byte, fields []string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"key":`)
	b.Write(quote(key))
	b.WriteString(`,"revision":` + strconv.FormatUint(revision, 10) + `,"record":`)
	var has map[string]json.RawMessage
	if json.Unmarshal(value, &has) != nil || has == nil {
		b.WriteString("null}")
		return b.Bytes()
	}
	b.WriteByte('{')
	first := true
	for _, name := range fields {
		text, ok := has[name]
		if !ok || len(text) > maxField {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.Write(quote(name))
		b.WriteByte(':')
		_ = json.Compact(&b, text) // it was read a moment ago
	}
	b.WriteString("}}")
	return b.Bytes()
}

// quote writes a text as JSON, which cannot fail.
func quote(text string) []byte {
	quoted, _ := json.Marshal(text)
	return quoted
}

// recordQuery asks for one record, or for a page of all.
type recordQuery struct {
	// Key asks for the record of this key.
	Key string `json:"key" most:"1024"`
	// After is next of the page before, and Revision its revision, so that another host answers with no less.
	After    string `json:"after" most:"1024"`
	Revision uint64 `json:"revision"`
	// Limit is how many may come; 0 is as many as a message holds.
	Limit int `json:"limit"`
}

// recordAnswer is one record.
type recordAnswer struct {
	Key      string          `json:"key"`
	Revision uint64          `json:"revision"`
	Written  time.Time       `json:"written"`
	Record   json.RawMessage `json:"record"` // as it is; a text where it is no JSON
}

const (
	freshWithin   = 3 * time.Second // to have all that the bucket has
	pageOverhead  = 4 << 10         // bytes of a page beside its records
	maxRecordAsks = 4 << 10         // bytes of a question
)

var errBehind = errors.New("not all that the bucket has has come here yet; ask again")

// answer answers beside, as it may ask the bucket.
func (s *recordShelf) answer(ctx context.Context, r micro.Request) {
	q, ok := readRecordQuery(r.Data())
	if !ok {
		deny(r, messaging.CodeUnreadable, `ask with {"key": "KEY"} for a record, or with {"after": "KEY"} for those behind one`)
		return
	}
	select {
	case s.turns <- struct{}{}:
	default:
		messaging.AnswerBusy(r, time.Second)
		return
	}
	supervise.Go(ctx, func() {
		defer func() { <-s.turns }()
		ctx, cancel := context.WithTimeout(ctx, freshWithin)
		defer cancel()
		if q.Key != "" {
			s.answerOne(ctx, r, q.Key)
		} else {
			s.answerPage(ctx, r, q)
		}
	})
}

// readRecordQuery reads a question.
func readRecordQuery(data []byte) (q recordQuery, ok bool) {
	err := watchers.ReadRequest(data, &q)
	return q, err == nil && len(data) <= maxRecordAsks && q.Limit >= 0
}

func (s *recordShelf) answerOne(ctx context.Context, r micro.Request, key string) {
	e, err := s.kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		deny(r, messaging.CodeNotFound, "there is no record "+strconv.Quote(key))
		return
	case err != nil:
		deny(r, messaging.CodeNotReady, fmt.Sprintf("reading the bucket %s: %v", s.bucket, err))
		return
	}
	a := recordAnswer{Key: e.Key(), Revision: e.Revision(), Written: e.Created(), Record: e.Value()}
	if !json.Valid(a.Record) {
		a.Record = quote(string(e.Value()))
	}
	body, err := json.Marshal(a)
	switch {
	case err != nil:
		deny(r, messaging.CodeFailed, err.Error())
	case len(body) > s.payload:
		deny(r, messaging.CodeTooLarge, "the record is larger than a message")
	default:
		_ = r.Respond(body) // what cannot be sent is for a connection that is gone
	}
}

// answerPage answers with the records behind a key. The first page has all that the bucket had when it was asked, those that follow no less.
func (s *recordShelf) answerPage(ctx context.Context, r micro.Request, q recordQuery) {
	if q.After == "" && q.Revision == 0 {
		info, err := s.state(ctx)
		if err != nil {
			deny(r, messaging.CodeNotReady, fmt.Sprintf("the bucket %s: %v", s.bucket, err))
			return
		}
		q.Revision = info.State.LastSeq
	}
	for {
		body, moved := s.page(q)
		if body != nil {
			_ = r.Respond(body) // what cannot be sent is for a connection that is gone
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			deny(r, messaging.CodeNotReady, fmt.Sprintf("the bucket %s: %v", s.bucket, errBehind))
			return
		}
	}
}

// page writes a page, nil where what is known is older than asked, which changes when moved is closed.
func (s *recordShelf) page(q recordQuery) (body []byte, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table
	if t == nil || t.last < q.Revision {
		return nil, s.moved
	}
	first, found := slices.BinarySearch(t.keys, q.After)
	if found {
		first++
	}
	var b bytes.Buffer
	b.WriteString(`{"records":[`)
	next, room := "", s.payload-pageOverhead
	for n, key := range t.keys[first:] {
		text := t.rows[key]
		if room -= len(text) + 1; n > 0 && (room < 0 || n == q.Limit) {
			next = t.keys[first+n-1]
			break
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.Write(text)
	}
	fmt.Fprintf(&b, `],"known":%d,"revision":%d,"next":%s}`, len(t.keys), q.Revision, quote(next))
	return b.Bytes(), nil
}
