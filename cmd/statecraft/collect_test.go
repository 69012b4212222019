package main

import (
	"testing"
	"testing/fstest"
)

func TestMemoryOf(t *testing.T) {
	const machine = "MemTotal:        4038084 kB\nMemFree:          151044 kB\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
		known bool
	}{
		{"another system", nil, 0, false},
		{"no total", map[string]string{"proc/meminfo": "MemFree: 1 kB\n"}, 0, false},
		{"no number", map[string]string{"proc/meminfo": "MemTotal: much kB\n"}, 0, false},
		{"a machine", map[string]string{"proc/meminfo": machine}, 4038084 << 10, true},
		{"a container", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n",
		}, 1 << 30, true},
		{"a service of a slice", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/a.service\n",
			"sys/fs/cgroup/system.slice/memory.max": "536870912\n", "sys/fs/cgroup/system.slice/a.service/memory.max": "max\n",
		}, 1 << 29, true},
		{"a limit beyond the machine", map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1099511627776\n",
		}, 4038084 << 10, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			total, known := memoryOf(root)
			if known != tt.known || known && total != tt.want {
				t.Errorf("%d, %t, want %d, %t", total, known, tt.want, tt.known)
			}
		})
	}
}

func TestCollectorFollowsThePace(t *testing.T) {
	c := collector{percent: manyPercent}
	total := uint64(0)
	looks := func(n int, made uint64) (percent, changes int) {
		for range n {
			total += made
			p, changed := c.look(total)
			if percent = p; changed {
				changes++
			}
		}
		return percent, changes
	}
	for _, tt := range []struct {
		name             string
		looks            int
		made             uint64
		percent, changes int
	}{
		{"busy from the start", 5, busyPace, manyPercent, 0},
		{"not calm yet", calmLooks - 1, 0, manyPercent, 0},
		{"busy once more", 1, busyPace, manyPercent, 0},
		{"calm", calmLooks, busyPace - 1, calmGC, 1},
		{"calm for long", 3 * calmLooks, 0, calmGC, 0},
		{"busy at once", 1, busyPace, manyPercent, 1},
	} {
		if percent, changes := looks(tt.looks, tt.made); percent != tt.percent || changes != tt.changes {
			t.Errorf("%s: %d %% after %d changes, want %d %% after %d", tt.name, percent, changes, tt.percent, tt.changes)
		}
	}
}
