package node_test

import (
	"fmt"
	"os"
	"runtime/pprof"
	"syscall"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/node"
)

func TestDebugTimeline(t *testing.T) {
	const N = 500
	var mu sync.Mutex
	type ev struct {
		at   time.Duration
		what string
	}
	var began time.Time
	all := map[string][]time.Duration{}
	c, a := newCell(t, nil), newAgent(t, func(c *node.Config) {
		c.Observe = func(r *machine.Record, _ bool) {
			mu.Lock()
			defer mu.Unlock()
			if began.IsZero() {
				return
			}
			k := fmt.Sprintf("%s %s->%s %s", r.Machine, r.From, r.To, r.Event)
			all[k] = append(all[k], time.Since(began))
		}
	})
	s := openShop(t, c)
	e, err := a.Emulate(t.Context(), "n", "test", c.join, N, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == N })
	quietWeb := web("1.0.0")
	quietWeb["machine.yaml"] = strings.Replace(quietWeb["machine.yaml"], "interval: 500ms", "interval: 1h\n    splay: 1h", 1)
	one := s.stock(quietWeb)
	eventually(t, "all rest", func() bool {
		n := 0
		for _, m := range a.Host().Machines() {
			if filepath.Base(m.Name) == "deployer" && m.State == "waiting" {
				n++
			}
		}
		return n == N
	})
	mu.Lock()
	began = time.Now()
	mu.Unlock()
	pf, _ := os.Create("/tmp/cpu2.prof")
	_ = pprof.StartCPUProfile(pf)
	var r0, r1 syscall.Rusage
	_ = syscall.Getrusage(0, &r0)
	s.publish(one)
	eventually(t, "all nodes run it", func() bool {
		running := 0
		for _, m := range a.Host().Machines() {
			if filepath.Base(m.Name) == "web" && m.State != "" {
				running++
			}
		}
		return running == N
	})
	_ = syscall.Getrusage(0, &r1)
	pprof.StopCPUProfile()
	_ = pf.Close()
	cpu := func(r syscall.Rusage) float64 { return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6 }
	t.Log("done", time.Since(began), "cpu per node ms", (cpu(r1)-cpu(r0))/N*1000)
	mu.Lock()
	defer mu.Unlock()
	var keys []string
	for k := range all {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return all[keys[i]][0] < all[keys[j]][0] })
	for _, k := range keys {
		d := all[k]
		sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
		t.Logf("%5d first %8.1fms median %8.1fms p99 %8.1fms last %8.1fms  %s", len(d), ms(d[0]), ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(d[len(d)-1]), k)
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
