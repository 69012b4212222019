package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// What a depot serves, and what it takes.
const (
	servesSpecs        = "specs"
	servesObjects      = "objects"
	servesRecords      = "records"
	servesRevisions    = "revisions"
	servesPublications = "publications"
	servesUploads      = "uploads"
)

// What a depot that takes something tells.
const (
	outcomePublished = "published"
	outcomeStored    = "stored"
)

// depotSpec is the properties of a depot watcher.
type depotSpec struct {
	// Connection names the connection that requests come by, and what is served.
	Connection string `yaml:"connection" default:"fleet"`
	// Name is the service's name: letters, digits, _ and -.
	Name string `yaml:"name,required"`
	// Subject is what requests are sent to; * is any one word and > at the end any rest.
	Subject watchers.Text `yaml:"subject,required"`
	// Queue makes each request go to one of those who name the same queue; by default the service's name.
	Queue watchers.Text `yaml:"queue"`
	// Inbox is an expression, over the request's subject and tokens, for what its reply subject must begin with. A request that wants its answer
	// elsewhere is dropped: it would be published with the depot's rights, which the asker may not have.
	Inbox *watchers.Formula `yaml:"inbox,required" gives:"text"`
	// Serves is what it is asked for. Of specs with the trust roots, ranges of objects, records - one of them, or all in pages - and revisions - the
	// keys of a bucket, and what is kept of one - it answers what is there. It takes publications: specs and trust roots, which are
	// stored where the host's own trust, its serials included, vouches for them; and uploads: objects that are named by their
	// digest in a spec that at least one of those has signed who may sign specs.
	Serves string `yaml:"serves,required" enum:"specs|objects|records|revisions|publications|uploads"`
	// Bucket is the key-value bucket of specs, records, publications or revisions, or the object store of objects or uploads, which a
	// request for an object names.
	Bucket string `yaml:"bucket,required"`
	// Fields are the fields of records that a list of them has, as far as they are at most 1 KiB; who asks for one record gets all of it.
	Fields []string `yaml:"fields"`
	// Roots is the bucket that has the trust roots by which uploads are held; for uploads only.
	Roots string `yaml:"roots"`
	// Parts is the subject that the parts of uploads are sent to; for uploads only. Its last word is this host's alone, as
	// all parts of an object go to one host.
	Parts watchers.Text `yaml:"parts"`
	// Memory is how many MiB of objects are kept for the next who ask, or of uploads may be on their way.
	Memory int `yaml:"memory" default:"256" min:"1" max:"65536"`
	// Pending is how many requests may wait for what is being read; those beyond are answered at once with an error, code 429.
	Pending int `yaml:"pending" default:"65536" min:"1" max:"1048576"`
	// MaxSize bounds a request in bytes, such as 4KiB; a larger one is answered with an error, code 413.
	// Absent is no bound.
	MaxSize watchers.Bytes `yaml:"max_size" empty:"refused"`
	// Quota is how much is answered of each who is counted, such as
	// [{by: "message.tokens[1]", rate: 2/s, burst: 60}]; a request that has no room in all of them is answered
	// with an error of code 429, with the seconds after which there is room in the header Retry-After.
	Quota []watchers.Quota `yaml:"quota" empty:"refused"`
}

// CodeDepot is a property of a depot that cannot be.
const CodeDepot diag.Code = "SC444"

var (
	depotName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	depotSubject = regexp.MustCompile(`^[^.\s>]+(\.[^.\s>]+)*(\.>)?$`)
	errNoPool    = errors.New("this program has no connections; run the machine in an overlay host")
)

// Validate checks names and subjects.
func (s *depotSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := archiveFindings{w: w}
	if !depotName.MatchString(s.Name) {
		f.add("name", CodeDepot, "a service's name has letters, digits, _ and - only", "name: %q is not a service's name", s.Name)
	}
	if !depotName.MatchString(s.Bucket) {
		f.add("bucket", CodeDepot, "write letters, digits, - and _", "bucket: %q is not the name of a bucket", s.Bucket)
	}
	if s.Subject.Fails(depotSubject.MatchString) {
		f.add("subject", CodeDepot, "a subject is words that a dot separates, such as node.*.out.bundle", "subject: %q is no subject", s.Subject)
	}
	s.validateUploads(&f)
	if len(s.Fields) > 0 && s.Serves != servesRecords {
		f.add("fields", CodeDepot, "leave it out, or serve records", "fields: %s have none", s.Serves)
	}
	return append(f.list, watchers.CheckQuotas(s.Quota, w.Properties.Get("quota"))...)
}

// validateUploads holds the properties of uploads against what is served.
func (s *depotSpec) validateUploads(f *archiveFindings) {
	const uploadsOnly = "roots and parts are for serves: uploads"
	switch {
	case s.Serves != servesUploads && s.Roots != "":
		f.add("roots", CodeDepot, uploadsOnly, "roots: %s are not held by trust roots", s.Serves)
	case s.Serves != servesUploads && !s.Parts.Empty():
		f.add("parts", CodeDepot, uploadsOnly, "parts: %s do not come in parts", s.Serves)
	case s.Serves != servesUploads:
	case !depotName.MatchString(s.Roots):
		f.add("roots", CodeDepot, "write the bucket of the trust roots, such as SPECS", "roots: %q is not the name of a bucket", s.Roots)
	case s.Parts.Fails(depotSubject.MatchString):
		f.add("parts", CodeDepot, `a subject whose last word is the host's alone, such as client.*.out.store.${ token }`, "parts: %q is no subject", s.Parts)
	}
}

func depotType(s Services) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "depot", On: []machine.Place{machine.OnOverlay},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Doc: "it serves, from now on"},
				{Name: outcomeGoverned, Class: machine.Neutral, Payload: map[string]machine.ValueType{"governed": machine.Object, "omitted": machine.Integer},
					Doc: "of specs: the machines that are listed under a governor, lists of names by governor, are others than before; what would be too much " +
						"for an event is left out, and omitted says how many machines that are"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "it cannot serve at the moment: there is no connection, or no bucket"},
				{Name: outcomePublished, Class: machine.Neutral, Doc: "a spec or trust root was stored",
					Payload: map[string]machine.ValueType{"key": machine.String, "revision": machine.Integer, "by": machine.String}},
				{Name: outcomeStored, Class: machine.Neutral, Doc: "an upload was stored; key is its digest",
					Payload: map[string]machine.ValueType{"key": machine.String, "size": machine.Integer, "by": machine.String}},
				{Name: outcomeRefused, Class: machine.Neutral, Doc: "what was sent is not vouched for: a spec, a trust root, or an upload, whose key is its digest",
					Payload: map[string]machine.ValueType{"key": machine.String, "reason": machine.String, "detail": machine.String, "by": machine.String}},
			},
		},
		Summary: "Serves specs, bundles and records of buckets to those who may not read them for themselves, and takes them from those who may not write.",
	}, func(spec *depotSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &depot{spec: spec, services: s} }}
	})
}

type depot struct {
	spec     *depotSpec
	services Services
}

// shelf is what requests are answered from.
type shelf interface {
	// open begins to follow what is served; ctx ends it, and lost is closed when it has come to an end by itself.
	open(ctx context.Context, conn *nats.Conn) (lost <-chan struct{}, err error)
	// answer answers a request, now or later.
	answer(ctx context.Context, r micro.Request)
}

// Listen serves until the context ends, by whatever connection has the name.
func (d *depot) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if d.services.Pool == nil {
		return watchers.Failure(errNoPool.Error())
	}
	subject, err := look.Expand(d.spec.Subject)
	if err != nil {
		return watchers.Failed(fmt.Errorf("subject: %w", err))
	}
	parts, err := look.Expand(d.spec.Parts)
	if err != nil {
		return watchers.Failed(fmt.Errorf("parts: %w", err))
	}
	queue, err := look.Expand(cmp.Or(d.spec.Queue, watchers.PlainText(d.spec.Name)))
	if err != nil {
		return watchers.Failed(fmt.Errorf("queue: %w", err))
	}
	told, pause := false, firstDepotPause
	for ctx.Err() == nil {
		conn, err := d.services.Pool.Wait(ctx, look.Identity, d.spec.Connection)
		if err == nil {
			counter := &depotCounter{depot: d, look: look, conn: conn, subject: subject, parts: parts, queue: queue, tell: emit, emit: func(r watchers.Report) {
				told, pause = false, firstDepotPause
				emit(r)
			}}
			err = counter.serve(ctx)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !told {
			told = true
			emit(watchers.Failed(fmt.Errorf("serving %s: %w", subject, err)))
		}
		_ = watchers.Rest(ctx, pause)
		pause = min(2*pause, lastDepotPause)
	}
	return watchers.Report{}
}

// What is to be served may not be there yet: a cell that is new makes its buckets at this moment.
const (
	firstDepotPause = 50 * time.Millisecond
	lastDepotPause  = 5 * time.Second
)

// depotCounter serves by one connection.
type depotCounter struct {
	*depot
	look                  *watchers.Look
	conn                  *nats.Conn
	subject, parts, queue string
	emit                  func(watchers.Report)
	tell                  func(watchers.Report) // from any goroutine
}

// serve serves until ctx ends or the connection is closed, which is no error: another takes its place.
func (c *depotCounter) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := c.conn.StatusChanged(nats.CLOSED)
	defer c.conn.RemoveStatusListener(closed)
	from := c.shelf()
	lost, err := from.open(ctx, c.conn)
	if err != nil {
		return c.unlessClosed(err)
	}
	stop, err := c.subscribe(ctx, from)
	if err != nil {
		return c.unlessClosed(err)
	}
	defer stop()
	if err := c.conn.FlushTimeout(leadTimeout); err != nil { // until then nobody can ask
		return c.unlessClosed(err)
	}
	c.emit(watchers.Report{Outcome: machine.OutcomeSuccess, Message: "serving " + c.subject})
	select {
	case <-ctx.Done():
	case <-closed:
	case <-lost:
		return c.unlessClosed(errShelfLost)
	}
	return nil
}

// shelf is what is served.
func (c *depotCounter) shelf() shelf {
	bucket, memory, log := c.spec.Bucket, int64(c.spec.Memory)<<20, c.look.Log
	switch c.spec.Serves {
	case servesObjects:
		return newObjectShelf(bucket, memory, c.spec.Pending, log)
	case servesRecords:
		return newRecordShelf(bucket, c.spec.Fields, log)
	case servesRevisions:
		return &revisionShelf{besides: newBesides(bucket, log)}
	case servesPublications:
		return &publicationShelf{besides: newBesides(bucket, log), trusted: c.trusted, who: c.who, emit: c.tell}
	case servesUploads:
		return &uploadShelf{
			besides: newBesides(bucket, log), trusted: c.trusted, roots: c.spec.Roots, who: c.who, emit: c.tell, at: lastWord(c.parts), memory: memory,
		}
	default:
		specs := newSpecShelf(bucket, log)
		specs.governed = c.tell
		return specs
	}
}

var errNoTrust = errors.New("this program trusts nobody; run the machine in an overlay host")

// trusted is the trust of the identity that serves, and its cell.
func (c *depotCounter) trusted() (*registry.Store, string, error) {
	if c.services.Stores == nil || c.services.Cell == nil {
		return nil, "", errNoTrust
	}
	trust, err := c.services.Stores(c.look.Identity)
	if err == nil && trust == nil {
		err = errNoTrust
	}
	if err != nil {
		return nil, "", err
	}
	cell, err := c.services.Cell(c.look.Identity)
	return trust, cell, err
}

// who asks: the owner of the inbox that the answer goes to.
func (c *depotCounter) who(r micro.Request) string {
	prefix, err := c.spec.Inbox.Text(c.look, map[string]any{"subject": r.Subject(), "tokens": messaging.Tokens(r.Subject())})
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(prefix, messaging.AnyInbox), ".")
}

var errShelfLost = errors.New("what is served cannot be followed any more")

// unlessClosed leaves out what goes wrong because the connection was closed.
func (c *depotCounter) unlessClosed(err error) error {
	if c.conn.IsClosed() {
		return nil
	}
	return err
}

// leadTimeout is how long the broker may take to know of a service.
const leadTimeout = 10 * time.Second

// subscribe begins to take requests.
func (c *depotCounter) subscribe(ctx context.Context, from shelf) (stop func(), err error) {
	meter := watchers.NewMeter(c.spec.Quota)
	served, err := c.endpoint(ctx, c.spec.Name, c.subject, func(r micro.Request) {
		if c.admits(meter, r) {
			from.answer(ctx, r)
		}
	})
	if err != nil {
		return nil, err
	}
	leave := func() { messaging.Leave(ctx, served) }
	taker, ok := from.(*uploadShelf)
	if !ok {
		return leave, nil
	}
	parts, err := c.endpoint(ctx, c.spec.Name+partsSuffix, c.parts, taker.part)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { messaging.Leave(ctx, parts); leave() }, nil
}

// partsSuffix is of the name of the service by which a service's parts are sent.
const partsSuffix = "-parts"

// endpoint answers what comes by a subject, where the answer is the asker's own.
func (c *depotCounter) endpoint(ctx context.Context, name, subject string, answer func(r micro.Request)) (stop func() error, err error) {
	offer := messaging.Offer{Name: name, Subject: subject, Queue: c.queue, Look: c.look, Pending: maxArrived}
	return messaging.Serve(ctx, c.conn, offer, func(r micro.Request) {
		if ctx.Err() == nil && c.answerable(r) {
			answer(r)
		}
	})
}

// maxArrived is how many requests may have come that nobody has looked at yet. A look takes no time; who is dropped here hears nothing.
const maxArrived = 1 << 18

// admits answers what is larger than a request may be, or over a quota.
func (c *depotCounter) admits(meter *watchers.Meter, r micro.Request) bool {
	size := len(r.Subject()) + len(r.Data())
	if most := int(c.spec.MaxSize); most > 0 && size > most {
		deny(r, messaging.CodeTooLarge, "the request is larger than it may be")
		return false
	}
	if meter == nil {
		return true
	}
	now := time.Now() //nolint:forbidigo // when it came: a listener has no other clock, and no state depends on it
	over := meter.Take(c.look, r.Subject(), messaging.Tokens(r.Subject()), size, now)
	if over != nil {
		messaging.AnswerBusy(r, over.After)
	}
	return over == nil
}

// answerable leaves out requests whose answer would be led where its asker could not publish.
func (c *depotCounter) answerable(r micro.Request) bool {
	return messaging.AnswerableIn(c.spec.Inbox, c.look, r.Subject(), r.Reply())
}

// deny answers with an error. A reply that cannot be sent is for a connection that is gone.
func deny(r micro.Request, code, text string) { _ = r.Error(code, text, nil) }
