package keyvalue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestBrokersThatComeAndGo(t *testing.T) {
	type step struct{ present, outcome, joined, left string }
	for name, steps := range map[string][]step{
		"the first look is where it begins": {{"a b", "success", "", ""}, {"a b", "unchanged", "", ""}},
		"one joins":                         {{"a", "success", "", ""}, {"a b c", "joined", "b c", ""}, {"a b c", "unchanged", "", ""}},
		"an answer that is late is nothing": {{"a b", "success", "", ""}, {"a", "unchanged", "", ""}, {"a b", "unchanged", "", ""}, {"a", "unchanged", "", ""}},
		"one leaves, and is back": {
			{"a b", "success", "", ""}, {"a", "unchanged", "", ""}, {"a", "left", "", "b"}, {"a", "unchanged", "", ""}, {"a b", "joined", "b", ""},
		},
		"one leaves while another joins": {
			{"a b", "success", "", ""}, {"a", "unchanged", "", ""}, {"a c", "joined", "c", ""}, {"a c", "left", "", "b"}, {"a c", "unchanged", "", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &brokers{}
			for i, s := range steps {
				rep := w.compare(rollOf(s.present))
				got := step{s.present, rep.Outcome, texts(rep.Payload["joined"]), texts(rep.Payload["left"])}
				if diff := cmp.Diff(s, got, cmp.AllowUnexported(step{})); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

func rollOf(names string) roll {
	r := roll{}
	for name := range strings.FieldsSeq(names) {
		r[name] = true
	}
	return r
}

func texts(v any) string {
	var all []string
	for _, text := range v.([]any) {
		all = append(all, text.(string))
	}
	return strings.Join(all, " ")
}

func TestBrokersOfACluster(t *testing.T) {
	all := cluster(t)
	l := dial(t, all[0].ClientURL())
	w := newWatcher(t, l, "brokers", "{}").(watchers.Checker)
	look := func() watchers.Report { return w.Check(t.Context(), newLook(nil)) }
	await(t, "three brokers", func() bool { return look().Outcome != machine.OutcomeFail && len(w.(*brokers).known) == 3 })
	all[2].Shutdown()
	await(t, "one that leaves", func() bool {
		rep := look()
		return rep.Outcome == outcomeLeft && texts(rep.Payload["left"]) == "broker2" && texts(rep.Payload["brokers"]) == "broker0 broker1"
	})
}

func TestABrokerThatIsAlone(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	rep := check(t, l, "brokers", "{}", nil)
	if rep.Outcome != machine.OutcomeSuccess || texts(rep.Payload["brokers"]) != "broker" {
		t.Errorf("%+v", rep)
	}
}

// TestBrokersWithoutJetStreamDoNotCount: they keep nothing.
func TestBrokersWithoutJetStreamDoNotCount(t *testing.T) {
	var counted []string
	for _, answer := range []string{
		`{"server": {"name": "a", "cluster": "cell", "jetstream": true}}`, `{"server": {"name": "b", "cluster": "cell"}}`,
		`{"server": {"name": "c", "cluster": "elsewhere", "jetstream": true}}`, `nonsense`,
	} {
		if b := readBroker([]byte(answer)); b.keeps("cell") {
			counted = append(counted, b.Name)
		}
	}
	if diff := cmp.Diff([]string{"a"}, counted); diff != "" {
		t.Error(diff)
	}
}

// TestAClusterWithoutALeaderHoldsUpNoLook: nobody answers there, and a look must not wait for it until its own time is up.
func TestAClusterWithoutALeaderHoldsUpNoLook(t *testing.T) {
	s := broker(t, func(o *server.Options) {
		o.Cluster = server.ClusterOpts{Name: "cell", Host: "127.0.0.1", Port: -1}
		o.Routes = server.RoutesFromStr("nats://127.0.0.1:1")
	})
	w := newWatcher(t, dial(t, s.ClientURL()), "streams", "buckets: [{name: NODES}]").(watchers.Checker)
	if rep := w.Check(t.Context(), newLook(nil)); rep.Outcome != machine.OutcomeFail || !strings.Contains(rep.Message, "JetStream is not ready") {
		t.Errorf("%+v", rep)
	}
}
