package main

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const (
	// manyPercent is how much of the heap in use may be added to it before it is collected, in a process that serves thousands of nodes:
	// bursts of handshakes are short-lived garbage, and collecting it at Go's default of 100 costs a fifth of an enrollment.
	manyPercent = 400
	// fewPercent is the same where it is not known how much memory there is to be had.
	fewPercent = 200
)

// forMany lets the garbage of a process that serves thousands of nodes grow while it is busy, as long as it takes less than half of the
// memory that there is, and gives memory back when it is calm again; until ctx ends. What GOGC and GOMEMLIMIT say goes before it. A node's
// agent keeps Go's default.
func forMany(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	c := collector{percent: fewPercent}
	if total, ok := memoryOf(os.DirFS("/")); ok {
		c.percent = manyPercent
		debug.SetMemoryLimit(total / 2)
	}
	debug.SetGCPercent(c.percent)
	go c.watch(ctx)
}

const (
	paceEvery  = 200 * time.Millisecond
	busyPace   = 12 << 20 // bytes allocated between two looks at the pace; heartbeats of 5,000 nodes take a tenth of it
	calmLooks  = 50       // in a row, until a process is calm
	calmGC     = 100      // Go's default
	allocTotal = "/gc/heap/allocs:bytes"
	heapLive   = "/gc/heap/live:bytes" // what the last collection left
	// mostGarbage is how many bytes may be added to the heap before it is collected, however large it is, but half of it at least: what
	// strangers make of the memory of a host is mostly this.
	mostGarbage  = 64 << 20
	leastPercent = 50
)

// collector sets how much garbage there may be by how fast it is made.
type collector struct {
	percent   int    // while the process is busy, and its heap is small
	set       int    // the percentage that was set last
	allocated uint64 // in all, at the last look
	calm      int    // looks in a row that found it calm, up to calmLooks
}

func (c *collector) watch(ctx context.Context) {
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	sample := []metrics.Sample{{Name: allocTotal}, {Name: heapLive}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(sample)
		percent, calmed := c.look(sample[0].Value.Uint64(), sample[1].Value.Uint64())
		if percent != c.set {
			debug.SetGCPercent(percent)
			c.set = percent
		}
		if calmed {
			debug.FreeOSMemory()
		}
	}
}

// look takes what has been allocated in all and what of it is in use, and says how much garbage there may be and whether the process has
// become calm.
func (c *collector) look(allocated, live uint64) (percent int, calmed bool) {
	made := allocated - c.allocated
	c.allocated = allocated
	was := c.calm
	if made >= busyPace {
		c.calm = 0
	} else {
		c.calm = min(c.calm+1, calmLooks)
	}
	if c.calm == calmLooks {
		return calmGC, was < calmLooks
	}
	return c.busy(live), false
}

// busy is how much garbage there may be while the process is busy, in percent of what is in use.
func (c *collector) busy(live uint64) int {
	if live == 0 {
		return c.percent
	}
	return min(c.percent, max(leastPercent, int(mostGarbage*100/live)))
}

// memoryOf is how many bytes of memory this process may have: the machine's or, where that is less, what a control group that
// it runs in allows. It is not known on systems other than Linux.
func memoryOf(root fs.FS) (total int64, ok bool) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(words[1], 10, 44)
			return min(kib<<10, groupLimit(root)), err == nil && kib > 0
		}
	}
	return 0, false
}

// groupLimit is what the control groups of this process allow, the innermost first and each within the one around it.
func groupLimit(root fs.FS) int64 {
	limit := int64(math.MaxInt64)
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return limit
	}
	_, group, _ := strings.Cut(strings.TrimSpace(string(text)), "0::/") // of version 2, where all resources have one group
	for at := path.Join("sys/fs/cgroup", group); at != "sys/fs" && at != "."; at = path.Dir(at) {
		text, err := fs.ReadFile(root, at+"/memory.max")
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	return limit
}
