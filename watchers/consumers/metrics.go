package consumers

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers"
)

// What becomes of a request.
const (
	countAnswered = "answered" // a pull, which is passed on, included
	countRefused  = "refused"
	countLimited  = "limited" // over a quota
	countAstray   = "astray"  // wanted its answer elsewhere than in the client's inbox
	countAcks     = "acks"
	countFailed   = "failed"
)

// metrics are those of the consumers watchers of a program.
type metrics struct {
	requests *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "statecraft", Name: "consumers_requests_total",
			Help: "Requests of clients for consumers, by result: answered, refused, limited (over a quota), astray (the answer was to go elsewhere), acks, failed.",
		}, []string{"machine", "watcher", "result"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests)
	}
	return m
}

// count is the metrics of one watcher.
type count struct {
	*metrics
	look *watchers.Look
}

func (c count) request(result string) {
	c.requests.WithLabelValues(c.look.Machine, c.look.Watcher, result).Inc()
}
