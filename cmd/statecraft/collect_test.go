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
	looks := func(n int, made, live uint64) (percent, calmed int) {
		for range n {
			total += made
			p, now := c.look(total, live)
			if percent = p; now {
				calmed++
			}
		}
		return percent, calmed
	}
	for _, tt := range []struct {
		name            string
		looks           int
		made, live      uint64
		percent, calmed int
	}{
		{"busy from the start", 5, busyPace, 0, manyPercent, 0},
		{"not calm yet", calmLooks - 1, 0, 1 << 20, manyPercent, 0},
		{"busy once more", 1, busyPace, 1 << 20, manyPercent, 0},
		{"busy with a heap", 1, busyPace, mostGarbage, 100, 0},
		{"busy with a large heap", 1, busyPace, 1 << 30, leastPercent, 0},
		{"calm", calmLooks, busyPace - 1, 1 << 30, calmGC, 1},
		{"calm for long", 3 * calmLooks, 0, 1 << 30, calmGC, 0},
		{"busy at once", 1, busyPace, 1 << 20, manyPercent, 0},
	} {
		if percent, calmed := looks(tt.looks, tt.made, tt.live); percent != tt.percent || calmed != tt.calmed {
			t.Errorf("%s: %d %%, calm %d times, want %d %%, %d times", tt.name, percent, calmed, tt.percent, tt.calmed)
		}
	}
}
