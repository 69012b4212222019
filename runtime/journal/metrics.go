package journal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the journal's own; they are registered only where there is a registry.
type metrics struct {
	records, batches, bytes prometheus.Counter
	syncs                   prometheus.Histogram
	durable, held           prometheus.Gauge
}

func newMetrics() *metrics {
	const space, sub = "statecraft", "journal"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
	}
	return &metrics{
		records: counter("records_total", "Records that were stored and synced."),
		batches: counter("batches_total", "Syncs that stored records."),
		bytes:   counter("written_bytes_total", "Bytes of frames that were stored and synced."),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: space, Subsystem: sub, Name: "sync_seconds", Help: "Duration of syncs that succeeded.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
		}),
		durable: gauge("durable", "1 while records are stored, 0 during a fault."),
		held:    gauge("segments_bytes", "Bytes of the segments that are kept."),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.records, m.batches, m.bytes, m.syncs, m.durable, m.held}
}

// register adds all to r or none.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range m.all() {
		if err := r.Register(c); err != nil {
			for _, done := range m.all()[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("register the journal's metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range m.all() {
		r.Unregister(c)
	}
}

func (m *metrics) synced(took time.Duration, bytes int, records int64) {
	m.syncs.Observe(max(0, took.Seconds())) // the clock may have been set meanwhile
	m.batches.Inc()
	m.bytes.Add(float64(bytes))
	m.records.Add(float64(records))
}

func (m *metrics) kept(segs []segment) {
	bytes, _ := totals(segs)
	m.held.Set(float64(bytes))
}
