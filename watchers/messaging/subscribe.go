package messaging

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// subscribeSpec is the properties of a subscribe watcher.
type subscribeSpec struct {
	// Connection names the connection that messages come by.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is what is listened to; * is any one word and > at the end any rest.
	Subject watchers.Text `yaml:"subject,required"`
	// Queue makes each message go to one of those who name the same queue.
	Queue watchers.Text `yaml:"queue"`
	// Pending is how many messages may wait; those beyond are dropped, counted and reported.
	Pending int `yaml:"pending" default:"8192" min:"1" max:"1048576"`
	// MaxSize bounds a message in bytes, with its subject and headers, such as 16KiB; a larger one is unreadable. Absent is no bound but
	// that of a message that can be read.
	MaxSize watchers.Bytes `yaml:"max_size" empty:"refused"`
	// Quota is how much is taken of each who is counted, such as
	// [{by: "message.tokens[1]", rate: 1/s, burst: 100}]. A message must have room in all of them; one that has not is left out and counted.
	Quota []watchers.Quota `yaml:"quota" empty:"refused"`
	// Fields are what a message's body is: a JSON object with these fields, each of a type and a size, such as
	// [{name: node, type: text, max_size: 253}]. One that is another is unreadable. What is not declared is left out, so that nothing reads it and nothing of it is passed on.
	Fields []watchers.Field `yaml:"fields" empty:"refused"`
	// Where is a condition on the message; one for which it is false or has no answer is left out. So is one that would be passed on as it
	// came, and of which others may read something else: its JSON body has a key twice in an object, or keys that differ in case alone, NUL, half of a surrogate pair, or a
	// number such as 1e400. With fields it is so for every message.
	Where *watchers.Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// Forward passes messages on in place of firing an event for each.
	Forward *forwardSpec `yaml:"forward"`

	fields watchers.Fields // Fields, read
}

// forwardSpec says where messages are passed on to.
type forwardSpec struct {
	// Connection names the connection to send by.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is an expression for where the message goes, such as 'choria.' + message.tokens[3].
	Subject *watchers.Formula `yaml:"subject,required" gives:"text"`
	// Body is an expression for the body; by default the message goes on as it came, without the headers that would tell the broker what
	// to do (Nats-...). Where fields are declared it is written anew, as a JSON object of these, and no header goes on.
	Body *watchers.Formula `yaml:"body"`
	// Acknowledged sends to a stream, several times within four seconds where that does not answer, and tells who sent a message with a reply
	// subject what has become of it: the stream's acknowledgement, {"stream": "EVENTS", "seq": 7}, or an error with a code, 503 or 429 where
	// telling it again may help and 400 where it does not.
	Acknowledged bool `yaml:"acknowledged"`
	// ID is an expression for what a message is known by, a text: one that its sender tells again, because nobody answered, has the same. A
	// stream with a duplicates window stores it once. It goes with acknowledged; where it is "" every message is another.
	ID *watchers.Formula `yaml:"id" gives:"text" empty:"refused"`
	// Inbox is an expression, over the message's subject and tokens, for what its reply subject must begin with; by default "_INBOX.". One that
	// wants its answer elsewhere is refused: the answer would be published with the rights of who passes it on. It goes with acknowledged.
	Inbox *watchers.Formula `yaml:"inbox" gives:"text" empty:"refused"`
	// Window is how many messages may wait for the stream's acknowledgement. It goes with acknowledged.
	Window int `yaml:"window" default:"1024" min:"1" max:"65536"`
}

func (s *subscribeSpec) intake() intake {
	return intake{connection: s.Connection, subject: s.Subject, queue: s.Queue, pending: s.Pending, maxSize: int(s.MaxSize), quota: s.Quota, fields: s.fields,
		strict: s.fields.Declared() || s.Where != nil && s.Forward != nil && s.Forward.Body == nil}
}

// Validate checks the subject and the queue.
func (s *subscribeSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := findings{w: w}
	s.intake().check(&f)
	s.fields = f.fields(s.Fields)
	if s.Forward == nil || s.Forward.Acknowledged {
		return f.list
	}
	forward := w.Properties.Get("forward")
	for _, key := range []string{"id", "inbox", "window"} {
		if n := forward.Get(key); n != nil {
			f.list.Add(diag.Error, CodeTogether, n.Pos, "add acknowledged: true, or leave out "+key, "%s: it says nothing of messages that are not acknowledged", key)
		}
	}
	return f.list
}

func subscribeType(pool *Pool) watchers.Type {
	outcomes := listenerOutcomes(
		machine.Outcome{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: messagePayload(), Doc: "a message; none with forward"},
		machine.Outcome{Name: machine.OutcomeFail, Class: machine.Failure,
			Doc: "the broker does not permit the subscription, or messages cannot be passed on, once until they can"},
		machine.Outcome{Name: outcomeLagging, Class: machine.Neutral, Payload: unreadablePayload(),
			Doc: "the stream did not take a message, which is told who sent it; with acknowledged, once until it takes messages again"},
		machine.Outcome{Name: outcomeCaughtUp, Class: machine.Neutral,
			Doc: "the stream takes messages again; with acknowledged"},
		machine.Outcome{Name: outcomeRefused, Class: machine.Neutral, Payload: unreadablePayload(),
			Doc: "a message for which where is false, or has no answer; with forward"},
		machine.Outcome{Name: outcomeForwarded, Class: machine.Neutral, Payload: map[string]machine.ValueType{"subject": machine.String},
			Doc: "a message was passed on"},
	)
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{Name: "subscribe", Outcomes: outcomes},
		Summary:     "Fires an event for each message of a subject, or passes the messages on.",
	}, func(spec *subscribeSpec, w *machine.WatcherSpec) *watchers.Prepared {
		does := mapped(w, outcomes)
		return &watchers.Prepared{New: func() watchers.Watcher { return &subscription{spec: spec, pool: pool, mapped: does} }}
	})
}

type subscription struct {
	spec   *subscribeSpec
	pool   *Pool
	mapped map[string]bool
}

// Listen takes messages until the context ends.
func (s *subscription) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	in, err := newInlet(ctx, s.pool, look, s.spec.intake(), s.mapped, emit)
	if err != nil {
		return watchers.Failed(err)
	}
	if s.spec.Forward != nil {
		f := &forwarding{spec: s.spec, inlet: in}
		in.patience = lastWords
		defer f.end()
		return in.listen(in.plain(func(m *nats.Msg) { // also when ctx has ended: what the broker has sent nobody else hears
			f.take(in, m)
			in.caughtUp()
		}, drained))
	}
	return in.listen(in.plain(func(m *nats.Msg) {
		if ctx.Err() == nil && in.admits(m) {
			s.fire(in, m)
			in.caughtUp()
		}
	}, (*nats.Subscription).Unsubscribe))
}

// fire reports one message.
func (s *subscription) fire(in *inlet, m *nats.Msg) {
	message, err := in.read(deliveryOf(m), machine.MaxPayload)
	if err != nil {
		in.unreadable(m.Subject, err)
		return
	}
	if holds, err := s.spec.Where.Holds(in.look, message); err != nil || !holds {
		in.count(outcomeRefused)
		return
	}
	in.tell(machine.OutcomeSuccess, watchers.Report{Payload: message})
}
