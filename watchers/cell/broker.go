package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcome of broker beside success, fail and unchanged.
const outcomeDegraded = "degraded"

// What keeps a broker from being well, the gravest first.
const (
	causeStopped    = "stopped"
	causeDisabled   = "disabled"
	causeBroken     = "broken"
	causeDisk       = "disk"
	causeLeaderless = "leaderless"
	causeBehind     = "behind"
	causeFull       = "full"
	causeUnread     = "unread"
	causeFilling    = "filling"
	causeTrust      = "trust"
)

// unreadFor is for how long a broker may not know what is revoked before that is told: it reads it when the bucket is there.
const unreadFor = 15 * time.Second

const (
	brokerInterval = 5 * time.Second
	brokerTimeout  = 10 * time.Second
	restartTimeout = time.Minute
	mebibyte       = 1 << 20
)

var errNoBroker = errors.New("this program has no broker of its own; run the machine with overlay run")

// brokerSpec is the properties of a broker watcher.
type brokerSpec struct {
	// Action is look, which reads the broker's health, or restart, which ends the broker and starts it with the same options. Connections of
	// the host come back by themselves.
	Action string `yaml:"action" default:"look" enum:"look|restart"`
	// Room is how many MiB of the file system of the streams are to be free; on one that is smaller than ten times that, a tenth of it.
	Room int64 `yaml:"room" default:"64" min:"1"`
	// Behind is for how long a broker may miss something of what others have, and take in nothing of it, before it counts as behind.
	Behind strict.Duration `yaml:"behind" default:"1m" min:"1s"`
	// DataItem is a key of the machine's data that each look sets to what it has read, with the fields of the payload.
	DataItem string `yaml:"data_item"`
}

// healthPayload is what a look has read. Bytes are rounded down to MiB.
func healthPayload() map[string]machine.ValueType {
	return map[string]machine.ValueType{
		"cause": machine.String, "reason": machine.String, "room": machine.Boolean,
		"running": machine.Boolean, "enabled": machine.Boolean, "clustered": machine.Boolean, "current": machine.Boolean,
		"leader": machine.String, "hosts": machine.Array, "streams": machine.Integer, "leads": machine.Array, "lag": machine.Object,
		"held": machine.Object, "copies": machine.Object, "leaderless": machine.Array,
		"used": machine.Integer, "limit": machine.Integer, "free": machine.Integer, "size": machine.Integer,
		"nodes": machine.Integer, "clients": machine.Integer, "connections": machine.Object, "leafnodes": machine.Object,
	}
}

func brokerType(b Broker) watchers.Type {
	read := healthPayload()
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "broker", Sets: watchers.KeyIn("data_item"),
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: read,
					Doc: "look: the broker is well, told when a state is entered and when it is well again; restart: it listens again, without a payload"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "there is no broker, or it could not be started"},
				{Name: outcomeDegraded, Class: machine.Neutral, Payload: read, Doc: "the broker is not well; told again when the cause is another one, or " +
					"whether there is room. cause is stopped (it does not listen), disabled (nats-server has switched JetStream off, as it does when the disk is full), " +
					"broken (something cannot be written or read any more), disk (less is free than room), leaderless (too few hosts are there to decide " +
					"anything, or for a minute a stream has had no leader), behind (what it misses has a leader elsewhere), full (a listener has 80 % of the connections that it may have), " +
					"unread (it does not know what is revoked, or cannot keep it on its disk, or the bucket REVOKED does not take it), filling (a stream that takes nothing more when it is full has 80 % of its bytes) " +
					"or trust (what it kept of trust roots and lists was damaged); reason says it in words"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: read, Doc: "look: as before"},
			},
		},
		Summary: "Reads the health of the host's own broker, without asking anything over the network, or starts the broker anew.",
	}, func(spec *brokerSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		p := &watchers.Prepared{New: func() watchers.Watcher { return &brokerWatch{spec: spec, broker: b} }, Interval: brokerInterval, Timeout: brokerTimeout}
		if spec.Action == "restart" {
			p.Interval, p.Timeout = 0, restartTimeout
		}
		return p
	})
}

// brokerWatch remembers since when the broker is behind, also over states in which nobody looks.
type brokerWatch struct {
	spec   *brokerSpec
	broker Broker
	told   bool
	last   verdict   // that was told
	low    bool      // the disk was found too full: it takes half as much again to be taken for free
	behind time.Time // since when it takes in nothing of what it misses; zero while it is not behind
	moved  uint64    // Health.Moved at the look before
	unread time.Time // since when it does not know what is revoked; zero where it does
	full   bool      // a listener was found nearly full: it takes a tenth less to be taken for roomy
	// filling are the streams that were found nearly full, likewise.
	filling map[string]bool
}

// verdict is what is told once.
type verdict struct {
	cause string
	room  bool
}

// Check implements watchers.Checker.
func (w *brokerWatch) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if w.broker == nil {
		return watchers.Failure(errNoBroker.Error())
	}
	if w.spec.Action == "restart" {
		if err := w.broker.Restart(ctx); err != nil {
			return watchers.Failed(err)
		}
		return watchers.Report{Outcome: machine.OutcomeSuccess, Message: "the broker was started anew"}
	}
	h := w.broker.Health()
	v, reason := w.judge(&h, look.At)
	rep := watchers.Report{Outcome: machine.OutcomeSuccess, Payload: document(&h, v, reason), Message: reason}
	switch {
	case w.told && look.Moment == watchers.Interval && v == w.last:
		rep.Outcome = watchers.OutcomeUnchanged
	case v.cause != "":
		rep.Outcome = outcomeDegraded
	}
	w.told, w.last = true, v
	if w.spec.DataItem != "" {
		rep.Data = map[string]any{w.spec.DataItem: rep.Payload}
	}
	return rep
}

// judge finds the gravest of what is wrong.
func (w *brokerWatch) judge(h *Health, now time.Time) (verdict, string) {
	v := verdict{room: w.room(h)}
	reason := ""
	switch {
	case !h.Running:
		v.cause, reason = causeStopped, "the broker does not listen"
	case !h.Enabled:
		v.cause, reason = causeDisabled, "JetStream is switched off: nothing can be stored or read"
	case len(h.Broken) > 0:
		v.cause, reason = causeBroken, enumerate(h.Broken)
	case !v.room:
		v.cause = causeDisk
	case h.Clustered && h.Leader == "":
		v.cause, reason = causeLeaderless, "the hosts that are there are too few to elect a leader: nothing can be stored"
	}
	missing := h.Enabled && v.cause != causeLeaderless && (!h.Current || len(h.Behind)+len(h.Leaderless) > 0)
	switch {
	case !missing:
		w.behind = time.Time{}
	case w.behind.IsZero() || h.Moved != w.moved:
		w.behind = now
	case v.cause == "" && now.Sub(w.behind) >= w.spec.Behind.Std():
		v.cause, reason = lacking(h)
	}
	w.moved = h.Moved
	if unread := w.forgot(h, now); unread != "" {
		if v.cause == "" {
			v.cause = causeUnread
		}
		reason = strings.TrimPrefix(reason+"; "+unread, "; ")
	}
	if crowd := w.crowd(h); crowd != "" && v.cause == "" {
		v.cause, reason = causeFull, crowd
	}
	if filling := w.fills(h); filling != "" {
		if v.cause == "" {
			v.cause = causeFilling
		}
		reason = strings.TrimPrefix(reason+"; "+filling, "; ")
	}
	if h.TrustFault != "" {
		if v.cause == "" {
			v.cause = causeTrust
		}
		reason = strings.TrimPrefix(reason+"; "+h.TrustFault, "; ")
	}
	if !v.room {
		reason = strings.TrimPrefix(fmt.Sprintf("%s; %d MiB of the disk are free, of %d MiB", reason, h.Free/mebibyte, h.Size/mebibyte), "; ")
	}
	return v, reason
}

// forgot says what the broker does not know, or cannot keep, of what is revoked.
func (w *brokerWatch) forgot(h *Health, now time.Time) string {
	switch {
	case !h.Unread:
		w.unread = time.Time{}
		return h.RevokedFault
	case w.unread.IsZero():
		w.unread = now
	}
	if now.Sub(w.unread) < unreadFor {
		return ""
	}
	const waits = "it does not know yet what is revoked, so that neither nodes nor clients are let in, until the bucket REVOKED can be read"
	return strings.TrimSuffix(waits+"; "+h.RevokedFault, "; ")
}

// lacking says why something is missing. Where a stream has no leader nobody has what is missing, and this copy may be needed to elect one.
func lacking(h *Health) (cause, reason string) {
	if n := len(h.Leaderless); n > 0 {
		reason = "nothing can be stored, as there is no leader: " + strings.Join(h.Leaderless[:min(n, mostReasons)], ", ")
		if n > mostReasons {
			reason += fmt.Sprintf(" and %d more", n-mostReasons)
		}
		return causeLeaderless, reason
	}
	if reason = enumerate(h.Behind); reason == "" {
		reason = "it does not have all that its cluster has decided"
	}
	return causeBehind, reason
}

// From fullAt percent of its connections on a listener is nearly full, and a stream of its bytes, until it has less than roomyAt.
const (
	fullAt  = 80
	roomyAt = 70
)

// crowd says which listeners are nearly full.
func (w *brokerWatch) crowd(h *Health) string {
	most := fullAt
	if w.full {
		most = roomyAt
	}
	var crowded []string
	for _, c := range h.Connections {
		if c.Limit > 0 && c.Used*100 >= c.Limit*most {
			crowded = append(crowded, fmt.Sprintf("%d of %d connections of the listener %s are taken", c.Used, c.Limit, c.Listener))
		}
	}
	w.full = len(crowded) > 0
	return enumerate(crowded)
}

// fills says which streams are nearly full that take nothing more then.
func (w *brokerWatch) fills(h *Health) string {
	var words []string
	found := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(h.Filling)) {
		percent, most := h.Filling[name], fullAt
		if w.filling[name] {
			most = roomyAt
		}
		if percent >= most {
			found[name] = true
			words = append(words, fmt.Sprintf("%s has %d %% of the bytes that it may, and takes nothing more when it is full", name, percent))
		}
	}
	w.filling = found
	return enumerate(words)
}

// room reports whether enough of the disk is free.
func (w *brokerWatch) room(h *Health) bool {
	need := w.spec.Room * mebibyte
	if h.Size > 0 {
		need = min(need, h.Size/10)
	}
	if w.low {
		need += need / 2
	}
	w.low = h.Size > 0 && h.Free < need
	return !w.low
}

// mostReasons bounds how many reasons are told in words.
const mostReasons = 3

func enumerate(reasons []string) string {
	text := strings.Join(reasons[:min(len(reasons), mostReasons)], "; ")
	if more := len(reasons) - mostReasons; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// document is the health as a payload.
func document(h *Health, v verdict, reason string) map[string]any {
	hosts := []any{}
	for _, o := range h.Hosts {
		hosts = append(hosts, map[string]any{"name": o.Name, "away": o.Away, "seconds": int(o.Seconds)})
	}
	connections := map[string]any{}
	for _, c := range h.Connections {
		connections[c.Listener] = map[string]any{"used": c.Used, "limit": c.Limit}
	}
	return map[string]any{
		"cause": v.cause, "reason": reason, "room": v.room, "running": h.Running, "enabled": h.Enabled, "clustered": h.Clustered,
		"current": h.HasAll(), "leader": h.Leader, "hosts": hosts, "streams": len(h.Streams), "leads": texts(h.Leads), "lag": numbers(h.Lag),
		"held": numbers(h.Held), "copies": numbers(h.Copies), "leaderless": texts(h.Leaderless),
		"used": whole(h.Used), "limit": whole(h.Limit), "free": whole(h.Free), "size": whole(h.Size), "nodes": h.Nodes, "clients": h.Clients,
		"connections": connections, "leafnodes": leafnodesDocument(h.Leafnodes),
	}
}

func texts(values []string) []any {
	list := []any{}
	for _, v := range values {
		list = append(list, v)
	}
	return list
}

func numbers[N int | uint64](values map[string]N) map[string]any {
	object := map[string]any{}
	for name, n := range values {
		object[name] = int(n)
	}
	return object
}

// whole rounds bytes down to MiB, so that what is idle stays the same.
func whole(bytes int64) int { return int(bytes / mebibyte * mebibyte) }
