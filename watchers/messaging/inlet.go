package messaging

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// The outcomes that listeners share.
const (
	outcomeListening  = "listening"
	outcomeOverflowed = "overflowed"
	outcomeUnreadable = "unreadable"
	outcomeRefused    = "refused"
	outcomeLimited    = "limited"
)

// maxArrived is how many requests may have come that nobody has looked at yet. A look takes no time, so that it is more than may wait: who is
// dropped here hears nothing.
const maxArrived = 1 << 18

const (
	confirmTimeout = 10 * time.Second // for the broker to say that it has the subscription
	maxPendingSize = 64 << 20         // bytes of messages that wait for a listener
)

var (
	errDenied  = errors.New("the broker does not permit it")
	errMoved   = errors.New("the connection was replaced")
	errSilence = errors.New("the broker does not confirm the subscription")
)

// intake is where a listener's messages come from: the properties of that name. Those that wait are in a list that grows with them, at
// most pending; a channel of that size for each subscription would take more than all else of an idle connection.
type intake struct {
	connection     string
	subject, queue watchers.Text
	pending        int
	maxSize        int // of a message in bytes; 0 is no bound
	quota          []watchers.Quota
	fields         watchers.Fields // of the body
	strict         bool            // it is for others, or decides something: all who read it read the same
}

func (i intake) check(f *findings) {
	f.subject(i.subject, true)
	f.queue(i.queue)
	f.list = append(f.list, watchers.CheckQuotas(i.quota, f.w.Properties.Get("quota"))...)
}

// inlet is one activation of a listener: it subscribes by whatever connection has the name at the moment.
type inlet struct {
	pool   *Pool
	look   *watchers.Look
	ctx    context.Context
	emit   func(watchers.Report)
	mapped map[string]bool // outcomes that the manifest does something with
	from   intake

	subject, queue string // of from, expanded

	micro bool            // it also listens to the subjects of NATS's micro
	meter *watchers.Meter // of from.quota
	// arriving is how many messages may wait in the library's list where that is more than from.pending: of a service, which has its own.
	arriving int
	// patience is how long ending a subscription may take.
	patience time.Duration

	mu      sync.Mutex
	counts  map[string]int // of outcomes
	sub     *nats.Subscription
	dropped int // of sub, as far as it was reported
}

// newInlet expands what is expected of a listener.
func newInlet(ctx context.Context, pool *Pool, look *watchers.Look, from intake, mapped map[string]bool, emit func(watchers.Report)) (*inlet, error) {
	if pool == nil {
		return nil, errNoPool
	}
	in := &inlet{pool: pool, look: look, ctx: ctx, emit: emit, mapped: mapped, from: from, counts: map[string]int{},
		patience: leaveTimeout, meter: watchers.NewMeter(from.quota)}
	var err error
	if in.subject, err = expandSubject(look, from.subject, true); err != nil {
		return nil, err
	}
	in.queue, err = expandQueue(look, from.queue)
	return in, err
}

// subscriber subscribes by a connection. stop ends that; handlers may still run for a moment.
type subscriber func(conn *nats.Conn) (stop func() error, err error)

// listen subscribes, and again by each connection that takes the place of one before, until the context ends.
func (in *inlet) listen(subscribe subscriber) watchers.Report {
	l := in.pool.join(in.look.Identity, in.from.connection)
	defer in.pool.leave(l)
	in.attach(l)
	defer in.detach(l)
	for {
		conn, err := in.pool.Wait(in.ctx, in.look.Identity, in.from.connection)
		if err == nil {
			err = in.by(l, conn, subscribe)
		}
		if in.ctx.Err() != nil {
			return watchers.Report{}
		}
		if err != nil && !errors.Is(err, errMoved) {
			return watchers.Failed(fmt.Errorf("listening to %s: %w", in.subject, err))
		}
	}
}

// by listens by one connection until it is replaced (errMoved), the broker does not permit it, or the context ends.
func (in *inlet) by(l *link, conn *nats.Conn, subscribe subscriber) error {
	stop, err := subscribe(conn)
	if err != nil {
		if s, _ := in.pool.standing(l); s.conn != conn || conn.IsClosed() {
			return errMoved
		}
		return err
	}
	defer leave(in.ctx, in.patience, stop)
	for login := 0; ; {
		s, changed := in.pool.standing(l)
		switch {
		case s.conn != conn:
			return errMoved
		case s.up && s.logins != login:
			err := in.confirm(conn)
			if err == nil {
				login = s.logins
			} else if now, _ := in.pool.standing(l); errors.Is(err, errDenied) ||
				now.up && now.conn == conn && now.logins == s.logins && !conn.IsClosed() {
				return err
			}
		}
		select {
		case <-changed:
		case <-in.ctx.Done():
			return in.ctx.Err()
		}
	}
}

// confirm waits until the broker has taken the subscription, and says so once.
func (in *inlet) confirm(conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(in.ctx, confirmTimeout)
	defer cancel()
	if _, err := within(ctx, func() (struct{}, error) { return struct{}{}, conn.FlushWithContext(ctx) }); err != nil {
		return fmt.Errorf("%w: %w", errSilence, err)
	}
	if err := denied(conn, "Subscription to "+strconv.Quote(in.subject)); err != nil {
		return err
	}
	if in.micro {
		if err := denied(conn, `Subscription to "`+micro.APIPrefix+"."); err != nil {
			return fmt.Errorf("%w; a service without it has micro: false", err)
		}
	}
	in.once(outcomeListening, watchers.Report{Message: "listening to " + in.subject})
	return nil
}

// denied reports whether the broker's last word, before it confirmed what was sent, was that it does not permit something.
func denied(conn *nats.Conn, what string) error {
	if err := conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), what) {
		return fmt.Errorf("%w: %s (the identity's token has no right for it)", errDenied, strings.TrimPrefix(err.Error(), nats.ErrPermissionViolation.Error()+": "))
	}
	return nil
}

// plain subscribes without anything around it. end ends the subscription: Drain hands over what has come, which takes another round trip
// to the broker and is for who answers it, Unsubscribe drops it.
func (in *inlet) plain(handle func(m *nats.Msg), end func(*nats.Subscription) error) subscriber {
	return func(conn *nats.Conn) (func() error, error) {
		// Without a queue it is as Subscribe.
		sub, err := conn.QueueSubscribe(in.subject, in.queue, func(m *nats.Msg) {
			defer supervise.Recover(in.ctx)
			handle(m)
		})
		if err != nil {
			return nil, fmt.Errorf("subscribing: %w", err)
		}
		if err := sub.SetPendingLimits(max(in.from.pending, in.arriving), maxPendingSize); err != nil {
			return nil, errors.Join(err, sub.Unsubscribe())
		}
		return func() error { return end(sub) }, nil
	}
}

// read reads a message, of whose body it leaves what is declared. In JSON it takes at most limit bytes.
func (in *inlet) read(d delivery, limit int) (map[string]any, error) {
	message, err := d.read(limit)
	if err != nil {
		return nil, err
	}
	if in.from.strict {
		if err := watchers.Alike(d.data, message[bodyKey]); err != nil {
			return nil, err
		}
	}
	message[bodyKey], err = in.from.fields.Read(message[bodyKey])
	return message, err
}

// once reports an outcome the first time only.
func (in *inlet) once(outcome string, rep watchers.Report) {
	in.mu.Lock()
	first := in.counts[outcome] == 0
	in.mu.Unlock()
	if first {
		in.tell(outcome, rep)
	}
}

// count notes what is not worth a report.
func (in *inlet) count(outcome string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counts[outcome]++
}

// tell counts an outcome and reports it. One that the manifest does nothing with is reported the 1st, 2nd, 4th, 8th ... time: enough to be
// seen, and no load for the machine.
func (in *inlet) tell(outcome string, rep watchers.Report) {
	in.mu.Lock()
	in.counts[outcome]++
	told := in.ctx.Err() == nil && (in.mapped[outcome] || bits.OnesCount(uint(in.counts[outcome])) == 1)
	if told {
		rep.Outcome, rep.State, rep.Quiet = outcome, in.state(), true
	}
	in.mu.Unlock()
	if told {
		in.emit(rep)
	}
}

// counted is how often each outcome was.
func (in *inlet) counted() map[string]any {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.state()
}

// state is the state event's part: how often each outcome was; under the lock.
func (in *inlet) state() map[string]any {
	s := map[string]any{"subject": in.subject}
	for outcome, n := range in.counts {
		if outcome != outcomeListening {
			s[outcome] = n
		}
	}
	return s
}

// unreadable reports a message that cannot be an event's payload.
func (in *inlet) unreadable(subject string, err error) {
	in.tell(outcomeUnreadable, unusable(subject, err.Error()))
}

// unusable is the report of a message that nothing can be done with. Whoever may send can send such, so that it is no failure of the machine.
func unusable(subject, reason string) watchers.Report {
	subject, reason = diag.Brief(subject, quoted), diag.Brief(reason, diag.MaxBrief)
	return watchers.Report{
		Outcome: outcomeUnreadable, Message: "a message to " + subject + ": " + reason, Payload: map[string]any{"subject": subject, "reason": reason},
	}
}

func unreadablePayload() map[string]machine.ValueType {
	return map[string]machine.ValueType{"subject": machine.String, "reason": machine.String}
}
