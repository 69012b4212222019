package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// manyPercent is how much of the heap in use may be added to it before it is collected, in a process that serves thousands of nodes:
	// bursts of handshakes are short-lived garbage, and collecting it at Go's default of 100 costs a fifth of an enrollment.
	manyPercent = 400
	// fewPercent is the same where it is not known how much memory there is to be had.
	fewPercent = 200
)

// forMany lets the garbage of a process that serves thousands of nodes grow, as long as it takes less than half of the memory that there
// is. What GOGC and GOMEMLIMIT say goes before it. A node's agent keeps Go's default.
func forMany() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	total, ok := memoryOf(os.DirFS("/"))
	if !ok {
		debug.SetGCPercent(fewPercent)
		return
	}
	debug.SetGCPercent(manyPercent)
	debug.SetMemoryLimit(total / 2)
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
