package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/watchers/cell"
)

// TestH67HealthTellsAStreamWithoutALeaderFromOneThatIsBehind: who follows goes on to name a leader that is gone, and to start its broker anew for
// what only that has takes a copy away which could be needed.
func TestH67HealthTellsAStreamWithoutALeaderFromOneThatIsBehind(t *testing.T) {
	b := &Broker{cfg: Config{Name: "a"}}
	h := cell.Health{Lag: map[string]uint64{}, Copies: map[string]int{}}
	for name, group := range map[string]*server.ClusterInfo{
		"alone":   nil,
		"led":     {Leader: "a", Replicas: []*server.PeerInfo{{Name: "b", Current: true}, {Name: "c", Lag: 99}}},
		"follows": {Leader: "b", Replicas: []*server.PeerInfo{{Name: "b", Active: time.Second}, {Name: "c", Offline: true}}},
		"none":    {Replicas: []*server.PeerInfo{{Name: "a"}, {Name: "b"}}},
		"offline": {Leader: "b", Replicas: []*server.PeerInfo{{Name: "b", Offline: true}}},
		"silent":  {Leader: "b", Replicas: []*server.PeerInfo{{Name: "b", Active: time.Minute}}},
	} {
		one := cell.Health{Lag: map[string]uint64{}, Copies: map[string]int{}}
		b.readCopies(&one, name, group)
		wantLeads, wantGone := name == "alone" || name == "led", name == "none" || name == "offline" || name == "silent"
		if (len(one.Leads) > 0) != wantLeads || (len(one.Leaderless) > 0) != wantGone {
			t.Errorf("%s: leads %v, without a leader %v", name, one.Leads, one.Leaderless)
		}
		b.readCopies(&h, name, group)
	}
	if diff := cmp.Diff(map[string]int{"alone": 1, "led": 2}, h.Copies); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
