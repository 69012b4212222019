package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	objectRange    = 256 << 10 // bytes of one request, at most
	firstRange     = 64 << 10  // of the first ones
	leastRange     = 16 << 10
	objectAhead    = 4 // requests in flight
	objectAttempts = 6 // at one range, where no answer comes or it is to be asked again
)

// A range that took less than a tenth of the time that there is for it may be followed by one of twice the size, and one that took more than half of it
// by one of half the size. Otherwise the answers of a slow line come too late for ever, and what else the line carries behind them: the broker's answers
// to pings.
const quickPart, slowPart = 10, 2

// objectPause is how long to wait where nobody listens: a host that ends, or one that starts.
const objectPause = time.Second

// The headers of an answer.
const (
	headerObjectSize   = "Statecraft-Size"   // of the whole object
	headerObjectOffset = "Statecraft-Offset" // of this part of it
)

var (
	errOtherObject = errors.New("the object was replaced while it was downloaded")
	errOddAnswer   = errors.New("the answer is not what was asked for")
)

// objectFetch downloads one object by ranges, which any host of the overlay answers.
type objectFetch struct {
	conn         *nats.Conn
	subject      string
	bucket, name string
	wait         time.Duration // for one answer
	into         *spool

	mu     sync.Mutex
	next   int64 // offset that nobody has asked for
	size   int64
	length int64 // of the ranges that are asked for next
}

// ObjectQuery asks for a part of an object.
type ObjectQuery struct {
	Name   string `json:"name" most:"256"`
	Bucket string `json:"bucket" most:"256"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

func (a *archive) fetchObject(ctx context.Context, look *watchers.Look, into *spool, most int64) error {
	conn, err := a.services.Pool.Conn(look.Identity, a.spec.Connection)
	if err != nil {
		return err
	}
	source := a.want.source
	subject := "node." + identity.Identity(look.Identity).Token() + ".out.bundle"
	if a.services.Bundles != nil {
		subject = a.services.Bundles(look.Identity)
	}
	f := &objectFetch{
		conn: conn, subject: subject,
		bucket: source.Host, name: strings.TrimPrefix(source.Path, "/"), wait: a.spec.Timeout.Std(), into: into,
		length: firstRange,
	}
	if err := f.all(ctx, most); err != nil {
		return fmt.Errorf("asking the overlay for %s: %w", source, err)
	}
	return nil
}

// all asks for the first range, which says how large the object is, and then for several at once.
func (f *objectFetch) all(ctx context.Context, most int64) error {
	first, size, err := f.ask(ctx, 0, firstRange)
	if err != nil {
		return err
	}
	if size > most {
		return fmt.Errorf("it has %d bytes, %d are allowed: %w", size, most, registry.ErrLimit)
	}
	f.size, f.next = size, int64(len(first))
	if _, err := f.into.WriteAt(first, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var askers sync.WaitGroup
	for range objectAhead {
		askers.Go(func() {
			defer supervise.Recover(ctx)
			if err := f.rest(ctx); err != nil {
				cancel(err)
			}
		})
	}
	askers.Wait()
	return context.Cause(ctx)
}

// rest takes one range after the other.
func (f *objectFetch) rest(ctx context.Context) error {
	for {
		from, to := f.take()
		for from < to {
			part, size, err := f.ask(ctx, from, to-from)
			switch {
			case err != nil:
				return err
			case size != f.size:
				return errOtherObject
			}
			if _, err := f.into.WriteAt(part, from); err != nil {
				return err
			}
			from += int64(len(part))
		}
		if to == f.size {
			return nil
		}
	}
}

// take hands out the next range; an empty one at the end.
func (f *objectFetch) take() (from, to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from = f.next
	f.next = min(f.size, from+f.length)
	return from, f.next
}

// measure learns from how long a range took.
func (f *objectFetch) measure(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case took < f.wait/quickPart:
		f.length = min(objectRange, 2*f.length)
	case took > f.wait/slowPart:
		f.length = max(leastRange, f.length/2)
	}
}

// shorter is how much of a range is to be asked for now.
func (f *objectFetch) shorter(length int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return min(length, f.length)
}

// ask gets at most length bytes from an offset, and at least one unless that is the end.
func (f *objectFetch) ask(ctx context.Context, offset, length int64) (part []byte, size int64, err error) {
	var answer *nats.Msg
	for try := 1; try <= objectAttempts; try++ {
		length = f.shorter(length)
		answer, err = f.once(ctx, ObjectQuery{f.name, f.bucket, offset, length})
		if ctx.Err() != nil {
			break
		}
		after, passes := objectPause, errors.Is(err, nats.ErrNoResponders)
		if err == nil {
			if after, passes = messaging.Busy(answer); !passes {
				break
			}
		}
		if passes && try < objectAttempts { // silence took its time already
			_ = watchers.Rest(ctx, min(after, f.wait))
		}
	}
	if err != nil {
		return nil, 0, err
	}
	return ReadRange(answer, offset, length)
}

// ReadRange reads the answer to a question for at most length bytes from an offset.
func ReadRange(answer *nats.Msg, offset, length int64) (part []byte, size int64, err error) {
	if code := answer.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, 0, fmt.Errorf("it answers %.20q: %.200q", code, answer.Header.Get(micro.ErrorHeader))
	}
	size, err = strconv.ParseInt(answer.Header.Get(headerObjectSize), 10, 64)
	at, bad := strconv.ParseInt(answer.Header.Get(headerObjectOffset), 10, 64)
	n := int64(len(answer.Data))
	if err != nil || bad != nil || at != offset || n > length || offset+n > size || n == 0 && offset < size {
		return nil, 0, errOddAnswer
	}
	return answer.Data, size, nil
}

// once asks once. It gets away when ctx ends, although nats.go holds a connection's lock while it dials.
func (f *objectFetch) once(ctx context.Context, q ObjectQuery) (*nats.Msg, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	began := time.Now()                             //nolint:forbidigo // a line has no other clock
	defer func() { f.measure(time.Since(began)) }() //nolint:forbidigo // see above
	answer, err := beside(within, func() (*nats.Msg, error) { return f.conn.RequestWithContext(within, f.subject, body) })
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("nobody there answers: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("no answer in %s: %w", f.wait, err)
	}
	return answer, err
}
