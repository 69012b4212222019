package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers/cell"
)

// gather lists metrics as name{label=value,...} number.
func gather(t testing.TB, b *Broker) []string {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(b.metrics.logins, b.metrics.disconnected, b.metrics.unreadable, newReadings(b))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			lines = append(lines, fmt.Sprintf("%s{%s} %g", strings.TrimPrefix(f.GetName(), "statecraft_broker_"), strings.Join(labels, ","), value))
		}
	}
	return lines
}

func TestMetrics(t *testing.T) {
	o := newOverlay(t)
	registry := prometheus.NewRegistry()
	b := o.broker(t, func(c *Config) { c.Metrics = registry })
	service := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	node := o.connect(t, b.ClientURL(), o.node(t, "n1"))
	o.connect(t, b.EnrollmentURL(), o.join(t))
	if _, err := o.dial(t, b.ClientURL(), o.join(t)); err == nil {
		t.Fatal("a join token comes in at the fleet listener")
	}
	say(t, node, "node.n1.out.x", "")
	js, err := jetstream.New(service)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "NODES", MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	b.Revoke(Revocation{Kind: RevokedToken, Value: "x"})
	lines := gather(t, b)
	for _, want := range []string{
		"logins_total{listener=fleet,outcome=accepted,purpose=node} 1",
		"logins_total{listener=fleet,outcome=accepted,purpose=service} 1",
		"logins_total{listener=fleet,outcome=purpose,purpose=join} 1",
		"logins_total{listener=enrollment,outcome=accepted,purpose=join} 1",
		"logins_total{listener=leaf,outcome=accepted,purpose=none} 1",
		"sessions{listener=fleet,purpose=node} 1", "sessions{listener=fleet,purpose=client} 0", "sessions{listener=enrollment,purpose=join} 1",
		"leafnodes{} 1", "routes{} 0", "revocations{} 1", "slow_consumers_total{listener=fleet} 0",
		fmt.Sprintf("jetstream_limit_bytes{storage=file} %g", float64(11<<30)),
		"jetstream_enabled{} 1", "jetstream_current{} 1", "jetstream_requests_total{outcome=error} 0", "stream_bytes{stream=KV_NODES} 0", "stream_limit_bytes{stream=KV_NODES} 1.048576e+06",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	for _, l := range lines {
		if strings.Contains(l, "n1") {
			t.Errorf("%s names a node", l)
		}
	}
	families, err := registry.Gather()
	if err != nil || len(families) < 10 {
		t.Errorf("the registry has %d families, %v", len(families), err)
	}
	if _, err := start(t.Context(), o.config(t, func(c *Config) { c.Metrics = registry }), Decide); err == nil {
		t.Error("two brokers share one registry")
	}
}

// healthReadings tells a health that was made up.
type healthReadings struct {
	*readings
	health *cell.Health
}

func (r healthReadings) Collect(to chan<- prometheus.Metric) { r.stores(to, r.health) }

// TestTheAlarmOfAHostIsWhatItsHealthSays: nats-server calls itself enabled and current where nothing has a leader, or a stream cannot be written.
func TestTheAlarmOfAHostIsWhatItsHealthSays(t *testing.T) {
	well := cell.Health{Running: true, Enabled: true, Clustered: true, Current: true, Leader: "a"}
	for name, tt := range map[string]struct {
		change           func(h *cell.Health)
		enabled, current float64
	}{
		"well":                    {func(*cell.Health) {}, 1, 1},
		"switched off":            {func(h *cell.Health) { h.Enabled = false }, 0, 0},
		"broken":                  {func(h *cell.Health) { h.Broken = []string{"write error"} }, 0, 1},
		"two of three away":       {func(h *cell.Health) { h.Leader = "" }, 1, 0},
		"a stream has no leader":  {func(h *cell.Health) { h.Leaderless = []string{"EVENTS"} }, 1, 0},
		"behind":                  {func(h *cell.Health) { h.Behind = []string{"EVENTS"} }, 1, 0},
		"behind in the cluster":   {func(h *cell.Health) { h.Current = false }, 1, 0},
		"alone, without a leader": {func(h *cell.Health) { h.Clustered, h.Leader = false, "" }, 1, 1},
	} {
		h := well
		tt.change(&h)
		r := prometheus.NewRegistry()
		r.MustRegister(healthReadings{newReadings(nil), &h})
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		if got["statecraft_broker_jetstream_enabled"] != tt.enabled || got["statecraft_broker_jetstream_current"] != tt.current {
			t.Errorf("%s: %v, not enabled %v, current %v", name, got, tt.enabled, tt.current)
		}
	}
}

func TestMetricsEndWithTheBroker(t *testing.T) {
	o := newOverlay(t)
	registry := prometheus.NewRegistry()
	for range 2 { // the second one finds the registry as the first did
		b, err := Start(t.Context(), o.config(t, func(c *Config) { c.Metrics = registry }))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if families, err := registry.Gather(); err != nil || len(families) > 0 {
		t.Errorf("%d families are left, %v", len(families), err)
	}
}
