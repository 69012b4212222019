// Package consumers holds the watcher consumers: it serves the consumer API of JetStream, for some streams, to clients that have no right on
// JetStream. JetStream answers, and delivers, where the asker says, whatever the asker may publish; here an answer goes to the inbox of the client
// whose key the broker has checked, and nowhere else. A client creates, asks for and deletes pull consumers of its own, pulls, and acknowledges. It knows no
// overlay: streams, subjects and bounds are in manifests.
package consumers

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// spec is the properties of a consumers watcher.
type spec struct {
	// Connection names the connection that requests come by, and the streams.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is where clients ask: * is the client's key and > the rest of the request. All before > is, with the client's own key, what clients call
	// the API prefix. Acknowledgements come as the account maps them.
	Subject string `yaml:"subject" default:"client.*.out.consumers.>"`
	// Queue makes each request go to one of those who name the same queue.
	Queue string `yaml:"queue" default:"consumers"`
	// Streams are those that clients may consume.
	Streams []string `yaml:"streams,required"`
	// Each is how many consumers one client may have on a stream.
	Each int `yaml:"each" default:"16" min:"1" max:"1000"`
	// All is how many consumers a stream may have before nobody is given another.
	All int `yaml:"all" default:"128" min:"1" max:"1000"`
	// MaxSize bounds a request in bytes; a larger one is answered with an error, code 413.
	MaxSize watchers.Bytes `yaml:"max_size" default:"16KiB"`
	// Quota is how many requests of each who is counted are answered, such as [{by: "message.tokens[1]", rate: 100/s, burst: 1000}]; one that has no room
	// in all of them is answered with an error, code 429.
	Quota []watchers.Quota `yaml:"quota"`
	// Acks is the same for acknowledgements, where message.tokens[8] is the client's key. Those that have no room are dropped, and the
	// messages are delivered again.
	Acks []watchers.Quota `yaml:"acks"`
}

// CodeConsumers is a property of a consumers watcher that cannot be.
const CodeConsumers diag.Code = "SC446"

var (
	subjectForm = regexp.MustCompile(`^[^.\s>*]+(\.[^.\s>*]+)*\.\*(\.[^.\s>*]+)+\.>$`)
	// consumerForm is of names of consumers: the hyphens become dots on the way of an acknowledgement.
	consumerForm = regexp.MustCompile(`^[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*$`)
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	errNoPool    = errors.New("this program has no connections; run the machine in an overlay host")
)

// Validate checks names and subjects.
func (s *spec) Validate(w *machine.WatcherSpec) (list diag.List) {
	if !subjectForm.MatchString(s.Subject) {
		list.Add(diag.Error, CodeConsumers, w.Place("properties"), "one * stands for the client's key and > at the end for the request, as in client.*.out.consumers.>",
			"subject: %q does not say who asks for what", s.Subject)
	}
	if !nameForm.MatchString(s.Queue) {
		list.Add(diag.Error, CodeConsumers, w.Place("properties"), "write letters, digits, - and _", "queue: %q is not a name", s.Queue)
	}
	for _, stream := range s.Streams {
		if !nameForm.MatchString(stream) {
			list.Add(diag.Error, CodeConsumers, w.Place("properties"), "write letters, digits, - and _, such as EVENTS", "streams: %q is not the name of a stream", stream)
		}
	}
	if len(s.Streams) == 0 {
		list.Add(diag.Error, CodeConsumers, w.Place("properties"), "name one, such as EVENTS", "streams: none is named")
	}
	return list
}

// who is the place of the client's key in a request's subject.
func (s *spec) who() int {
	before, _, _ := strings.Cut(s.Subject, "*")
	return strings.Count(before, ".")
}

// Services are what the watcher uses of its host. The zero Services do for reading manifests.
type Services struct {
	Pool    *messaging.Pool
	Metrics prometheus.Registerer // nil keeps none
}

// Types returns the type consumers.
func Types(s Services) []watchers.Type {
	metrics := newMetrics(s.Metrics)
	return []watchers.Type{watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "consumers",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Doc: "it serves, from now on"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "it cannot serve at the moment: there is no connection"},
			},
		},
		Summary: "Serves pull consumers of some streams to clients that may not ask JetStream themselves.",
	}, func(spec *spec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &consumers{spec: spec, pool: s.Pool, metrics: metrics} }}
	})}
}

type consumers struct {
	spec    *spec
	pool    *messaging.Pool
	metrics *metrics
}

const (
	firstPause  = 50 * time.Millisecond
	lastPause   = 5 * time.Second
	leadTimeout = 10 * time.Second // for the broker to know of the subscriptions
)

// Listen serves until the context ends, by whatever connection has the name.
func (c *consumers) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	if c.pool == nil {
		return watchers.Failure(errNoPool.Error())
	}
	told, pause := false, firstPause
	for ctx.Err() == nil {
		conn, err := c.pool.Wait(ctx, look.Identity, c.spec.Connection)
		if err == nil {
			err = c.serve(ctx, look, conn, func(r watchers.Report) {
				told, pause = false, firstPause
				emit(r)
			})
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !told {
			told = true
			emit(watchers.Failed(fmt.Errorf("serving consumers: %w", err)))
		}
		_ = watchers.Rest(ctx, pause)
		pause = min(2*pause, lastPause)
	}
	return watchers.Report{}
}

// serve serves by one connection until ctx ends or the connection is closed, which is no error: another takes its place.
func (c *consumers) serve(ctx context.Context, look *watchers.Look, conn *nats.Conn, emit func(watchers.Report)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closed := conn.StatusChanged(nats.CLOSED)
	defer conn.RemoveStatusListener(closed)
	g := newGateway(ctx, c, look, conn)
	defer g.close()
	err := g.subscribe()
	if err == nil {
		err = conn.FlushTimeout(leadTimeout) // until then nobody can ask
	}
	switch {
	case err != nil && conn.IsClosed():
		return nil
	case err != nil:
		return err
	}
	emit(watchers.Report{Outcome: machine.OutcomeSuccess, Message: "serving consumers of " + strings.Join(c.spec.Streams, ", ")})
	select {
	case <-ctx.Done():
	case <-closed:
	}
	return nil
}

// isConsumer reports whether a client may call a consumer so, or, with its key, the key and that.
func isConsumer(name string) bool { return len(name) <= 160 && consumerForm.MatchString(name) }
