package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// specShelf serves specs and trust roots from memory, which one consumer keeps fresh.
type specShelf struct {
	bucket string
	log    *slog.Logger
	// governed is told of the machines that are listed under a governor; nil is told nothing.
	governed func(watchers.Report)

	mu    sync.Mutex
	stock *specStock // nil until the bucket has been read
}

// specStock is what a bucket has.
type specStock struct {
	specs map[string]string // envelopes by channel
	roots map[uint64]string // by version
}

func newSpecStock() *specStock {
	return &specStock{specs: map[string]string{}, roots: map[uint64]string{}}
}

// The keys of the bucket.
const (
	specKey = "spec."
	rootKey = "root."
)

// maxSpecs bounds an answer in bytes: with what is around it, it fits into an event.
const maxSpecs = 63 << 10

// besideText is what stands beside a text in an answer, in bytes: channel, digest and quotes.
const besideText = 200

// maxChannels bounds a question.
const maxChannels = 16

// specsChecked is how often the bucket is compared with how it was: a consumer says nothing of what was purged, and hears nothing of a stream that
// was restored from a copy, whose sequence is lower.
const specsChecked = 5 * time.Second

func newSpecShelf(bucket string, log *slog.Logger) *specShelf {
	return &specShelf{bucket: bucket, log: log}
}

func (s *specShelf) open(ctx context.Context, conn *nats.Conn) (<-chan struct{}, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	return s.follow(ctx, js)
}

// follow begins to keep the shelf as its bucket is.
func (s *specShelf) follow(ctx context.Context, js jetstream.JetStream) (<-chan struct{}, error) {
	f := &specFollower{shelf: s, js: js}
	if err := f.begin(ctx); err != nil {
		return nil, err
	}
	return f.follow(ctx, specsChecked, f.take, f.check), nil
}

// specFollower keeps a shelf as its bucket is.
type specFollower struct {
	bucketWatch
	shelf *specShelf
	js    jetstream.JetStream
	stock *specStock // what the watch fills
	told  string     // what was told of governors last, as JSON
	seen  specState
}

// specState tells a stream from what it was.
type specState struct {
	created               time.Time
	messages, first, last uint64
}

// begin reads the bucket from its beginning. What is served stays until all of it has come.
func (f *specFollower) begin(ctx context.Context) error {
	state, watch, err := f.open(ctx)
	if err != nil {
		return fmt.Errorf("the bucket %s: %w", f.shelf.bucket, err)
	}
	f.watch, f.seen, f.stock = watch, state, newSpecStock()
	return nil
}

func (f *specFollower) open(ctx context.Context) (specState, jetstream.KeyWatcher, error) {
	state, err := f.state(ctx)
	if err != nil {
		return specState{}, nil, err
	}
	kv, err := f.js.KeyValue(ctx, f.shelf.bucket)
	if err != nil {
		return specState{}, nil, err
	}
	watch, err := kv.WatchAll(ctx)
	return state, watch, err
}

func (f *specFollower) state(ctx context.Context) (specState, error) {
	stream, err := f.js.Stream(ctx, "KV_"+f.shelf.bucket)
	if err != nil {
		return specState{}, err
	}
	info := stream.CachedInfo()
	return specState{info.Created, info.State.Msgs, info.State.FirstSeq, info.State.LastSeq}, nil
}

// take takes what the watch hears. While the bucket has no leader the shelf serves what it had.
func (f *specFollower) take(e jetstream.KeyValueEntry) {
	f.shelf.take(f.stock, e)
	f.tell()
}

// check reads the bucket anew where it is not as it was, and logs the first of the tries that fail.
func (f *specFollower) check(ctx context.Context) {
	state, err := f.state(ctx)
	if err != nil || f.watch != nil && state == f.seen {
		return
	}
	watched := f.watch != nil
	f.end()
	if err := f.begin(ctx); err != nil && watched && ctx.Err() == nil {
		f.shelf.log.Warn("specs_not_followed", "bucket", f.shelf.bucket, "error", err)
	}
}

// take takes an entry into stock; nil is said once when all that was there has come.
func (s *specShelf) take(stock *specStock, e jetstream.KeyValueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e == nil {
		s.stock = stock
		return
	}
	gone := e.Operation() != jetstream.KeyValuePut
	if channel, ok := strings.CutPrefix(e.Key(), specKey); ok {
		stock.specs[channel] = string(e.Value())
		if gone {
			delete(stock.specs, channel)
		}
	}
	text, ok := strings.CutPrefix(e.Key(), rootKey)
	version, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil {
		return
	}
	stock.roots[version] = string(e.Value())
	if gone {
		delete(stock.roots, version)
	}
}

// specQuery asks for specs, and the roots above a version.
type specQuery struct {
	Channels []string `json:"channels" most:"16" each:"64"`
	Root     uint64   `json:"root"`
	// Known has, by channel, the digest that the asker was given with its last spec, "" where there was none. A channel for which that
	// is still so is named in the answer, in place of its spec. Those who do not say it are given everything.
	Known map[string]string `json:"known" most:"16" each:"64"`
}

// specAnswer is what there is. Where not all of it fits, there is more: roots come first, and then it is asked again.
type specAnswer struct {
	Specs     map[string]string `json:"specs"`
	Digests   map[string]string `json:"digests"` // of the specs, by channel: SHA-256 in hex
	Unchanged []string          `json:"unchanged"`
	Roots     []string          `json:"roots"`
	More      bool              `json:"more"`
}

func (s *specShelf) answer(_ context.Context, r micro.Request) {
	var q specQuery
	if err := watchers.ReadRequest(r.Data(), &q); err != nil || len(q.Channels) > maxChannels {
		deny(r, messaging.CodeUnreadable, `ask with {"channels": ["default"], "root": 0}, for at most 16 channels`)
		return
	}
	a, err := s.find(q)
	if err != nil {
		deny(r, messaging.CodeNotReady, err.Error())
		return
	}
	body, err := json.Marshal(a)
	if err != nil {
		deny(r, messaging.CodeFailed, err.Error())
		return
	}
	_ = r.Respond(body) // what cannot be sent is for a connection that is gone
}

var errNotRead = errors.New("the bucket has not been read yet; ask again")

// find puts an answer together.
func (s *specShelf) find(q specQuery) (*specAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stock == nil {
		return nil, errNotRead
	}
	a := &specAnswer{Specs: map[string]string{}, Digests: map[string]string{}, Unchanged: []string{}, Roots: []string{}}
	left := maxSpecs
	take := func(text string) bool {
		size := len(text) + strings.Count(text, `"`) + strings.Count(text, `\`) + strings.Count(text, "\n") + besideText
		a.More = a.More || size > left
		if !a.More {
			left -= size
		}
		return !a.More
	}
	for _, version := range s.stock.rootsAbove(q.Root) {
		if take(s.stock.roots[version]) {
			a.Roots = append(a.Roots, s.stock.roots[version])
		}
	}
	for _, channel := range q.Channels {
		text, digest := s.stock.specs[channel], ""
		if text != "" {
			sum := sha256.Sum256([]byte(text))
			digest = hex.EncodeToString(sum[:])
		}
		if had, said := q.Known[channel]; said && had == digest {
			a.Unchanged = append(a.Unchanged, channel)
		} else if text != "" && take(text) {
			a.Specs[channel], a.Digests[channel] = text, digest
		}
	}
	return a, nil
}

func (s *specStock) rootsAbove(known uint64) []uint64 {
	var versions []uint64
	for v := range s.roots {
		if v > known {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions
}
