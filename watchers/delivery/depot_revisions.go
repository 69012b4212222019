package delivery

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// RevisionsQuery asks what a bucket has: its keys, by a prefix, or what is kept of one key. Exactly one of Prefix and Key is given.
type RevisionsQuery struct {
	Prefix string `json:"prefix,omitempty" most:"256"` // of the keys, such as "spec."
	After  string `json:"after,omitempty" most:"256"`  // only keys that are sorted behind this one
	Key    string `json:"key,omitempty" most:"256"`
	// History is whether all is wanted that is kept of the key, with a revision above the one given, and not only what it has now.
	History  bool   `json:"history,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// RevisionsAnswer is a page of what there is. Of one key nothing is in it where the bucket never had the key.
type RevisionsAnswer struct {
	Keys    []string   `json:"keys,omitempty"`    // sorted; none that is deleted
	Entries []Revision `json:"entries,omitempty"` // the oldest first
	More    bool       `json:"more,omitempty"`    // there is more, after the last one of these
}

// Revision is what a bucket has, or had, under a key.
type Revision struct {
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`                // when it was stored
	Deleted  bool      `json:"deleted,omitempty"` // it is the mark of a deletion, and has no value
	Value    []byte    `json:"value,omitempty"`
}

const (
	maxKeysPage = 4096
	// maxRevisionsPage bounds the values of an answer in bytes, but for the first. In JSON they take a third more, and an answer is to fit into a message.
	maxRevisionsPage = 384 << 10
	maxKey           = 256
	// maxShown is the longest value that an answer carries, in bytes. A longer one is left out, as neither a list nor a root is as long.
	maxShown = 512 << 10
	// headerOperation is where a bucket says that a message is the mark of a deletion (nats.go's kv.go).
	headerOperation = "KV-Operation"
)

var (
	keyForm    = regexp.MustCompile(`^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*$`)
	prefixForm = regexp.MustCompile(`^([A-Za-z0-9_=-]+\.)+$`)
)

// revisionShelf answers what a bucket has, with the revisions by which it can be written over. It reads the stream for each question.
type revisionShelf struct {
	besides
	js jetstream.JetStream
}

func (s *revisionShelf) open(_ context.Context, conn *nats.Conn) (lost <-chan struct{}, err error) {
	s.js, err = jetstream.New(conn)
	return nil, err
}

func (s *revisionShelf) answer(ctx context.Context, r micro.Request) {
	q, ok := readRevisionsQuery(r.Data())
	if !ok {
		deny(r, messaging.CodeUnreadable, `ask with {"prefix": "spec."}, {"key": "spec.default"} or {"key": "spec.default", "history": true}`)
		return
	}
	s.besides.answer(ctx, r, func(ctx context.Context) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		switch {
		case q.Prefix != "":
			return s.keys(ctx, q)
		case q.History:
			return s.history(ctx, q)
		default:
			a := &RevisionsAnswer{}
			e, found, err := lastRevision(ctx, s.js, s.bucket, q.Key)
			if found {
				a.Entries = []Revision{e.shown()}
			}
			return a, err
		}
	})
}

// readRevisionsQuery reads a question. What is in it becomes part of subjects.
func readRevisionsQuery(data []byte) (q RevisionsQuery, ok bool) {
	if err := watchers.ReadRequest(data, &q); err != nil || (q.Prefix == "") == (q.Key == "") || len(q.Prefix)+len(q.Key)+len(q.After) > maxKey {
		return q, false
	}
	return q, q.Prefix != "" && prefixForm.MatchString(q.Prefix) || q.Key != "" && keyForm.MatchString(q.Key)
}

func (s *revisionShelf) keys(ctx context.Context, q RevisionsQuery) (*RevisionsAnswer, error) {
	kv, err := s.js.KeyValue(ctx, s.bucket)
	if err != nil {
		return nil, err
	}
	list, err := kv.ListKeysFiltered(ctx, q.Prefix+">")
	if err != nil {
		return nil, err
	}
	a := &RevisionsAnswer{}
	for key := range list.Keys() {
		if key > q.After {
			a.Keys = append(a.Keys, key)
		}
	}
	if err := ctx.Err(); err != nil { // the list ends then, too
		return nil, err
	}
	slices.Sort(a.Keys)
	if a.More = len(a.Keys) > maxKeysPage; a.More {
		a.Keys = a.Keys[:maxKeysPage]
	}
	return a, nil
}

func (s *revisionShelf) history(ctx context.Context, q RevisionsQuery) (*RevisionsAnswer, error) {
	all, err := revisionsOf(ctx, s.js, s.bucket, q.Key)
	if err != nil {
		return nil, err
	}
	return pageOf(all, q.Revision), nil
}

// pageOf is what comes after a revision and fits.
func pageOf(all []Revision, after uint64) *RevisionsAnswer {
	a, size := &RevisionsAnswer{}, 0
	for _, e := range all {
		if e.Revision <= after {
			continue
		}
		e = e.shown()
		if size += len(e.Value); len(a.Entries) > 0 && size > maxRevisionsPage {
			a.More = true
			break
		}
		a.Entries = append(a.Entries, e)
	}
	return a
}

// shown leaves out a value that is too long.
func (e Revision) shown() Revision {
	if len(e.Value) > maxShown {
		e.Value = nil
	}
	return e
}

// revisionsOf is all that a bucket keeps of a key, the oldest first.
func revisionsOf(ctx context.Context, js jetstream.JetStream, bucket, key string) ([]Revision, error) {
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil, err
	}
	entries, err := kv.History(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) && ctx.Err() == nil {
		return nil, nil
	}
	var all []Revision
	for _, e := range entries {
		all = append(all, Revision{Revision: e.Revision(), At: e.Created(), Deleted: e.Operation() != jetstream.KeyValuePut, Value: e.Value()})
	}
	return all, errors.Join(err, ctx.Err())
}

// lastRevision is the last that a bucket has of a key, the mark of a deletion included, which a KeyValue does not show.
func lastRevision(ctx context.Context, js jetstream.JetStream, bucket, key string) (e Revision, found bool, err error) {
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		return e, false, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, "$KV."+bucket+"."+key)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return e, false, nil
	case err != nil:
		return e, false, err
	}
	deleted := m.Header.Get(headerOperation) != "" || m.Header.Get(jetstream.MarkerReasonHeader) != ""
	return Revision{Revision: m.Sequence, At: m.Time, Deleted: deleted, Value: m.Data}, true, nil
}
