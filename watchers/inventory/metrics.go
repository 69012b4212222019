package inventory

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers"
)

// What becomes of a message that ingest takes in.
const (
	countReceived = "received"
	countStored   = "stored"
	countRefused  = "refused"
	countDropped  = "dropped"
)

// metrics are those of the ingest watchers of a program.
type metrics struct {
	messages *prometheus.CounterVec
	waiting  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	labels := []string{"machine", "watcher"}
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "statecraft", Name: "ingest_messages_total",
			Help: "Messages that ingest watchers took in, by result: received, stored, refused, or dropped because the stream did not take them.",
		}, append(labels, "result")),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "statecraft", Name: "ingest_waiting", Help: "Messages that wait for the stream to say that it has them.",
		}, labels),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.waiting)
	}
	return m
}

// tally makes the counts of one watcher.
func (m *metrics) tally(look *watchers.Look, emit func(watchers.Report)) *tally {
	counted := func(result string) prometheus.Counter {
		return m.messages.WithLabelValues(look.Machine, look.Watcher, result)
	}
	return &tally{
		emit: emit, inbound: counted(countReceived), stores: counted(countStored), refusals: counted(countRefused), drops: counted(countDropped),
		queued: m.waiting.WithLabelValues(look.Machine, look.Watcher),
	}
}
