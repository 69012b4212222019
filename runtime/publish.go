package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"

	"github.com/statecraft-io/statecraft/machine"
)

// Types and subjects of machine events are Choria's, so that its consumers go on working (COMPAT, "Events").
const (
	eventSource        = "io.choria.machine"
	transitionType     = "io.choria.machine.v1.transition"
	transitionSubject  = "choria.machine.transition"
	throttledType      = "io.statecraft.machine.v1.throttled"
	throttledSubject   = "choria.machine.throttled"
	watcherTypePrefix  = "io.choria.machine.watcher."
	watcherTypeSuffix  = ".v1.state"
	watcherSubject     = "choria.machine.watcher."
	watcherSubjectTail = ".state"
)

// publisherQueue bounds the events that wait for a slow bus; later ones are dropped and counted.
const publisherQueue = 4096

// publisher turns what happened into CloudEvents on a goroutine of its own. Publishing is lossy on purpose: the truth is the journal.
type publisher struct {
	bus     Bus
	log     *slog.Logger
	metrics *metrics
	queue   chan notice
	direct  bool // publish in the caller's goroutine, for simulations
	once    sync.Once
}

// notice is an event that is not yet a CloudEvent.
type notice struct {
	subject, typ string
	at           time.Time
	data         map[string]any
	seq, epoch   uint64
	cause        machine.CauseKind
	message      string // why, one line
	identity     string
	instance     string
}

func newPublisher(cfg Config, m *metrics) *publisher {
	return &publisher{bus: cfg.Bus, log: cfg.Log, metrics: m, queue: make(chan notice, publisherQueue)}
}

func (p *publisher) run() {
	for n := range p.queue {
		p.publish(n)
	}
}

// close ends run after what is queued has been published. Nothing is offered after it.
func (p *publisher) close() { p.once.Do(func() { close(p.queue) }) }

func (p *publisher) offer(n notice) {
	switch {
	case p.bus == nil:
	case p.direct:
		p.publish(n)
	default:
		select {
		case p.queue <- n:
		default:
			p.metrics.unpublished.Inc()
		}
	}
}

func (p *publisher) publish(n notice) {
	defer func() { // a bus is somebody else's
		if panicked := recover(); panicked != nil {
			p.metrics.unpublished.Inc()
			p.log.Error("bus_panicked", "type", n.typ, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		}
	}()
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetSource(eventSource)
	e.SetType(n.typ)
	e.SetSubject(n.identity)
	e.SetTime(n.at)
	if n.seq > 0 {
		e.SetExtension("sequence", strconv.FormatUint(n.seq, 10))
		e.SetExtension("epoch", strconv.FormatUint(n.epoch, 10))
		e.SetExtension("cause", string(n.cause))
	}
	if n.instance != "" {
		e.SetExtension("instance", n.instance)
	}
	if n.message != "" {
		e.SetExtension("message", n.message)
	}
	err := e.SetData(event.ApplicationJSON, n.data)
	if err == nil {
		err = p.bus.Publish(n.subject, e)
	}
	if err != nil {
		p.metrics.unpublished.Inc()
		level := slog.LevelWarn
		if errors.Is(err, ErrUnreachable) {
			level = slog.LevelDebug
		}
		p.log.Log(context.Background(), level, "event_not_published", "type", n.typ, "error", err)
	}
}

// reaches reports whether events of an identity have somewhere to go; those that have not are counted.
func (p *publisher) reaches(identity string) bool {
	if p.bus == nil {
		return false
	}
	if r, ok := p.bus.(Reacher); ok && !r.Reaches(identity) {
		p.metrics.unpublished.Inc()
		return false
	}
	return true
}

// transition announces a transition of a machine.
func (p *publisher) transition(u *unit, r *machine.Record) {
	if !p.reaches(u.who.identity) {
		return
	}
	data := p.common(transitionType, u, r.At)
	data["transition"], data["from_state"], data["to_state"] = r.Event, r.From, r.To
	p.offer(notice{
		subject: transitionSubject, typ: transitionType, at: r.At, data: data,
		seq: r.Seq, epoch: r.Epoch, cause: r.Cause.Kind, message: r.Message, identity: u.who.identity, instance: u.who.instance,
	})
}

// throttled announces that a machine is throttled, or is no more.
func (p *publisher) throttled(u *unit, is bool) {
	if !p.reaches(u.who.identity) {
		return
	}
	data := p.common(throttledType, u, u.wall)
	data["throttled"], data["state"], data["pace"] = is, u.snap.State, u.prog.def.Manifest.Pace()
	p.offer(notice{
		subject: throttledSubject, typ: throttledType, at: u.wall, data: data, identity: u.who.identity, instance: u.who.instance,
	})
}

// common returns the fields that every machine event has. The timestamp is in whole seconds, as deployed
// consumers expect.
func (p *publisher) common(protocol string, u *unit, at time.Time) map[string]any {
	m := u.prog.def.Manifest
	return map[string]any{
		"protocol": protocol, "identity": u.who.identity, "id": uuid.NewString(),
		"version": m.Version, "timestamp": at.Unix(), "machine": m.Name,
	}
}

// announceWatcher publishes what a watcher said last.
func (h *Host) announceWatcher(u *unit, i int) {
	if !h.publisher.reaches(u.who.identity) {
		return
	}
	spec, last := u.prog.spec(i), u.watches[i].last
	typ := watcherTypePrefix + spec.Type + watcherTypeSuffix
	data := h.publisher.common(typ, u, u.wall)
	data["name"], data["type"] = spec.Name, spec.Type
	maps.Copy(data, last.state)
	h.publisher.offer(notice{
		subject: watcherSubject + spec.Type + watcherSubjectTail, typ: typ, at: u.wall, data: data,
		message: last.message, identity: u.who.identity, instance: u.who.instance,
	})
}
