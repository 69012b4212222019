package broker

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers/cell"
)

// metrics are the broker's counters. No label names a node.
type metrics struct {
	logins       *prometheus.CounterVec
	disconnected prometheus.Counter
	unreadable   prometheus.Counter
	ended        prometheus.Counter
	dropped      *prometheus.CounterVec
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "statecraft", Subsystem: "broker", Name: name, Help: help})
	}
	return &metrics{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "statecraft", Subsystem: "broker", Name: "logins_total",
			Help: "Connections that asked to come in, by listener, purpose of the token and outcome: accepted, or why it was refused.",
		}, []string{"listener", "purpose", "outcome"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "statecraft", Subsystem: "broker", Name: "arrivals_dropped_total",
			Help: "Connections that were closed before they had logged in, by listener and reason.",
		}, []string{"listener", "reason"}),
		ended:        counter("sessions_ended_total", "Sessions that were ended because a newer one of the same key took their place."),
		disconnected: counter("revoked_sessions_total", "Sessions that were ended by a revocation."),
		unreadable:   counter("unreadable_revocations_total", "Keys of the bucket of revocations that are not in its form and ban nobody."),
	}
}

// all are the counters, and what is read beside them.
func (m *metrics) all(beside ...prometheus.Collector) []prometheus.Collector {
	return append(beside, m.logins, m.disconnected, m.unreadable, m.ended, m.dropped)
}

func (m *metrics) login(l Listener, d Decision) {
	outcome, purpose := "accepted", string(d.Purpose)
	if d.Refused != "" {
		outcome = string(d.Refused)
	}
	if purpose == "" {
		purpose = "none"
	}
	m.logins.WithLabelValues(string(l), purpose, outcome).Inc()
}

// desc describes a metric that is read when it is asked for.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("statecraft", "broker", name), help, labels, nil)
}

// readings are what nats-server counts by itself.
type readings struct {
	arrivals, joined, caps, files                                            *prometheus.Desc
	connections, sessions, messages, bytes, slow, routes, leafs, revocations *prometheus.Desc
	usage, limit, assets, requests, enabled, current, free                   *prometheus.Desc
	stream, streamLimit, leafnode, waiting                                   *prometheus.Desc
	b                                                                        *Broker
}

func newReadings(b *Broker) *readings {
	return &readings{
		b:           b,
		arrivals:    desc("arrivals", "Connections that have not logged in, by listener and phase: waiting or greeted.", "listener", "phase"),
		joined:      desc("logged_in", "Connections of a listener that have logged in.", "listener"),
		caps:        desc("logged_in_limit", "Connections of a listener that may be logged in.", "listener"),
		files:       desc("open_files_limit", "Open files that the system allows this process."),
		connections: desc("connections", "Connections by account.", "account"),
		sessions:    desc("sessions", "Sessions by listener and purpose of the token.", "listener", "purpose"),
		messages:    desc("messages_total", "Messages by listener and direction.", "listener", "direction"),
		bytes:       desc("bytes_total", "Bytes of messages by listener and direction.", "listener", "direction"),
		slow:        desc("slow_consumers_total", "Connections that were closed because they read too slowly.", "listener"),
		routes:      desc("routes", "Connections to other brokers of the cell."),
		leafs:       desc("leafnodes", "Leafnode connections, the enrollment listener's included."),
		revocations: desc("revocations", "Revocations that are known."),
		usage:       desc("jetstream_bytes", "Bytes that JetStream takes, by storage.", "storage"),
		limit:       desc("jetstream_limit_bytes", "Bytes that JetStream may take, by storage.", "storage"),
		assets:      desc("jetstream_replicated_assets", "Streams and consumers with more than one replica on this broker."),
		enabled:     desc("jetstream_enabled", "Whether JetStream works: 0 after nats-server has switched it off, or where a stream could not be written or read, as when the disk is full."),
		current:     desc("jetstream_current", "Whether this broker has all that its cluster has decided, and can decide: 0 where it is behind, or something has no leader."),
		free:        desc("disk_free_bytes", "Bytes that are free of the file system of the streams."),
		stream:      desc("stream_bytes", "Bytes that a stream, bucket (KV_) or object store (OBJ_) has on this broker.", "stream"),
		streamLimit: desc("stream_limit_bytes", "Bytes that a stream, bucket or object store may have; 0 is no bound.", "stream"),
		leafnode:    desc("leafnode_connected", "Whether this broker is connected to the server of a region.", "region"),
		waiting:     desc("leafnode_waiting_messages", "Messages of a stream that wait for a region, or are on their way to it, at the broker that leads the stream.", "region", "stream"),
		requests:    desc("jetstream_requests_total", "Requests to JetStream, by outcome.", "outcome"),
	}
}

// Describe implements prometheus.Collector.
func (r *readings) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.arrivals, r.joined, r.caps, r.files, r.connections, r.sessions, r.messages, r.bytes, r.slow, r.routes, r.leafs, r.revocations,
		r.usage, r.limit, r.assets, r.requests, r.enabled, r.current, r.free, r.stream, r.streamLimit, r.leafnode, r.waiting,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (r *readings) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, h := range r.b.halves() {
		r.traffic(to, h)
		name := string(h.gate.listener)
		waiting, greeted, joined := h.arrivals.arriving()
		gauge(r.arrivals, float64(waiting), name, "waiting")
		gauge(r.arrivals, float64(greeted), name, "greeted")
		gauge(r.joined, float64(joined), name)
		gauge(r.caps, float64(h.arrivals.members), name)
		counts := h.gate.sessions.count()
		for _, p := range purposes(h.gate.listener) {
			gauge(r.sessions, float64(counts[p]), string(h.gate.listener), string(p))
		}
	}
	for name, account := range r.b.fleet.gate.accounts {
		gauge(r.connections, float64(account.NumLocalConnections()), name)
	}
	gauge(r.files, float64(r.b.files))
	s := r.b.fleet.server
	gauge(r.routes, float64(s.NumRoutes()))
	gauge(r.leafs, float64(s.NumLeafNodes()))
	gauge(r.revocations, float64(r.b.knowledge.Revoked.Len()))
	h := r.b.Health()
	r.stores(to, &h)
	for _, l := range r.b.readLeafnodes() {
		gauge(r.leafnode, truth(l.Connected), l.Region)
		for name, n := range l.Waiting {
			gauge(r.waiting, float64(n), l.Region, name)
		}
	}
	if v, err := s.Varz(nil); err == nil && v.JetStream.Stats != nil {
		r.jetStream(to, v.JetStream)
		r.streams(to, s)
	}
}

// stores tells what the machine health judges a host by.
func (r *readings) stores(to chan<- prometheus.Metric, h *cell.Health) {
	to <- prometheus.MustNewConstMetric(r.enabled, prometheus.GaugeValue, truth(h.Stores()))
	to <- prometheus.MustNewConstMetric(r.current, prometheus.GaugeValue, truth(h.HasAll()))
	to <- prometheus.MustNewConstMetric(r.free, prometheus.GaugeValue, float64(h.Free))
}

// streams are those of FLEET, as many as JetStreamLimits.Streams allows.
func (r *readings) streams(to chan<- prometheus.Metric, s *server.Server) {
	info, err := s.JszAccount(&server.JSzOptions{Account: AccountFleet, Streams: true, Config: true})
	if err != nil {
		return
	}
	gauge := func(d *prometheus.Desc, n int64, name string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), name)
	}
	for _, d := range info.Streams {
		gauge(r.stream, int64(d.State.Bytes), d.Name)
		gauge(r.streamLimit, max(0, d.Config.MaxBytes), d.Name)
	}
}

// traffic is what one server carried.
func (r *readings) traffic(to chan<- prometheus.Metric, h *half) {
	v, err := h.server.Varz(nil)
	if err != nil {
		return
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	name := string(h.gate.listener)
	counter(r.messages, v.InMsgs, name, "in")
	counter(r.messages, v.OutMsgs, name, "out")
	counter(r.bytes, v.InBytes, name, "in")
	counter(r.bytes, v.OutBytes, name, "out")
	counter(r.slow, v.SlowConsumers, name)
}

func (r *readings) jetStream(to chan<- prometheus.Metric, v server.JetStreamVarz) {
	gauge := func(d *prometheus.Desc, n float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
	}
	counter := func(n uint64, outcome string) {
		to <- prometheus.MustNewConstMetric(r.requests, prometheus.CounterValue, float64(n), outcome)
	}
	gauge(r.usage, float64(v.Stats.Memory), "memory")
	gauge(r.usage, float64(v.Stats.Store), "file")
	gauge(r.limit, float64(v.Config.MaxMemory), "memory")
	gauge(r.limit, float64(v.Config.MaxStore), "file")
	gauge(r.assets, float64(v.Stats.HAAssets))
	counter(v.Stats.API.Total-min(v.Stats.API.Total, v.Stats.API.Errors), "answered")
	counter(v.Stats.API.Errors, "error")
}

func truth(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
