package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// UploadQuery begins to upload a bundle.
type UploadQuery struct {
	Digest string `json:"digest" most:"64"` // SHA-256 in hex
	Size   int64  `json:"size"`             // bytes
	// Envelope is a list that names the bundle, signed by at least one of the keys that may sign lists: who has none fills nothing.
	Envelope []byte `json:"envelope" most:"1048576"`
}

// UploadAnswer says where the bundle's parts go.
type UploadAnswer struct {
	There bool   `json:"there,omitempty"` // it is there already, intact
	At    string `json:"at,omitempty"`    // the last word of the subject that the parts are for: those of one host
	Part  int64  `json:"part,omitempty"`  // bytes of a part, at most
	UploadProgress
}

// UploadProgress answers a part. An empty part asks how far it is.
type UploadProgress struct {
	Next   int64 `json:"next,omitempty"`   // where the next part is to begin
	Stored bool  `json:"stored,omitempty"` // all of it has come, was as its digest says, and is stored
}

// The headers of a part, whose bytes are the message's body.
const (
	HeaderUpload = "Statecraft-Digest" // as in the question
	HeaderOffset = headerObjectOffset  // of this part
	uploadPart   = objectRange         // bytes
	uploadsOfOne = 2                   // at once
	uploadIdle   = 30 * time.Second    // after which what nobody goes on with is forgotten
	uploadSwept  = 5 * time.Second     // how often that is looked for
	storeWithin  = 30 * time.Second    // for an upload that has come, with all tries
	storePerMiB  = 2 * time.Second     // more for one try, beside askTimeout
	storePause   = 200 * time.Millisecond
	noUpload     = "there is no such upload, or no more: begin it again"
	asUploadSays = `ask with {"digest": "<sha256>", "size": 1000, "envelope": "<base64>"}`
)

// uploadShelf takes bundles in parts, keeps each in memory until it has come, holds it against its digest, and stores it.
type uploadShelf struct {
	besides
	trusted func() (*registry.Store, string, error)
	roots   string // the bucket of the trust roots
	who     func(r micro.Request) string
	emit    func(watchers.Report)
	at      string
	memory  int64 // bytes, of all uploads

	js    jetstream.JetStream
	store jetstream.ObjectStore
	ctx   context.Context //nolint:containedctx // of the serving, which uploads outlast no more than the shelf does

	mu      sync.Mutex
	uploads map[uploadKey]*upload
}

type uploadKey struct{ who, digest string }

// upload is one bundle on its way; its fields are under the shelf's lock.
type upload struct {
	size    int64
	data    []byte
	touched time.Time
	storing bool
	stored  time.Time // zero is not yet
	err     error     // why it could not be stored
}

func (s *uploadShelf) open(ctx context.Context, conn *nats.Conn) (<-chan struct{}, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	s.js, s.ctx, s.uploads = js, ctx, map[uploadKey]*upload{}
	supervise.Go(ctx, func() {
		sweep := time.NewTicker(uploadSwept)
		defer sweep.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-sweep.C:
				s.sweep(now)
			}
		}
	})
	return nil, nil
}

// sweep forgets uploads that nobody goes on with.
func (s *uploadShelf) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, u := range s.uploads {
		if !u.storing && now.Sub(u.touched) > uploadIdle {
			delete(s.uploads, key)
			s.log.Info("upload_forgotten", "digest", key.digest, "by", key.who, "bytes", len(u.data), "of", u.size, "stored", !u.stored.IsZero())
		}
	}
}

func (s *uploadShelf) answer(ctx context.Context, r micro.Request) {
	q, ok := readUploadQuery(r.Data())
	if !ok {
		deny(r, messaging.CodeUnreadable, asUploadSays)
		return
	}
	s.besides.answer(ctx, r, func(ctx context.Context) (any, error) { return s.begin(ctx, q, s.who(r)) })
}

func readUploadQuery(data []byte) (q UploadQuery, ok bool) {
	err := watchers.ReadRequest(data, &q)
	return q, err == nil && checkDigest(q.Digest) == nil && q.Size > 0 && q.Size <= registry.DefaultLimits().Compressed &&
		len(q.Envelope) > 0 && len(q.Envelope) <= MaxPublished
}

// begin takes an upload that somebody has signed for, unless the bundle is there.
func (s *uploadShelf) begin(ctx context.Context, q UploadQuery, who string) (*UploadAnswer, error) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := s.signedFor(once, q); err != nil {
		if refusal, ok := errors.AsType[*registry.Refusal](err); ok {
			s.emit(watchers.Report{
				Outcome: outcomeRefused, Message: "the bundle " + q.Digest + " of " + who + " is refused: " + refusal.Detail,
				Payload: map[string]any{"key": q.Digest, "reason": string(refusal.Reason), "detail": refusal.Detail, "by": who},
			})
		}
		return nil, err
	}
	store, err := s.js.ObjectStore(once, s.bucket)
	if err != nil {
		return nil, err
	}
	began := time.Now() //nolint:forbidigo // memory keeps since then what is stored
	reading, stop := context.WithTimeout(ctx, within(q.Size))
	defer stop()
	if _, err := readOnce(reading, store, q.Digest, readSilence); err == nil {
		return &UploadAnswer{There: true}, nil
	} // whatever was wrong with reading it: if the store cannot be asked, it cannot be written to either
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = store
	key := uploadKey{who, q.Digest}
	u := s.uploads[key]
	if u != nil && u.stored.After(began) {
		return &UploadAnswer{There: true}, nil
	}
	if u == nil || u.err != nil || !u.stored.IsZero() || u.size != q.Size { // stored, and spoiled since
		delete(s.uploads, key)
		if err := s.room(who, q.Size); err != nil {
			return nil, err
		}
		u = &upload{size: q.Size}
		s.uploads[key] = u
	}
	u.touched = time.Now() //nolint:forbidigo // how long memory keeps something is no decision of a machine
	return &UploadAnswer{At: s.at, Part: uploadPart, UploadProgress: UploadProgress{Next: int64(len(u.data))}}, nil
}

// signedFor refuses a bundle that no list names which somebody has signed who may sign lists.
func (s *uploadShelf) signedFor(ctx context.Context, q UploadQuery) error {
	trust, cell, err := s.trusted()
	if err != nil {
		return err
	}
	now := time.Now() //nolint:forbidigo // as nodes do that verify: whether something counts still
	if err := learnRoots(ctx, s.js, s.roots, trust, now); err != nil {
		return err
	}
	root, err := trust.Root()
	if err != nil {
		return err
	}
	spec, err := registry.ReadProposed(q.Envelope, root)
	if err != nil {
		return err
	}
	source := "object://" + s.bucket + "/" + q.Digest
	switch {
	case spec.Audience != "" && spec.Audience != cell:
		return &registry.Refusal{Reason: registry.WrongPlace, Detail: "the list is for another cell"}
	case !now.Before(spec.Expires):
		return &registry.Refusal{Reason: registry.Expired, Detail: "the list has expired"}
	}
	for _, e := range spec.Machines {
		if e.Checksum == q.Digest && e.Source == source {
			return nil
		}
	}
	return &registry.Refusal{Reason: registry.Unsigned, Detail: "the list does not name this bundle"}
}

// room refuses an upload beyond those that there may be; under the lock.
func (s *uploadShelf) room(who string, size int64) error {
	of, held := 0, size
	for key, u := range s.uploads {
		if !u.stored.IsZero() || u.err != nil {
			continue
		}
		held += u.size
		if key.who == who {
			of++
		}
	}
	if of >= uploadsOfOne || held > s.memory {
		return errManyUploads
	}
	return nil
}

var errManyUploads = errors.New("as many bundles are on their way as may be")

// part takes a part of a bundle. One that has come already changes nothing.
func (s *uploadShelf) part(r micro.Request) {
	h := r.Headers()
	offset, err := strconv.ParseInt(h.Get(HeaderOffset), 10, 64)
	digest := h.Get(HeaderUpload)
	if err != nil || offset < 0 || len(r.Data()) > uploadPart || checkDigest(digest) != nil {
		deny(r, messaging.CodeUnreadable, "a part has the headers "+HeaderUpload+" and "+HeaderOffset+", and "+strconv.Itoa(uploadPart)+" bytes at most")
		return
	}
	progress, err := s.take(uploadKey{s.who(r), digest}, offset, r.Data())
	if err != nil {
		s.deny(r, err)
		return
	}
	body, _ := json.Marshal(progress) // a number and a word
	_ = r.Respond(body)               // what cannot be sent is for a connection that is gone
}

func (s *uploadShelf) take(key uploadKey, offset int64, part []byte) (UploadProgress, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[key]
	if u == nil {
		return UploadProgress{}, denial{messaging.CodeNotFound, noUpload}
	}
	u.touched = time.Now() //nolint:forbidigo // as above
	if u.err != nil {
		delete(s.uploads, key)
		return UploadProgress{}, u.err
	}
	if !u.stored.IsZero() {
		return UploadProgress{Next: u.size, Stored: true}, nil
	}
	if offset == int64(len(u.data)) && len(part) > 0 {
		if offset+int64(len(part)) > u.size {
			delete(s.uploads, key)
			return UploadProgress{}, denial{messaging.CodeUnreadable, "there is more of it than was said"}
		}
		u.data = append(u.data, part...)
	}
	if int64(len(u.data)) == u.size && !u.storing {
		u.storing = true
		store := s.store
		supervise.Go(s.ctx, func() { s.finish(key, u, store) })
	}
	return UploadProgress{Next: int64(len(u.data))}, nil
}

// finish stores what has come, with several tries, and lets go of its bytes.
func (s *uploadShelf) finish(key uploadKey, u *upload, store jetstream.ObjectStore) {
	err := errors.New("the upload was cut short")
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		u.err, u.storing, u.data = err, false, nil
		u.touched = time.Now() //nolint:forbidigo // as above
		if err == nil {
			u.stored = u.touched
		}
	}()
	if digestOf(u.data) != key.digest {
		err = denial{messaging.CodeUnreadable, "what has come is not what its digest says"}
		s.emit(watchers.Report{
			Outcome: outcomeRefused, Message: "the bundle " + key.digest + " of " + key.who + " is refused: it is not what its digest says",
			Payload: map[string]any{"key": key.digest, "reason": string(registry.Malformed), "detail": "it is not what its digest says", "by": key.who},
		})
		return
	}
	if err = s.keep(key.digest, u.data, store); err != nil {
		s.log.Warn("bundle_not_stored", "digest", key.digest, "by", key.who, "error", diag.Brief(err.Error(), diag.MaxBrief))
		return
	}
	s.emit(watchers.Report{
		Outcome: outcomeStored, Message: "the bundle " + key.digest + " of " + key.who,
		Payload: map[string]any{"key": key.digest, "size": int(u.size), "by": key.who},
	})
}

// keep writes until there is an answer: what a stream is asked while it has no leader is dropped in silence.
func (s *uploadShelf) keep(digest string, data []byte, store jetstream.ObjectStore) error {
	ctx, cancel := context.WithTimeout(s.ctx, storeWithin)
	defer cancel()
	for {
		once, cancel := context.WithTimeout(ctx, within(int64(len(data))))
		_, err := beside(once, func() (*jetstream.ObjectInfo, error) { return store.PutBytes(once, digest, data) })
		cancel()
		if err == nil {
			return nil
		}
		if !noLeader(err) {
			return full(s.ctx, s.js, "OBJ_"+s.bucket, s.bucket, err)
		}
		if watchers.Rest(ctx, storePause) != nil {
			return err
		}
	}
}

// within is how long one try may take that carries so many bytes.
func within(size int64) time.Duration { return askTimeout + time.Duration(size>>20)*storePerMiB }

// lastWord is the last word of a subject.
func lastWord(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
