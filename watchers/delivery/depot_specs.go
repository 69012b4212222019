package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// specShelf serves specs and trust roots from memory, which one consumer keeps fresh.
type specShelf struct {
	bucket string

	mu    sync.Mutex
	ready bool
	specs map[string]string // envelopes by channel
	roots map[uint64]string // by version
}

// The keys of the bucket.
const (
	specKey = "spec."
	rootKey = "root."
)

// maxSpecs bounds an answer in bytes: with what is around it, it fits into an event.
const maxSpecs = 63 << 10

// maxChannels bounds a question.
const maxChannels = 16

func newSpecShelf(bucket string) *specShelf {
	return &specShelf{bucket: bucket, specs: map[string]string{}, roots: map[uint64]string{}}
}

func (s *specShelf) open(ctx context.Context, conn *nats.Conn) (<-chan struct{}, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	kv, err := js.KeyValue(ctx, s.bucket)
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", s.bucket, err)
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", s.bucket, err)
	}
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		defer func() { _ = watch.Stop() }() // it fails where the connection is gone, and the consumer with it
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-watch.Updates():
				if !open {
					return
				}
				s.take(e)
			}
		}
	}()
	return lost, nil
}

// take takes an entry; nil is said once when all that was there has come.
func (s *specShelf) take(e jetstream.KeyValueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil {
		s.ready = true
		return
	}
	gone := e.Operation() != jetstream.KeyValuePut
	if channel, ok := strings.CutPrefix(e.Key(), specKey); ok {
		s.specs[channel] = string(e.Value())
		if gone {
			delete(s.specs, channel)
		}
	}
	text, ok := strings.CutPrefix(e.Key(), rootKey)
	version, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil {
		return
	}
	s.roots[version] = string(e.Value())
	if gone {
		delete(s.roots, version)
	}
}

// specQuery asks for specs, and the roots above a version.
type specQuery struct {
	Channels []string `json:"channels"`
	Root     uint64   `json:"root"`
}

// specAnswer is what there is. Where not all of it fits, there is more: roots come first, and then it is asked again.
type specAnswer struct {
	Specs map[string]string `json:"specs"`
	Roots []string          `json:"roots"`
	More  bool              `json:"more"`
}

func (s *specShelf) answer(_ context.Context, r micro.Request) {
	var q specQuery
	if err := json.Unmarshal(r.Data(), &q); err != nil || len(q.Channels) > maxChannels {
		deny(r, codeUnreadable, `ask with {"channels": ["default"], "root": 0}, for at most 16 channels`)
		return
	}
	a, err := s.find(q)
	if err != nil {
		deny(r, codeNotReady, err.Error())
		return
	}
	body, err := json.Marshal(a)
	if err != nil {
		deny(r, codeFailed, err.Error())
		return
	}
	_ = r.Respond(body) // what cannot be sent is for a connection that is gone
}

var errNotRead = errors.New("the bucket has not been read yet; ask again")

// find puts an answer together.
func (s *specShelf) find(q specQuery) (*specAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		return nil, errNotRead
	}
	a := &specAnswer{Specs: map[string]string{}, Roots: []string{}}
	left := maxSpecs
	take := func(text string) bool {
		size := len(text) + strings.Count(text, `"`) + strings.Count(text, `\`) + strings.Count(text, "\n") + 100
		a.More = a.More || size > left
		if !a.More {
			left -= size
		}
		return !a.More
	}
	for _, version := range s.versionsAbove(q.Root) {
		if take(s.roots[version]) {
			a.Roots = append(a.Roots, s.roots[version])
		}
	}
	for _, channel := range q.Channels {
		if text, ok := s.specs[channel]; ok && take(text) {
			a.Specs[channel] = text
		}
	}
	return a, nil
}

func (s *specShelf) versionsAbove(known uint64) []uint64 {
	var versions []uint64
	for v := range s.roots {
		if v > known {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions
}
