package runtime

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
)

// metrics are the host's counters. Labels are machine (the manifest's name), watcher, kind and outcome only, so that their number
// is bounded by the manifests that are deployed, however many machines run them.
type metrics struct {
	machines    prometheus.Gauge
	records     *prometheus.CounterVec
	looks       *prometheus.CounterVec
	stale       *prometheus.CounterVec
	throttled   *prometheus.CounterVec
	overflow    prometheus.Counter
	abandoned   prometheus.Counter
	unpublished prometheus.Counter
	starved     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "statecraft", Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "statecraft", Name: name, Help: help}, labels)
	}
	m := &metrics{
		machines:    prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "statecraft", Name: "machines", Help: "Machines deployed on this host."}),
		records:     vector("records_total", "Records by kind: transition, stay, refused and so on.", "machine", "kind"),
		looks:       vector("looks_total", "Looks by outcome; skipped are those that a condition left out.", "machine", "watcher", "outcome"),
		stale:       vector("stale_outcomes_total", "Outcomes that came after their state was left.", "machine", "watcher"),
		throttled:   vector("throttled_total", "Times that a machine has begun to turn faster than its brake allows.", "machine"),
		overflow:    counter("overflow_total", "Messages refused because a queue was full."),
		abandoned:   counter("abandoned_looks_total", "Looks that did not return after their time-out."),
		unpublished: counter("unpublished_events_total", "Events that the bus did not take."),
		starved: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "statecraft", Name: "starved_watchers",
			Help: "Watchers whose last look could not be made: the host has no descriptor, process, memory or space left."}),
	}
	if reg != nil {
		reg.MustRegister(m.machines, m.records, m.looks, m.stale, m.throttled, m.overflow, m.abandoned, m.unpublished, m.starved)
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

// instanceMetrics count the instances of templates when they are asked, by the manifest's name: those of all identities together, and none of a template that
// is gone.
type instanceMetrics struct {
	host           *Host
	running, limit *prometheus.Desc
}

func newInstanceMetrics(h *Host) *instanceMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"machine"}, nil)
	}
	return &instanceMetrics{
		host: h, running: desc("statecraft_instances", "Instances of a template that run."),
		limit: desc("statecraft_instances_limit", "Instances of a template that may run at once, where there is a limit."),
	}
}

// Describe implements prometheus.Collector.
func (m *instanceMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.running; to <- m.limit }

// Collect implements prometheus.Collector.
func (m *instanceMetrics) Collect(to chan<- prometheus.Metric) {
	running, limit := map[string]int{}, map[string]int{}
	for _, i := range m.host.Instances() {
		running[i.Machine] += i.Running
		limit[i.Machine] += i.Limit
	}
	for name, n := range running {
		to <- prometheus.MustNewConstMetric(m.running, prometheus.GaugeValue, float64(n), name)
		if limit[name] > 0 {
			to <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, float64(limit[name]), name)
		}
	}
}

// slowedMetrics count the machines that are throttled when they are asked.
type slowedMetrics struct {
	host      *Host
	throttled *prometheus.Desc
}

func newSlowedMetrics(h *Host) *slowedMetrics {
	return &slowedMetrics{host: h, throttled: prometheus.NewDesc("statecraft_machines_throttled", "Machines whose events wait for their brake.", []string{"machine"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *slowedMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.throttled }

// Collect implements prometheus.Collector.
func (m *slowedMetrics) Collect(to chan<- prometheus.Metric) {
	slow := map[string]int{}
	for _, u := range m.host.all() {
		if p := u.published.Load(); p != nil && u.slowed.Load() != nil {
			slow[p.prog.def.Manifest.Name]++
		}
	}
	for name, n := range slow {
		to <- prometheus.MustNewConstMetric(m.throttled, prometheus.GaugeValue, float64(n), name)
	}
}
