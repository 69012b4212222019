package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	// askTimeout is for one question of clients, which are asked again: an answer that comes later finds nobody, and what a stream without a
	// leader is asked is dropped in silence.
	askTimeout = 3 * time.Second
	// maxAsked is how many questions are worked on at once, beside those that are answered from memory.
	maxAsked = 8
	// MaxPublished is the longest envelope that is taken, in bytes: it must fit into the event by which a node's machine takes it, with what
	// else that event carries.
	MaxPublished = 60 << 10
)

// Denial is why a question is not answered, in an error reply's body beside its code and text.
type Denial struct {
	Reason registry.Reason `json:"reason"`
	Detail string          `json:"detail"`
}

// denial is an answer with a code of its own.
type denial struct{ code, text string }

func (d denial) Error() string { return d.text }

// besides works on questions beside the one who hears them, a few at once.
type besides struct {
	bucket string
	log    *slog.Logger
	places chan struct{}
}

func newBesides(bucket string, log *slog.Logger) besides {
	return besides{bucket: bucket, log: log, places: make(chan struct{}, maxAsked)}
}

// answer answers with what work returns, as JSON, or with its error. Who comes while as many are worked on as may is told to come again.
func (b *besides) answer(ctx context.Context, r micro.Request, work func(ctx context.Context) (any, error)) {
	select {
	case b.places <- struct{}{}:
	default:
		messaging.AnswerBusy(r, time.Second)
		return
	}
	supervise.Go(ctx, func() {
		defer func() { <-b.places }()
		v, err := work(ctx)
		if err == nil {
			var body []byte
			if body, err = json.Marshal(v); err == nil {
				_ = r.Respond(body) // what cannot be sent is for a connection that is gone
				return
			}
		}
		b.deny(r, err)
	})
}

// deny says why there is no answer. Who asks again after messaging.CodeNotReady may have one.
func (b *besides) deny(r micro.Request, err error) {
	if own, ok := errors.AsType[denial](err); ok {
		deny(r, own.code, own.text)
		return
	}
	if refusal, ok := errors.AsType[*registry.Refusal](err); ok {
		body, _ := json.Marshal(Denial{refusal.Reason, refusal.Detail}) // two texts
		_ = r.Error(messaging.CodeRefused, refusal.Error(), body)
		return
	}
	switch {
	case errors.Is(err, errManyUploads):
		messaging.AnswerBusy(r, time.Second)
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		deny(r, messaging.CodeNotFound, "opening the bucket "+b.bucket+": "+jetstream.ErrBucketNotFound.Error())
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		deny(r, messaging.CodeConflict, errOvertaken.text)
	case noLeader(err):
		deny(r, messaging.CodeNotReady, "the stream of "+b.bucket+" has no leader at the moment; ask again")
	default:
		b.log.Warn("question_not_answered", "bucket", b.bucket, "error", diag.Brief(err.Error(), diag.MaxBrief))
		deny(r, messaging.CodeFailed, diag.Brief(err.Error(), diag.MaxBrief))
	}
}

var errOvertaken = denial{messaging.CodeConflict, "somebody else has written there meanwhile"}

// noLeader reports that nobody answered, or that who did cannot at the moment.
func noLeader(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code == 503 && !keyvalue.IsFull(err)
	}
	for _, cause := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		jetstream.ErrNoStreamResponse, errObjectSilence,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// full makes the answer for a stream that takes nothing more, with its figures if they can be had; other errors stay as they are.
func full(ctx context.Context, js jetstream.JetStream, stream, bucket string, err error) error {
	if !keyvalue.IsFull(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, failed := js.Stream(ctx, stream)
	if failed != nil || s.CachedInfo().Config.MaxBytes < 1 {
		return denial{messaging.CodeFull, fmt.Sprintf("%s takes nothing more: %v", bucket, err)}
	}
	info := s.CachedInfo()
	return denial{messaging.CodeFull, fmt.Sprintf("%s is full: it holds %d of the %d bytes that it may: %v", bucket, info.State.Bytes, info.Config.MaxBytes, err)}
}
