package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// viewSpec is the properties of a view watcher.
type viewSpec struct {
	// Connection names the connection that the stream is read by, and that questions come by.
	Connection string `yaml:"connection" default:"fleet"`
	// Stream is what adapters write inventories to: the last of each subject is kept in memory.
	Stream string `yaml:"stream,required"`
	// Filter is the subjects of the stream that are read; the last word of each is a node, with = for its dots.
	Filter string `yaml:"filter" default:"discovery.>"`
	// Name is the service's name: letters, digits, _ and -.
	Name string `yaml:"name,required"`
	// Subject is what questions are sent to; * is any one word.
	Subject watchers.Text `yaml:"subject" default:"client.*.out.inventory"`
	// Inbox is an expression, over the question's subject and tokens, for what its reply subject must begin with; by default "_INBOX.". A question that
	// wants its answer elsewhere is dropped: it would be published with the view's rights, which the asker may not have.
	Inbox *watchers.Formula `yaml:"inbox"`
	// Queue makes each question go to one of those who name the same queue; by default the service's name.
	Queue watchers.Text `yaml:"queue"`
	// Memory is how many MiB of inventories are kept. Those for which there is no room are left out, which the outcome over_limit and every
	// answer say.
	Memory int `yaml:"memory" default:"512" min:"1" max:"65536"`
	// Timeout is how long a question may wait for its turn, and how long it may then take.
	Timeout strict.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"10m"`
	// Pending is how many questions may wait for their turn; those beyond are refused.
	Pending int `yaml:"pending" default:"256" min:"1" max:"65536"`
}

// The codes of what a view's properties can have wrong.
const (
	CodeViewName    diag.Code = "SC460" // a name of the stream or service that cannot be
	CodeViewSubject diag.Code = "SC461" // a subject or filter that cannot be
)

var (
	viewName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	viewFilter = regexp.MustCompile(`^[^.\s*>]+(\.([^.\s*>]+|\*))*\.(\*|>|[^.\s*>]+)$`)
	viewAsked  = regexp.MustCompile(`^([^.\s*>]+|\*)(\.([^.\s*>]+|\*))*$`)
)

// Validate checks names and subjects.
func (s *viewSpec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	wrong := func(key string, code diag.Code, hint, format string, value string) {
		pos := w.Place("properties")
		if n := w.Properties.Get(key); n != nil {
			pos = n.Pos
		}
		list.Add(diag.Error, code, pos, hint, format, value)
	}
	if !viewName.MatchString(s.Stream) {
		wrong("stream", CodeViewName, "write letters, digits, - and _, such as DISCOVERY", "stream: %q is not the name of a stream", s.Stream)
	}
	if !viewName.MatchString(s.Name) {
		wrong("name", CodeViewName, "a service's name has letters, digits, _ and - only", "name: %q is not a service's name", s.Name)
	}
	if !viewFilter.MatchString(s.Filter) {
		wrong("filter", CodeViewSubject, "the last word of a subject is the node, such as in discovery.>", "filter: %q selects no nodes", s.Filter)
	}
	if s.Subject.Fails(viewAsked.MatchString) {
		wrong("subject", CodeViewSubject, "a subject is words that a dot separates, such as client.*.out.inventory", "subject: %q is nothing to ask", s.Subject.String())
	}
	return list
}

const (
	outcomeOverLimit   = "over_limit"
	outcomeWithinLimit = "within_limit"
)

func viewType(s Services) watchers.Type {
	counts := map[string]machine.ValueType{"nodes": machine.Integer, "bytes": machine.Integer, "left_out": machine.Integer}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "view", On: []machine.Place{machine.OnOverlay},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: counts, Doc: "it has read what the stream has, and answers from now on"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "it cannot read the stream, or cannot be asked; what it has read it keeps"},
				{Name: outcomeOverLimit, Class: machine.Neutral, Payload: counts, Doc: "inventories are left out, because they are more than its memory holds"},
				{Name: outcomeWithinLimit, Class: machine.Neutral, Payload: counts, Doc: "no inventory is left out any more"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Doc: "the counts of its state event are other than a minute ago"},
			},
		},
		Summary: "Keeps the last inventory of each node in memory, and answers questions about all of them.",
	}, func(spec *viewSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &view{spec: spec, services: s} }}
	})
}

// view is the watcher of one machine. What it has read lasts as long as it listens.
type view struct {
	spec     *viewSpec
	services Services
}

// Listen reads and answers until the context ends, by whatever connection has the name.
func (v *view) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if v.services.Pool == nil {
		return watchers.Failure(errNoPool.Error())
	}
	subject, err := look.Expand(v.spec.Subject)
	if err != nil {
		return watchers.Failed(fmt.Errorf("subject: %w", err))
	}
	queue, err := look.Expand(cmp.Or(v.spec.Queue, watchers.PlainText(v.spec.Name)))
	if err != nil {
		return watchers.Failed(fmt.Errorf("queue: %w", err))
	}
	sheet := newSheet(int64(v.spec.Memory) << 20)
	desk := newDesk(v.spec, sheet, subject, queue, look)
	speaker := &speaker{emit: emit, sheet: sheet, desk: desk}
	for ctx.Err() == nil {
		conn, err := v.services.Pool.Wait(ctx, look.Identity, v.spec.Connection)
		if err == nil {
			err = v.by(ctx, look, conn, desk, speaker)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		speaker.failed("answering " + subject + ": " + err.Error())
		_ = watchers.Rest(ctx, speaker.pause())
	}
	return watchers.Report{}
}

// viewEvery is how often a view compares itself with its stream.
const viewEvery = 5 * time.Second

var (
	errNotFollowed = errors.New("the stream cannot be followed any more")
	errOtherStream = errors.New("the stream is another one, it is read again")
)

// by answers by one connection, and reads the stream again and again, until the connection is closed or ctx ends, which is no error.
func (v *view) by(ctx context.Context, look *watchers.Look, conn *nats.Conn, desk *desk, speaker *speaker) error {
	stop, err := desk.open(ctx, look, conn)
	if err != nil {
		return unlessClosed(conn, err)
	}
	defer stop()
	for ctx.Err() == nil {
		if err := unlessClosed(conn, v.follow(ctx, conn, desk, speaker)); err == nil {
			return nil
		} else if ctx.Err() == nil {
			speaker.failed("the view of " + v.spec.Stream + ": " + err.Error())
		}
		_ = watchers.Rest(ctx, speaker.pause())
	}
	return nil
}

// follow reads the stream for as long as it can.
func (v *view) follow(ctx context.Context, conn *nats.Conn, desk *desk, speaker *speaker) error {
	changed := conn.StatusChanged(nats.CLOSED, nats.CONNECTED)
	defer conn.RemoveStatusListener(changed)
	r, err := newReading(ctx, conn, v.spec, desk.sheet)
	if err != nil {
		return err
	}
	defer r.stop()
	looks := time.NewTicker(viewEvery)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.caughtUp:
			desk.ready.Store(true)
			speaker.listens()
		case <-r.lost:
			return errNotFollowed
		case status := <-changed:
			if status == nats.CLOSED {
				return nil
			}
			err = r.check(ctx)
		case <-looks.C:
			err = r.check(ctx)
			speaker.report()
		}
		if err != nil && conn.IsConnected() {
			return err
		}
	}
}

// unlessClosed leaves out what goes wrong because the connection was closed.
func unlessClosed(conn *nats.Conn, err error) error {
	if conn.IsClosed() {
		return nil
	}
	return err
}
