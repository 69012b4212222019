package inventory

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// desk answers questions about a sheet.
type desk struct {
	spec           *viewSpec
	sheet          *sheet
	subject, queue string
	look           *watchers.Look
	ready          atomic.Bool // all that the stream has was read once

	turns              chan struct{} // of those that are being answered
	waiting            atomic.Int64
	questions, refused atomic.Int64
}

func newDesk(spec *viewSpec, s *sheet, subject, queue string, look *watchers.Look) *desk {
	return &desk{spec: spec, sheet: s, subject: subject, queue: queue, look: look, turns: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// maxQuery bounds a question, in bytes.
const maxQuery = 64 << 10

// open begins to answer.
func (d *desk) open(ctx context.Context, look *watchers.Look, conn *nats.Conn) (stop func(), err error) {
	o := &opening{payload: int(conn.MaxPayload())}
	o.ctx, o.end = context.WithCancel(ctx)
	served, err := messaging.Serve(ctx, conn, messaging.Offer{Name: d.spec.Name, Subject: d.subject, Queue: d.queue, Look: look, Pending: maxArrived},
		func(r micro.Request) { d.take(o, r) })
	if err != nil {
		o.close()
		return nil, err
	}
	return func() { messaging.Leave(ctx, served); o.close() }, nil
}

// opening is the time in which a desk is asked by one connection.
type opening struct {
	ctx     context.Context
	end     func()
	payload int // of a message

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

// do runs a task beside, unless it is over.
func (o *opening) do(task func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.work.Go(func() {
			defer supervise.Recover(o.ctx)
			task()
		})
	}
}

// close ends what is being answered.
func (o *opening) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.end()
	o.work.Wait()
}

// take takes a question, which may have to wait for its turn.
func (d *desk) take(o *opening, r micro.Request) {
	if !messaging.AnswerableIn(d.spec.Inbox, d.look, r.Subject(), r.Reply()) {
		return
	}
	d.questions.Add(1)
	if d.waiting.Add(1) > int64(d.spec.Pending) {
		d.waiting.Add(-1)
		d.deny(r, errCrowd)
		return
	}
	o.do(func() { d.serve(o.ctx, r, o.payload) })
}

// maxArrived is how many questions may have come that nobody has looked at yet. That takes no time, so that it is more than may wait for a turn: who
// is dropped here hears nothing.
const maxArrived = 65536

// serve answers a question when its turn comes.
func (d *desk) serve(ctx context.Context, r micro.Request, payload int) {
	body, err := d.inTurn(ctx, r.Data(), payload)
	if err != nil {
		d.deny(r, err)
		return
	}
	if err := r.Respond(body); errors.Is(err, nats.ErrMaxPayload) {
		d.deny(r, errTooMuch)
	} // what else cannot be sent is for a connection that is gone
}

// inTurn waits for a turn and answers.
func (d *desk) inTurn(ctx context.Context, data []byte, payload int) ([]byte, error) {
	waited, cancel := context.WithTimeout(ctx, time.Duration(d.spec.Timeout))
	defer cancel()
	select {
	case d.turns <- struct{}{}:
		d.waiting.Add(-1)
	case <-waited.Done():
		d.waiting.Add(-1)
		return nil, errCrowd
	}
	defer func() { <-d.turns }()
	q, err := readQuery(data)
	if err != nil {
		return nil, err
	}
	if !d.ready.Load() {
		return nil, errNotRead
	}
	ctx, stop := context.WithTimeout(ctx, time.Duration(d.spec.Timeout))
	defer stop()
	return d.answer(ctx, q, payload)
}

// readQuery reads a question; none is about all nodes.
func readQuery(data []byte) (*Query, error) {
	q := &Query{}
	if len(data) > maxQuery {
		return nil, refusal{messaging.CodeTooLarge, "the question is larger than 64 KiB; ask for fewer fields"}
	}
	if len(data) == 0 {
		return q, nil
	}
	if err := watchers.ReadWholeRequest(data, q); err != nil {
		return nil, refusal{messaging.CodeUnreadable, "the question cannot be read: " + err.Error() + `; ask such as {"where": "facts.os.name == 'debian'"}`}
	}
	if q.Limit < 0 {
		return nil, refusal{messaging.CodeUnreadable, "limit is a number of nodes, or 0 for as many as fit"}
	}
	return q, nil
}

// refusal is an error that is told to who asks.
type refusal struct{ code, text string }

// Error implements error.
func (r refusal) Error() string { return r.text }

var (
	errNotRead = refusal{messaging.CodeNotReady, "the inventories have not been read yet; ask again"}
	errCrowd   = refusal{messaging.CodeNotReady, "too many questions are asked at once; ask again"}
	errTooLong = refusal{messaging.CodeTooLarge, "the question takes too long; ask a simpler one"}
	errTooMuch = refusal{messaging.CodeTooLarge, "the answer is larger than a message; ask for less"}
)

// deny answers with an error. A reply that cannot be sent is for a connection that is gone.
func (d *desk) deny(r micro.Request, err error) {
	d.refused.Add(1)
	known := refusal{messaging.CodeFailed, err.Error()}
	_ = errors.As(err, &known)
	_ = r.Error(known.code, diag.Brief(known.text, diag.MaxBrief), nil)
}
