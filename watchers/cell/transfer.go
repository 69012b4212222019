package cell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Dialled finds open connections by who uses them and their name. *messaging.Pool is one.
type Dialled interface {
	// Wait returns the connection of a name as soon as it is connected, or an error when ctx has ended.
	Wait(ctx context.Context, id, name string) (*nats.Conn, error)
}

const (
	outcomeProgress  = "progress"
	connectTimeout   = time.Minute
	progressInterval = time.Second // how often progress is told
)

var errNoConnections = errors.New("this program has no connections to brokers; run the machine with overlay run")

// transferSpec is the properties of a transfer watcher.
type transferSpec struct {
	// From is the name of the connection to the broker that is copied from.
	From string `yaml:"from,required"`
	// To is the name of the connection to the broker that is copied to.
	To string `yaml:"to,required"`
	// Streams is an expression for the list of the streams that are copied. One that is not there is a failure.
	Streams *watchers.Formula `yaml:"streams,required"`
	// DataItem is a key of the machine's data that is set to how far the copying is, once a second: stream, done, streams, copied, of, consumers, left.
	DataItem string `yaml:"data_item"`
}

func transferType(c Dialled) watchers.Type {
	far := map[string]machine.ValueType{
		"stream": machine.String, "done": machine.Integer, "streams": machine.Integer, "copied": machine.Integer, "of": machine.Integer,
		"consumers": machine.Integer, "left": machine.Array,
	}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "transfer", Sets: watchers.KeyIn("data_item"),
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: far, Doc: "all is copied: streams with their messages, and consumers durable consumers with their positions; " +
					"left names what is not, and why"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: map[string]machine.ValueType{"reason": machine.String},
					Doc: "a stream cannot be copied, or nothing could be copied for two minutes; what is copied stays, and is found again"},
				{Name: outcomeProgress, Class: machine.Neutral, Payload: far,
					Doc: "done of streams are copied, and the present stream up to the sequence copied of of"},
			},
		},
		Summary: "Copies streams and buckets from one broker to another, in order, each message once however often it is interrupted, and their durable " +
			"consumers with the position up to which all was acknowledged. The times at which messages were stored are not copied.",
	}, func(spec *transferSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &transfer{spec: spec, connections: c} }}
	})
}

type transfer struct {
	spec        *transferSpec
	connections Dialled
}

// Listen implements watchers.Listener: it copies until all is copied, and reports how far it is.
func (w *transfer) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if w.connections == nil {
		return cannot(errNoConnections)
	}
	names, err := w.streams(look)
	if err != nil {
		return cannot(err)
	}
	from, err := w.connect(ctx, look, w.spec.From)
	if err != nil {
		return cannot(err)
	}
	to, err := w.connect(ctx, look, w.spec.To)
	if err != nil {
		return cannot(err)
	}
	var told time.Time
	var last Progress
	c := &Copier{From: from, To: to, Log: look.Log}
	c.Tell = func(p Progress) {
		last = p
		if now := time.Now(); now.Sub(told) >= progressInterval { //nolint:forbidigo // it bounds what is told by time, and decides nothing
			told = now
			emit(w.report(outcomeProgress, p, c.Left()))
		}
	}
	if err := c.Copy(ctx, names); err != nil {
		return cannot(fmt.Errorf("copying the streams of this host into its cluster: %w", err))
	}
	return w.report(machine.OutcomeSuccess, last, c.Left())
}

func (w *transfer) report(outcome string, p Progress, left []string) watchers.Report {
	doc := map[string]any{
		"stream": p.Stream, "done": p.Done, "streams": p.Streams, "copied": int(p.Copied), "of": int(p.Of), "consumers": p.Consumers, "left": texts(left),
	}
	rep := watchers.Report{Outcome: outcome, Payload: doc, Message: fmt.Sprintf("%d of %d streams are copied", p.Done, p.Streams)}
	if p.Done < p.Streams {
		rep.Message += fmt.Sprintf(", %s up to %d of %d", p.Stream, p.Copied, p.Of)
	}
	if w.spec.DataItem != "" {
		rep.Data = map[string]any{w.spec.DataItem: doc}
	}
	return rep
}

// cannot is the report of what holds the copying up.
func cannot(err error) watchers.Report {
	return watchers.Report{Outcome: machine.OutcomeFail, Message: err.Error(), Payload: map[string]any{"reason": err.Error()}}
}

func (w *transfer) streams(look *watchers.Look) ([]string, error) {
	v, err := w.spec.Streams.Value(look, nil)
	if err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("streams: %v is no list of names", v)
	}
	var names []string
	for _, item := range list {
		name, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("streams: %v is no name", item)
		}
		names = append(names, name)
	}
	return names, nil
}

func (w *transfer) connect(ctx context.Context, look *watchers.Look, name string) (jetstream.JetStream, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	nc, err := w.connections.Wait(ctx, look.Identity, name)
	if err != nil {
		return nil, fmt.Errorf("using the connection %s: %w", name, err)
	}
	return jetstream.New(nc)
}
