package consumers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const apiPrefix = "$JS.API."

const (
	mostWaiting = 1 << 16         // requests that have come and that nobody has looked at
	waitingSize = 64 << 20        // and their bytes
	mostAsked   = 32              // requests at once that JetStream is asked for, beside pulls
	askTimeout  = 5 * time.Second // for JetStream to answer
)

// gateway serves by one connection.
type gateway struct {
	*consumers
	ctx   context.Context
	look  *watchers.Look
	conn  *nats.Conn
	count count

	api    int // the number of words before the request in a subject
	meter  *watchers.Meter
	acks   *watchers.Meter
	asking chan struct{} // has an element for each request that JetStream is asked for
	create sync.Mutex    // consumers are counted and made one after the other

	subs []*nats.Subscription
}

func newGateway(ctx context.Context, c *consumers, look *watchers.Look, conn *nats.Conn) *gateway {
	return &gateway{
		consumers: c, ctx: ctx, look: look, conn: conn, count: count{c.metrics, look},
		api: strings.Count(c.spec.Subject, "."), meter: watchers.NewMeter(c.spec.Quota), acks: watchers.NewMeter(c.spec.Acks),
		asking: make(chan struct{}, mostAsked),
	}
}

func (g *gateway) subscribe() error {
	for _, s := range []struct {
		subject, queue string
		handle         func(m *nats.Msg)
	}{
		{acksSubject, g.spec.Queue, g.acknowledge},
		{g.spec.Subject, g.spec.Queue, g.take},
	} {
		sub, err := g.conn.QueueSubscribe(s.subject, s.queue, func(m *nats.Msg) {
			defer supervise.Recover(g.ctx)
			s.handle(m)
		})
		if err != nil {
			return fmt.Errorf("subscribing to %s: %w", s.subject, err)
		}
		g.subs = append(g.subs, sub)
		if err := sub.SetPendingLimits(mostWaiting, waitingSize); err != nil {
			return err
		}
	}
	return nil
}

func (g *gateway) close() {
	for _, sub := range g.subs {
		messaging.Leave(g.ctx, sub.Unsubscribe)
	}
}

// request is what a client asks, whose key and inbox have been held against each other.
type request struct {
	who  string   // the client's key
	api  []string // the words of JetStream's API, such as CONSUMER INFO EVENTS name
	body []byte
	to   string // its inbox
}

// now is when something came: a listener has no other clock, and no state depends on it.
func now() time.Time { return time.Now() } //nolint:forbidigo // see above

// take reads a request. Who wants the answer elsewhere than in its inbox hears nothing, as it would be published with the rights of the host.
func (g *gateway) take(m *nats.Msg) {
	words := strings.Split(m.Subject, ".")
	r := &request{who: words[g.spec.who()], api: words[g.api:], body: m.Data, to: m.Reply}
	if !messaging.Answerable(m.Reply, "_INBOX."+r.who+".") || messaging.CheckSubject(m.Reply, false) != nil {
		g.count.request(countAstray)
		return
	}
	pull := len(r.api) >= 3 && r.api[0] == "CONSUMER" && r.api[1] == "MSG" && r.api[2] == "NEXT"
	if size := len(m.Subject) + len(m.Data); size > int(g.spec.MaxSize) {
		g.refuse(r, pull, countRefused, fault{413, codeBadRequest, "the request is larger than it may be"})
		return
	}
	if over := g.meter.Take(g.look, m.Subject, messaging.Tokens(m.Subject), len(m.Subject)+len(m.Data), now()); over != nil {
		g.refuse(r, pull, countLimited, fault{429, codeBadRequest, "more requests than a client may make: " + over.Reason})
		return
	}
	if pull {
		g.pull(r)
		return
	}
	select {
	case g.asking <- struct{}{}:
		supervise.Go(g.ctx, func() {
			defer func() { <-g.asking }()
			g.answer(r)
		})
	default:
		g.refuse(r, false, countLimited, fault{503, codeBadRequest, "the host has many requests at the moment; try again"})
	}
}

// fault is an error as JetStream's API has them. It implements error.
type fault struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (f fault) Error() string { return f.Description }

// Codes that JetStream has for what is refused here, so that clients know them.
const (
	codeBadRequest       = 10003
	codeNotMade          = 10012 // or not changed; the description says why
	codeNoConsumer       = 10014
	codeTooManyConsumers = 10026
	codeNotAvailable     = 10008
	codeNoStream         = 10059
)

// refuse answers a request with an error, unless it is a pull.
func (g *gateway) refuse(r *request, pull bool, result string, f fault) {
	g.count.request(result)
	if !pull {
		g.say(r, map[string]any{"type": "io.nats.jetstream.api.v1.error_response", "error": f})
	}
}

func (g *gateway) say(r *request, answer any) {
	data, err := json.Marshal(answer)
	if err != nil {
		g.count.request(countFailed)
		return
	}
	g.publish(&nats.Msg{Subject: r.to, Data: data})
}
