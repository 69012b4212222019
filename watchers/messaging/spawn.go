package messaging

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	outcomeExists = "exists"
	outcomeFull   = "full"
)

var errNoSpawner = errors.New("this program starts no instances; run the machine in a host")

// spawnSpec is the properties of a spawn watcher.
type spawnSpec struct {
	// Template is the name of the manifest that instances are started of.
	Template string `yaml:"template,required"`
	// Key is an expression for the instance's name among those of its template, a text. Where one of that name runs it is left as it is.
	Key *watchers.Formula `yaml:"key,required" gives:"text"`
	// Input is an expression for what the instance is started with, a mapping; by default the message, if there is one.
	Input *watchers.Formula `yaml:"input" gives:"mapping"`
	// Limit is how many instances of the template may run at once; 0 is no limit.
	Limit int `yaml:"limit" empty:"refused" min:"0"`
	// For is an expression for whom the instance is, such as message.tokens[1], a text.
	For *watchers.Formula `yaml:"for" gives:"text" empty:"refused"`
	// LimitFor is how many instances of the template may run at once for the same, 0 is no limit; one beyond is
	// not started.
	LimitFor int `yaml:"limit_for" empty:"refused" min:"0"`
	// Where is a condition; a message or look for which it is false or has no answer starts nothing.
	Where *watchers.Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// Subject makes it listen, and start an instance for each message; without it one is started for each look.
	Subject watchers.Text `yaml:"subject"`
	// Connection names the connection that messages come by.
	Connection string `yaml:"connection" default:"fleet"`
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
	// [{name: node, type: text, max_size: 253}]. One that is another is unreadable. What is not declared is left out, so that nothing reads it.
	Fields []watchers.Field `yaml:"fields" empty:"refused"`

	fields watchers.Fields // Fields, read
}

func (s *spawnSpec) intake() intake {
	return intake{connection: s.Connection, subject: s.Subject, queue: s.Queue, pending: s.Pending, maxSize: int(s.MaxSize), quota: s.Quota, fields: s.fields,
		strict: s.fields.Declared()}
}

// Validate checks the subject and the queue.
func (s *spawnSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := findings{w: w}
	s.intake().check(&f)
	s.fields = f.fields(s.Fields)
	f.shares(w.Properties, s.For, s.LimitFor)
	if s.Subject.Empty() && !s.Queue.Empty() {
		f.add("queue", CodeTogether, "give a subject, or leave out the queue", "a queue is for messages, and there is no subject")
	}
	for _, key := range []string{"quota", "max_size", "fields"} {
		if s.Subject.Empty() && w.Properties.Get(key) != nil {
			f.add(key, CodeTogether, "give a subject, or leave out "+key, "%s bounds messages, and there is no subject", key)
		}
	}
	return f.list
}

func spawnType(pool *Pool, spawner watchers.Spawner) watchers.Type {
	key := map[string]machine.ValueType{"key": machine.String}
	outcomes := listenerOutcomes(
		machine.Outcome{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: key, Doc: "an instance was started"},
		machine.Outcome{Name: machine.OutcomeFail, Class: machine.Failure,
			Doc: "an instance could not be started, or the broker does not permit the subscription; of a look, also that key or input have no answer"},
		machine.Outcome{Name: outcomeExists, Class: machine.Neutral, Payload: key, Doc: "an instance of that key runs already"},
		machine.Outcome{Name: outcomeFull, Class: machine.Failure, Payload: key, Doc: "as many instances run as may"},
		machine.Outcome{Name: outcomeRefused, Class: machine.Neutral, Payload: unreadablePayload(), Doc: "where is false, or has no answer"},
	)
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{Name: "spawn", Outcomes: outcomes},
		Summary:     "Starts an instance of a template, for each message of a subject or for each look.",
	}, func(spec *spawnSpec, w *machine.WatcherSpec) *watchers.Prepared {
		does := mapped(w, outcomes)
		p := nursery{spawner: spawner, template: spec.Template, key: spec.Key, input: spec.Input, limit: spec.Limit, whom: spec.For, limitFor: spec.LimitFor}
		return &watchers.Prepared{New: func() watchers.Watcher {
			if spec.Subject.Empty() {
				return &spawnCheck{spec: spec, nursery: p}
			}
			return &spawnListener{spec: spec, pool: pool, nursery: p, mapped: does}
		}}
	})
}

// spawnCheck starts an instance for a look.
type spawnCheck struct {
	spec    *spawnSpec
	nursery nursery
}

// Check starts one instance.
func (s *spawnCheck) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if rep, ok := admits(s.spec.Where, look, nil, ""); !ok {
		return rep
	}
	return s.nursery.start(ctx, look, nil)
}

// spawnListener starts an instance for a message.
type spawnListener struct {
	spec    *spawnSpec
	pool    *Pool
	nursery nursery
	mapped  map[string]bool
}

// Listen starts instances until the context ends.
func (s *spawnListener) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if s.nursery.spawner == nil {
		return watchers.Failure(errNoSpawner.Error())
	}
	in, err := newInlet(ctx, s.pool, look, s.spec.intake(), s.mapped, emit)
	if err != nil {
		return watchers.Failed(err)
	}
	return in.listen(in.plain(func(m *nats.Msg) {
		if ctx.Err() != nil || !in.admits(m) {
			return
		}
		d := deliveryOf(m)
		message, err := in.read(d, machine.MaxPayload)
		if err != nil {
			in.unreadable(d.subject, err)
			return
		}
		rep, ok := admits(s.spec.Where, look, message, d.subject)
		if ok {
			rep = s.nursery.start(ctx, look, message)
		}
		in.tell(rep.Outcome, rep)
		in.caughtUp()
	}, (*nats.Subscription).Unsubscribe))
}

// admits reports whether a condition holds, and what to say where it does not.
func admits(where *watchers.Condition, look *watchers.Look, message any, subject string) (watchers.Report, bool) {
	holds, err := where.Holds(look, message)
	reason := "the condition is false"
	if err != nil {
		reason = "where: " + err.Error()
	}
	return watchers.Report{Outcome: outcomeRefused, Message: reason, Payload: map[string]any{"subject": subject, "reason": reason}}, err == nil && holds
}

// maxSpawnKey bounds the key of an instance, in bytes: it is part of the instance's name in logs, records and folders.
const maxSpawnKey = 512

// nursery starts the instances of one watcher.
type nursery struct {
	spawner    watchers.Spawner
	template   string
	key, input *watchers.Formula
	limit      int
	whom       *watchers.Formula // nil for nobody in particular
	limitFor   int
}

// start starts an instance. message is what it is started for, nil for a look.
func (n *nursery) start(ctx context.Context, look *watchers.Look, message map[string]any) watchers.Report {
	if n.spawner == nil {
		return watchers.Failure(errNoSpawner.Error())
	}
	order, err := n.order(look, message)
	switch {
	case err != nil && message != nil:
		return unusable(message["subject"].(string), err.Error())
	case err != nil:
		return watchers.Failed(err)
	}
	started, err := n.spawner.Spawn(ctx, order)
	key := map[string]any{"key": order.Key}
	switch {
	case errors.Is(err, watchers.ErrTooMany):
		return watchers.Report{Outcome: outcomeFull, Payload: key, Message: "as many instances of " + n.template + " run as may: " + err.Error()}
	case err != nil:
		return watchers.Failed(fmt.Errorf("starting %s %q: %w", n.template, order.Key, err))
	case !started:
		return watchers.Report{Outcome: outcomeExists, Payload: key, Message: fmt.Sprintf("%s %q runs already", n.template, order.Key)}
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: key, Message: fmt.Sprintf("started %s %q", n.template, order.Key)}
}

func (n *nursery) order(look *watchers.Look, message map[string]any) (watchers.SpawnOrder, error) {
	o := watchers.SpawnOrder{Identity: look.Identity, Template: n.template, Input: message, Limit: n.limit, LimitFor: n.limitFor}
	var given any // a formula reads nil where there is no message
	if message != nil {
		given = message
	}
	var err error
	if o.Key, err = n.key.Text(look, given); err != nil {
		return o, fmt.Errorf("key: %w", err)
	}
	if o.Key == "" || len(o.Key) > maxSpawnKey || strings.ContainsFunc(o.Key, unicode.IsControl) || !utf8.ValidString(o.Key) {
		return o, fmt.Errorf("key: %q is no name: it is empty, has control characters or more than %d bytes", diag.Brief(o.Key, 100), maxSpawnKey)
	}
	if n.whom != nil {
		if o.For, err = n.whom.Text(look, given); err != nil {
			return o, fmt.Errorf("for: %w", err)
		}
	}
	if n.input == nil {
		return o, nil
	}
	if o.Input, err = n.input.Object(look, given); err != nil {
		return o, fmt.Errorf("input: %w", err)
	}
	return o, nil
}
