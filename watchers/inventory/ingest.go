package inventory

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	outcomeRefused  = "refused"
	outcomeLagging  = "lagging"
	outcomeCaughtUp = "caught_up"
)

var errNoPool = errors.New("this program has no connections; run the machine in an overlay host")

// ingestSpec is the properties of an ingest watcher. Its expressions see message: subject, tokens, headers and the body as a text.
type ingestSpec struct {
	// Connection names the connection that messages come by and go to the stream by.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is what is listened to; * is any one word and > at the end any rest.
	Subject watchers.Text `yaml:"subject,required"`
	// Queue makes each message go to one of those who name the same queue.
	Queue watchers.Text `yaml:"queue"`
	// Where is a condition on the message; one for which it is false or has no answer is refused, counted and reported.
	Where *watchers.Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// To is an expression for the subject that the stream keeps the message under.
	To *watchers.Formula `yaml:"to,required" gives:"text"`
	// Sender is an expression for who the message is from.
	Sender *watchers.Formula `yaml:"sender,required" gives:"text"`
	// ID is an expression for what a message is known by, a text: one that its sender tells again, because nobody answered, has the same. A
	// stream with a duplicates window stores it once. By default, and where it is "", every message is another.
	ID *watchers.Formula `yaml:"id" gives:"text" empty:"refused"`
	// Inbox is an expression, over the message's subject and tokens, for what its reply subject must begin with; by default "_INBOX.". A message
	// that wants its answer elsewhere is refused: the answer would be published with the rights of who takes in, which the sender may not have.
	Inbox *watchers.Formula `yaml:"inbox" gives:"text" empty:"refused"`
	// Format is the document that is written.
	Format string `yaml:"format" default:"choria_streams" enum:"choria_streams|jetstream"`
	// Pending is how many messages may wait to be sent; those beyond are dropped and counted.
	Pending int `yaml:"pending" default:"16384" min:"1" max:"1048576"`
	// Window is how many messages may be sent without the stream having acknowledged them.
	Window int `yaml:"window" default:"4096" min:"1" max:"65536"`
	// MaxSize bounds a message in bytes, such as 256KiB; a larger one is refused. Absent is no bound.
	MaxSize watchers.Bytes `yaml:"max_size" empty:"refused"`
	// Quota is how much is taken of each who is counted, such as
	// [{by: "message.tokens[1]", rate: 6/m, burst: 20}]; one that has no room in all of them is refused.
	Quota []watchers.Quota `yaml:"quota" empty:"refused"`
	// Fields are what a message's body is: a JSON object with these fields, each of a type and a size. One that is another is refused. What the stream
	// keeps is written anew of them; what is not declared is left out. Without it the body goes on as it came.
	Fields []watchers.Field `yaml:"fields" empty:"refused"`

	fields watchers.Fields // Fields, read
}

// CodeIngestSubject is a subject or queue of an ingest watcher that cannot be.
const CodeIngestSubject diag.Code = "SC465"

var heardSubject = regexp.MustCompile(`^[^.\s>]+(\.[^.\s>]+)*(\.>)?$|^>$`)

// Validate checks subjects.
func (s *ingestSpec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	if s.Subject.Fails(heardSubject.MatchString) {
		list.Add(diag.Error, CodeIngestSubject, w.Properties.Get("subject").Pos, "a subject is words that a dot separates, such as node.*.out.inventory", "subject: %q is nothing to listen to", s.Subject)
	}
	if s.Queue.Fails(func(queue string) bool { return !strings.ContainsAny(queue, " \t\r\n") }) {
		list.Add(diag.Error, CodeIngestSubject, w.Properties.Get("queue").Pos, "write one word", "queue: %q is not the name of a queue", s.Queue)
	}
	fields, found := watchers.CompileFields(s.Fields, w.Properties.Get("fields"))
	s.fields = fields
	return append(append(list, watchers.CheckQuotas(s.Quota, w.Properties.Get("quota"))...), found...)
}

func ingestType(s Services) watchers.Type {
	counts := map[string]machine.ValueType{
		"received": machine.Integer, "stored": machine.Integer, "refused": machine.Integer, "dropped": machine.Integer, "waiting": machine.Integer,
	}
	metrics := newMetrics(s.Metrics)
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "ingest", On: []machine.Place{machine.OnOverlay},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Doc: "it listens, from now on"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "it cannot listen"},
				{Name: outcomeRefused, Class: machine.Neutral, Payload: counts, Doc: "messages were refused since the last report, which says why the last was"},
				{Name: outcomeLagging, Class: machine.Neutral, Payload: counts, Doc: "messages were dropped since the last report"},
				{Name: outcomeCaughtUp, Class: machine.Neutral, Payload: counts, Doc: "nothing is dropped any more"},
			},
		},
		Summary: "Takes messages into a stream, as Choria's adapters do.",
	}, func(spec *ingestSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &ingest{spec: spec, services: s, metrics: metrics} }}
	})
}

type ingest struct {
	spec     *ingestSpec
	services Services
	metrics  *metrics
}

const (
	reportEvery = 10 * time.Second
	pause       = 2 * time.Second // before another try to listen
)

// Listen takes messages in until the context ends, by whatever connection has the name.
func (i *ingest) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if i.services.Pool == nil {
		return watchers.Failure(errNoPool.Error())
	}
	subject, err := look.Expand(i.spec.Subject)
	if err != nil {
		return watchers.Failed(fmt.Errorf("subject: %w", err))
	}
	queue, err := look.Expand(i.spec.Queue)
	if err != nil {
		return watchers.Failed(fmt.Errorf("queue: %w", err))
	}
	tally := i.metrics.tally(look, emit)
	for ctx.Err() == nil {
		conn, err := i.services.Pool.Wait(ctx, look.Identity, i.spec.Connection)
		if err == nil {
			err = i.by(ctx, look, conn, subject, queue, tally)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		emit(watchers.Failed(fmt.Errorf("taking in %s: %w", subject, err)))
		_ = watchers.Rest(ctx, pause)
	}
	return watchers.Report{}
}

// by takes messages in by one connection until it is closed or the context ends.
func (i *ingest) by(ctx context.Context, look *watchers.Look, conn *nats.Conn, subject, queue string, t *tally) error {
	out, err := newOutlet(ctx, conn, i.spec, t)
	if err != nil {
		return err
	}
	closed := conn.StatusChanged(nats.CLOSED) // before it is used, so that the end is not missed
	inbox := make(chan *nats.Msg, i.spec.Pending)
	sub, err := conn.ChanQueueSubscribe(subject, queue, inbox)
	if err != nil {
		conn.RemoveStatusListener(closed)
		return unlessClosed(conn, fmt.Errorf("subscribing: %w", err))
	}
	defer func() {
		conn.RemoveStatusListener(closed)
		for _, m := range left(conn, sub, inbox, t) {
			t.came()
			out.take(look, m)
		}
		out.settle(ctx)
	}()
	if err := flush(ctx, conn); err != nil { // until then the broker may not know that anybody listens
		return unlessClosed(conn, fmt.Errorf("subscribing: %w", err))
	}
	t.emit(watchers.Report{Outcome: machine.OutcomeSuccess, Message: "taking in " + subject})
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case m := <-inbox:
			t.came()
			out.take(look, m)
		case <-ticker.C:
			t.overflowed(sub)
			t.report()
		case <-closed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// left is what the broker had sent and was not taken, when no more is to come. What there was no room for is counted.
func left(conn *nats.Conn, sub *nats.Subscription, inbox <-chan *nats.Msg, t *tally) []*nats.Msg {
	if !conn.IsConnected() {
		_ = sub.Unsubscribe() // what was on its way by a connection that is gone is lost with it
		return waiting(inbox)
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	_ = flush(ctx, conn) // all that the broker has sent is in the inbox now, or there was no room for it
	t.overflowed(sub)    // a subscription that has ended does not say it any more
	all := waiting(inbox)
	if sub.Drain() == nil {
		_ = flush(ctx, conn) // what came until the broker heard that no more is wanted finds an inbox that is empty
	}
	return append(all, waiting(inbox)...)
}

// waiting empties an inbox.
func waiting(inbox <-chan *nats.Msg) (all []*nats.Msg) {
	for {
		select {
		case m := <-inbox:
			all = append(all, m)
		default:
			return all
		}
	}
}

// flushTimeout is how long a broker may take to say that it has read what was sent to it.
const flushTimeout = 10 * time.Second

func flush(ctx context.Context, conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return conn.FlushWithContext(ctx)
}
