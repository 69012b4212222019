package messaging

import (
	"cmp"
	"context"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// serviceSpec is the properties of a service watcher.
type serviceSpec struct {
	// Connection names the connection that requests come by.
	Connection string `yaml:"connection" default:"fleet"`
	// Name is the service's name: letters, digits, _ and -.
	Name string `yaml:"name,required"`
	// Subject is what requests are sent to; * is any one word and > at the end any rest.
	Subject watchers.Text `yaml:"subject,required"`
	// Queue makes each request go to one of those who name the same queue; by default the service's name.
	Queue watchers.Text `yaml:"queue"`
	// Pending is how many requests may wait; those beyond are answered at once with an error, code 429, counted and reported.
	Pending int `yaml:"pending" default:"8192" min:"1" max:"1048576"`
	// MaxSize bounds a message in bytes, with its subject and headers, such as 16KiB; a larger request is answered with an error of code 413. Absent is no bound but
	// that of a message that can be read.
	MaxSize watchers.Bytes `yaml:"max_size" empty:"refused"`
	// Quota is how much is taken of each who is counted, such as
	// [{by: "message.tokens[1]", rate: 1/s, burst: 100}]. A message must have room in all of them; a request that has not is
	// answered with an error of code 429, with the seconds after which there is room in the header Retry-After.
	Quota []watchers.Quota `yaml:"quota" empty:"refused"`
	// Fields are what a message's body is: a JSON object with these fields, each of a type and a size, such as
	// [{name: node, type: text, max_size: 253}]. One that is another is answered with an error, code 400. What is not declared is left out, so that nothing reads it.
	// With and without fields a body is refused of which others may read something else: a key twice, or in another case, NUL, half of a surrogate pair, or a number such as 1e400.
	Fields []watchers.Field `yaml:"fields" empty:"refused"`
	// Micro makes it a service that "nats micro ls", info and stats know. Nodes may not: they need false.
	Micro bool `yaml:"micro" default:"true"`
	// Inbox is an expression, over the request's subject and tokens, for what its reply subject must begin with; by default "_INBOX.". A request that
	// wants its answer elsewhere is dropped: it would be published with the service's rights, which the asker may not have.
	Inbox *watchers.Formula `yaml:"inbox" gives:"text" empty:"refused"`
	// Where is a condition on the request; one for which it is false is answered with an error, code 403.
	Where *watchers.Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// Refusal is an expression, in place of where, for why a request is refused, a text, which is answered with the error, code 403; "" where it is taken.
	Refusal *watchers.Formula `yaml:"refusal" gives:"text" empty:"refused"`
	// Reply is an expression for the answer, which is given at once: a text as it is, everything else as JSON. It, as where, sees the machine's state
	// and data as they are at the request. Without reply, spawn and relay the
	// request is the event's payload, and a publish watcher answers to its reply subject.
	Reply *watchers.Formula `yaml:"reply"`
	// Spawn starts an instance for each request, which is to answer it.
	Spawn *serviceSpawn `yaml:"spawn"`
	// Relay passes each request on to another subject, and what is answered there back to its asker.
	Relay *serviceRelay `yaml:"relay"`

	fields watchers.Fields // Fields, read
}

// serviceSpawn says which instance answers.
type serviceSpawn struct {
	// Template is the name of the manifest that instances are started of.
	Template string `yaml:"template,required"`
	// Key is an expression for the instance's name among those of its template, a text. While one of that name runs, another request for it
	// is answered with an error, code 409.
	Key *watchers.Formula `yaml:"key,required" gives:"text"`
	// Input is an expression for what the instance is started with, a mapping; by default the request, with its reply subject.
	Input *watchers.Formula `yaml:"input" gives:"mapping"`
	// Limit is how many instances of the template may run at once, 0 is no limit; a request beyond is answered with an error, code 429.
	Limit int `yaml:"limit" empty:"refused" min:"0"`
	// For is an expression for whom the instance is, such as message.tokens[1], a text.
	For *watchers.Formula `yaml:"for" gives:"text" empty:"refused"`
	// LimitFor is how many instances of the template may run at once for the same, 0 is no limit; a request beyond is answered
	// with an error, code 429.
	LimitFor int `yaml:"limit_for" empty:"refused" min:"0"`
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (s *serviceSpec) intake() intake {
	return intake{connection: s.Connection, subject: s.Subject, queue: cmp.Or(s.Queue, watchers.PlainText(s.Name)), pending: s.Pending, maxSize: int(s.MaxSize), quota: s.Quota, fields: s.fields,
		strict: true}
}

// Validate holds the properties against each other.
func (s *serviceSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := findings{w: w}
	from := s.intake()
	from.queue = s.Queue // without one it is the name, which is checked below
	from.check(&f)
	s.fields = f.fields(s.Fields)
	if !serviceName.MatchString(s.Name) {
		f.add("name", CodeName, "a service's name has letters, digits, _ and - only", "name: %q is not a service's name", s.Name)
	}
	if s.Spawn != nil {
		f.shares(w.Properties.Get("spawn"), s.Spawn.For, s.Spawn.LimitFor)
	}
	if s.Relay != nil {
		f.shares(w.Properties.Get("relay"), s.Relay.For, s.Relay.LimitFor)
	}
	if s.Refusal != nil && s.Where != nil {
		f.add("refusal", CodeTogether, `leave out where: refusal is "" for what is taken`, "where and refusal are both given")
	}
	if s.Reply != nil && s.Spawn != nil {
		f.add("spawn", CodeTogether, "leave out one of them: either the watcher answers or the instance", "reply and spawn are both given")
	}
	if s.Relay != nil && (s.Reply != nil || s.Spawn != nil) {
		f.add("relay", CodeTogether, "leave out one of them: one alone answers", "relay is given together with reply or spawn")
	}
	if s.Reply == nil && s.Spawn == nil && s.Relay == nil && w.SuccessTransition == "" && w.On[machine.OutcomeSuccess] == "" {
		f.add("reply", CodeTogether, "give reply, spawn or relay, or a success_transition to a state in which a publish watcher answers", "nobody answers the requests")
	}
	return f.list
}

func serviceType(pool *Pool, spawner watchers.Spawner) watchers.Type {
	key := map[string]machine.ValueType{"key": machine.String}
	outcomes := listenerOutcomes(
		machine.Outcome{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: messagePayload(),
			Doc: "a request was taken: it was answered by reply, an instance was started for it, it was passed on, or it waits for an answer"},
		machine.Outcome{Name: machine.OutcomeFail, Class: machine.Failure,
			Doc: "an instance cannot be started, or an answer not sent, and the request was answered with an error of code 500; or the broker does not permit the subscription"},
		machine.Outcome{Name: outcomeRefused, Class: machine.Neutral, Payload: unreadablePayload(),
			Doc: "a request for which where is false, or refusal says why, was answered with an error of code 403"},
		machine.Outcome{Name: outcomeExists, Class: machine.Neutral, Payload: key, Doc: "a request for an instance that runs was answered with an error of code 409"},
		machine.Outcome{Name: outcomeFull, Class: machine.Neutral, Payload: key, Doc: "as many instances run, or requests wait for what they were passed on to, as may: the request was answered with an error of code 429"},
	)
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{Name: "service", Outcomes: outcomes},
		Summary:     "Answers requests: by an expression, by an instance that is started for each, by another subject, or by the machine's own event.",
	}, func(spec *serviceSpec, w *machine.WatcherSpec) *watchers.Prepared {
		does := mapped(w, outcomes)
		return &watchers.Prepared{New: func() watchers.Watcher { return &service{spec: spec, pool: pool, spawner: spawner, mapped: does} }}
	})
}

type service struct {
	spec    *serviceSpec
	pool    *Pool
	spawner watchers.Spawner
	mapped  map[string]bool
}

// Listen serves until the context ends. Requests that wait then are answered with an error, code 503.
func (s *service) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if s.spec.Spawn != nil && s.spawner == nil {
		return watchers.Failure(errNoSpawner.Error())
	}
	in, err := newInlet(ctx, s.pool, look, s.spec.intake(), s.mapped, emit)
	if err != nil {
		return watchers.Failed(err)
	}
	c := &counter{service: s, inlet: in, waiting: newWaitingList()}
	if s.spec.Spawn != nil {
		c.nursery = nursery{spawner: s.spawner, template: s.spec.Spawn.Template, key: s.spec.Spawn.Key, input: s.spec.Spawn.Input, limit: s.spec.Spawn.Limit,
			whom: s.spec.Spawn.For, limitFor: s.spec.Spawn.LimitFor}
	}
	return c.listen(s.spec.Micro)
}

// listen takes requests in, which wait beside until they are served, so that the library's own list never fills.
func (c *counter) listen(asMicro bool) watchers.Report {
	in := c.inlet
	ctx, cancel := context.WithCancel(in.ctx)
	served := make(chan struct{})
	supervise.Go(in.ctx, func() {
		defer close(served)
		defer c.waiting.close(c.leave)
		c.waiting.each(ctx.Done(), c.serve)
	})
	defer func() {
		cancel()
		Leave(in.ctx, func() error { <-served; return nil }) // a request that is being served may take longer
	}()
	in.arriving = maxArrived
	if asMicro {
		in.micro = true
		return in.listen(c.micro)
	}
	return in.listen(func(conn *nats.Conn) (func() error, error) {
		return in.plain(func(m *nats.Msg) { c.offer(received{m, conn}) }, (*nats.Subscription).Drain)(conn)
	})
}

// micro serves as a service that NATS's own tools know.
func (c *counter) micro(conn *nats.Conn) (func() error, error) {
	in := c.inlet
	o := Offer{Name: c.service.spec.Name, Subject: in.subject, Queue: in.queue, Look: in.look, Pending: maxArrived, Counted: func() any { return in.counted() }}
	return Serve(in.ctx, conn, o, func(r micro.Request) { c.offer(r) })
}
