package publication

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/delivery"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// The causes of what the cell does not do at the moment.
var (
	// ErrSilent is the cause where the cell's streams did not answer for as long as the caller waited.
	ErrSilent = errors.New("the cell's streams do not answer: they may have no leader at the moment, as when a host has died, or too many hosts are away")
	// ErrNobody is the cause where no host of the cell has the service that was asked.
	ErrNobody = errors.New("no host of the cell answers")
	// ErrFull is the cause where a stream of the cell takes nothing more, which time does not change.
	ErrFull = errors.New("there is no room")
)

// The services of the cell, by the last words of the subjects below which they are asked (manifests/overlay/registry.yaml).
const (
	revisionsService = "registry"
	objectsService   = "bundle"
	publishService   = "publish"
	storeService     = "store"
)

const (
	tryTimeout = 4 * time.Second        // for one answer; hosts try for 3 s
	tryPause   = 200 * time.Millisecond // before it is asked again
	tryPerMiB  = 2 * time.Second        // more for what a bundle is read for
	longestTry = 5 * time.Second        // to stay away for, whatever a host that is busy says
)

// laterError is that of a service that is to be asked again.
type laterError struct {
	text  string
	after time.Duration
}

func (e *laterError) Error() string { return e.text }

// IsFull reports that a stream, or the broker that keeps it, has no room.
func IsFull(err error) bool { return errors.Is(err, ErrFull) || keyvalue.IsFull(err) }

// again asks until there is an answer, or ctx ends: what a stream is asked while it has no leader is dropped in silence, and has to be asked
// again. The error is then ErrSilent or, where no host has the service, ErrNobody.
func again[T any](ctx context.Context, try time.Duration, ask func(ctx context.Context) (T, error)) (T, error) {
	for {
		once, cancel := context.WithTimeout(ctx, try)
		v, err := ask(once)
		cancel()
		if err == nil || !silent(err) {
			return v, err
		}
		if pause(ctx, err) != nil {
			return v, gaveUp(err)
		}
	}
}

// pause waits before something is asked again, for as long as who answered wants; the error is that ctx has ended.
func pause(ctx context.Context, after error) error {
	d := tryPause
	if later, ok := errors.AsType[*laterError](after); ok {
		d = min(cmp.Or(later.after, d), longestTry)
	}
	return watchers.Rest(ctx, d)
}

// gaveUp says why there was no answer for as long as anybody waited.
func gaveUp(err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w (%w)", ErrNobody, err)
	}
	return fmt.Errorf("%w (%w)", ErrSilent, err)
}

// silent reports that nobody answered, or that who did cannot at the moment.
func silent(err error) bool {
	if _, later := errors.AsType[*laterError](err); later {
		return true
	}
	for _, cause := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// ask asks a service once and reads its answer.
func (s *Shelf) ask(ctx context.Context, service string, question, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	m, err := s.request(ctx, &nats.Msg{Subject: s.subject(service), Data: body})
	if err != nil {
		return err
	}
	return read(m, answer)
}

// read reads an answer, or why there is none.
func read(m *nats.Msg, answer any) error {
	if err := denied(m); err != nil {
		return err
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("the answer cannot be read: do this program and the cell's hosts have the same version? %w", err)
	}
	return nil
}

// denied is why there is no answer, nil where a message is one.
func denied(m *nats.Msg) error {
	code, text := m.Header.Get(micro.ErrorCodeHeader), m.Header.Get(micro.ErrorHeader)
	switch code {
	case "":
		return nil
	case messaging.CodeRefused:
		var d delivery.Denial
		if err := json.Unmarshal(m.Data, &d); err != nil {
			return errors.New(text)
		}
		return fmt.Errorf("the cell's host: %w", &registry.Refusal{Reason: d.Reason, Detail: d.Detail})
	case messaging.CodeNotFound:
		return fmt.Errorf("%w: %s", errAbsent, text)
	case messaging.CodeConflict:
		return fmt.Errorf("%s: %w", text, ErrOvertaken)
	case messaging.CodeTooLarge:
		return ErrTooLarge
	case messaging.CodeFull:
		return fmt.Errorf("%s: %w", text, ErrFull)
	case messaging.CodeBusy, messaging.CodeNotReady:
		seconds, _ := strconv.Atoi(m.Header.Get("Retry-After")) // 0 where it does not say
		return &laterError{text, time.Duration(max(seconds, 0)) * time.Second}
	default:
		return fmt.Errorf("%s (code %s)", text, code)
	}
}

// errAbsent is what a service says that has no bucket, object or upload of the kind.
var errAbsent = errors.New("not there")

// page asks what the bucket has.
func (s *Shelf) page(ctx context.Context, q delivery.RevisionsQuery) (*delivery.RevisionsAnswer, error) {
	a, err := again(ctx, tryTimeout, func(ctx context.Context) (*delivery.RevisionsAnswer, error) {
		a := &delivery.RevisionsAnswer{}
		return a, s.ask(ctx, revisionsService, q, a)
	})
	if errors.Is(err, errAbsent) {
		err = fmt.Errorf("opening the bucket %s: %w", SpecsBucket, jetstream.ErrBucketNotFound)
	}
	return a, err
}

// get is what the bucket has under a key, the mark of a deletion included; found is false where it never had anything, or has purged it.
func (s *Shelf) get(ctx context.Context, key string) (e delivery.Revision, found bool, err error) {
	a, err := s.page(ctx, delivery.RevisionsQuery{Key: key})
	if err != nil || len(a.Entries) == 0 {
		return e, false, err
	}
	return a.Entries[0], true, nil
}

// history is all that is kept of a key, the oldest first.
func (s *Shelf) history(ctx context.Context, key string) (all []delivery.Revision, err error) {
	q := delivery.RevisionsQuery{Key: key, History: true}
	for {
		a, err := s.page(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, a.Entries...)
		if !a.More || len(a.Entries) == 0 {
			return all, nil
		}
		q.Revision = all[len(all)-1].Revision
	}
}

// put writes over a revision, 0 for nothing or a mark of deletion, and returns the new one.
func (s *Shelf) put(ctx context.Context, key string, envelope []byte, revision uint64) (uint64, error) {
	a, err := again(ctx, tryTimeout, func(ctx context.Context) (*delivery.PublicationAnswer, error) {
		a := &delivery.PublicationAnswer{}
		return a, s.ask(ctx, publishService, delivery.PublicationQuery{Key: key, Revision: revision, Envelope: envelope}, a)
	})
	if errors.Is(err, errAbsent) {
		err = fmt.Errorf("opening the bucket %s: %w", SpecsBucket, jetstream.ErrBucketNotFound)
	}
	return a.Revision, err
}
