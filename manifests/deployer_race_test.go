package manifests_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestH63AListThatIsHeardWhileASettledNodeLooksIsTaken has a list come while the node compares, which it does without the list: what that look
// comes to is no answer to the list.
func TestH63AListThatIsHeardWhileASettledNodeLooksIsTaken(t *testing.T) {
	looks := map[string][]*runtime.PendingLook{}
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: nodeName, Catalogue: all.New(all.Services{}), Log: slog.New(slog.DiscardHandler),
		Intercept: func(p *runtime.PendingLook) { looks[p.Watcher()] = append(looks[p.Watcher()], p) },
	}, clock.NewVirtual(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	src, err := manifests.Files.ReadFile("node/deployer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	def, problems := machine.Load("deployer.yaml", src, all.New(all.Services{}))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if err := sim.Deploy(t.Context(), runtime.Deployment{Definition: def}); err != nil {
		t.Fatal(err)
	}
	sim.Settle()
	unchanged := watchers.Report{Outcome: watchers.OutcomeUnchanged, Payload: map[string]any{
		"serial": 7, "root": 1, "names": []any{"web"}, "unknown": []any{}, "reason": "", "detail": "",
	}}
	last := func() *runtime.PendingLook { return looks["deploy"][len(looks["deploy"])-1] }
	last().Complete(unchanged)
	sim.Settle()
	early := last()
	if s := early.View().State; s != "settled" {
		t.Fatalf("the node looks in %s", s)
	}
	looks["news"][0].Emit(watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{
		"tokens": []any{"fleet", "specs", "spec", "default"}, "body": map[string]any{"payload": "new"},
	}})
	sim.Settle()
	early.Complete(unchanged)
	sim.Advance(time.Second)
	i := slices.IndexFunc(looks["deploy"], func(p *runtime.PendingLook) bool {
		specs, _ := p.View().Data["specs"].([]any)
		return len(specs) == 1
	})
	if i < 0 {
		t.Fatalf("no look has seen the list that was heard; the node is in %s", sim.Machines()[0].State)
	}
	looks["deploy"][i].Complete(unchanged)
	sim.Settle()
	if s := sim.Machines()[0].State; s != "settled" {
		t.Errorf("the node is in %s in the end", s)
	}
}
