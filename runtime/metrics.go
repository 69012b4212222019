package runtime

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
)

// metrics are the host's counters. Labels are machine (the manifest's name), watcher, kind and outcome only, so that their number
// is bounded by the manifests that are deployed, however many machines run them.
type metrics struct {
	machines    prometheus.Gauge
	instances   *prometheus.GaugeVec
	limits      *prometheus.GaugeVec
	records     *prometheus.CounterVec
	looks       *prometheus.CounterVec
	stale       *prometheus.CounterVec
	overflow    prometheus.Counter
	abandoned   prometheus.Counter
	unpublished prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "statecraft", Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "statecraft", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "statecraft", Name: name, Help: help}, []string{"machine"})
	}
	m := &metrics{
		instances:   gauge("instances", "Instances of a template that run."),
		limits:      gauge("instances_limit", "Instances of a template that may run at once."),
		machines:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "statecraft", Name: "machines", Help: "Machines deployed on this host."}),
		records:     vector("records_total", "Records by kind: transition, stay, refused and so on.", "machine", "kind"),
		looks:       vector("looks_total", "Looks by outcome; skipped are those that a condition left out.", "machine", "watcher", "outcome"),
		stale:       vector("stale_outcomes_total", "Outcomes that came after their state was left.", "machine", "watcher"),
		overflow:    counter("overflow_total", "Messages refused because a queue was full."),
		abandoned:   counter("abandoned_looks_total", "Looks that did not return after their time-out."),
		unpublished: counter("unpublished_events_total", "Events that the bus did not take."),
	}
	if reg != nil {
		reg.MustRegister(m.machines, m.instances, m.limits, m.records, m.looks, m.stale, m.overflow, m.abandoned, m.unpublished)
	}
	return m
}

// recordsOf returns the record counters of one manifest.
func (m *metrics) recordsOf(name string) map[machine.RecordKind]prometheus.Counter {
	counters := map[machine.RecordKind]prometheus.Counter{}
	for _, kind := range []machine.RecordKind{
		machine.RecordStart, machine.RecordTransition, machine.RecordStay, machine.RecordRefused,
		machine.RecordRecovery, machine.RecordUpgrade, machine.RecordEffect,
	} {
		counters[kind] = m.records.WithLabelValues(name, string(kind))
	}
	return counters
}
