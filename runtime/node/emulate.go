package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// enrollment is the built-in machine that joins an overlay.
const enrollment = "enrollment"

// Emulation is many nodes in one agent: real handshakes and connections, one runtime.
type Emulation struct {
	agent *Agent
	names []string
	began map[string]time.Time // when the node's machines were started
}

// Emulate starts nodes of the agent that share a join token, count of them, called PREFIX1.DOMAIN and so on; pause is the time between
// two of them. The agent must be running, and its own identity must be none of theirs. Their keys are kept in memory.
func (a *Agent) Emulate(ctx context.Context, prefix, domain, token string, count int, pause time.Duration) (*Emulation, error) {
	e := &Emulation{agent: a, began: map[string]time.Time{}}
	for i := range count {
		id := fmt.Sprintf("%s%d.%s", prefix, i+1, domain)
		store, err := identity.OpenStore("")
		if err == nil {
			err = store.SetJoinToken(token)
		}
		if err != nil {
			return e, fmt.Errorf("node %s: %w", id, err)
		}
		e.began[id] = a.cfg.Clock.Now()
		e.names = append(e.names, id)
		if err := a.Add(ctx, id, store); err != nil {
			return e, fmt.Errorf("node %s: %w", id, err)
		}
		if err := sleep(ctx, pause); err != nil {
			return e, err
		}
	}
	return e, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Standing is how far an emulation has come.
type Standing struct {
	Nodes  int            `json:"nodes"`
	States map[string]int `json:"states"` // of the enrollment machines
	Active int            `json:"active"`
	// First and Last are when the first node was started and when the last one became active.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Median and P99 are the times from a node's start to its being active, of those that are, in seconds.
	Median float64 `json:"median_seconds"`
	P99    float64 `json:"p99_seconds"`
}

// PerMinute is the rate at which nodes became active, from the first start to the last arrival.
func (s *Standing) PerMinute() float64 {
	if s.Active == 0 || !s.Last.After(s.First) {
		return 0
	}
	return float64(s.Active) / s.Last.Sub(s.First).Minutes()
}

// Standing counts where the nodes are.
func (e *Emulation) Standing() Standing {
	s := Standing{Nodes: len(e.names), States: map[string]int{}}
	var took []time.Duration
	for _, m := range e.agent.host.Machines() {
		id, isEnrollment := strings.CutSuffix(m.Name, "/"+enrollment)
		began, known := e.began[id]
		if !isEnrollment || !known {
			continue
		}
		s.States[m.State]++
		if s.First.IsZero() || began.Before(s.First) {
			s.First = began
		}
		if m.State != "active" {
			continue
		}
		s.Active++
		took = append(took, m.Since.Sub(began))
		if m.Since.After(s.Last) {
			s.Last = m.Since
		}
	}
	slices.Sort(took)
	s.Median, s.P99 = percentile(took, 50), percentile(took, 99)
	return s
}

// percentile returns the nearest-rank percentile of sorted times in seconds, 0 of none.
func percentile(sorted []time.Duration, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)].Seconds()
}
