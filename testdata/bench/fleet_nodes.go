package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// nodes are emulated by one process, and stay connected until it is ended.
type nodes struct {
	*child
	joined
}

// joined is what the process says when its nodes have joined, or when it gives up.
type joined struct {
	Nodes, Active int
	Last          time.Time // when the last became active
	Median        float64   `json:"median_seconds"` // from a node's start to its being active
	Seconds       float64   // from the first start to the last arrival
}

// emulate starts nodes whose names begin with a prefix, and returns when all of them are active, which they must be within a limit.
func (c *cell) emulate(prefix string, count int, limit time.Duration) (n *nodes, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := c.command(c.ctx, "emulate", "--json", "--join", c.path("made", "join.jwt"), "--nodes", strconv.Itoa(count), "--prefix", prefix,
		"--state", c.path("nodes-"+prefix), "--for", limit.String())
	cmd.Stdout = write
	n = &nodes{}
	n.child, err = launch(cmd, "the emulator of "+prefix, c.path(prefix+".log"))
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, err
	}
	err = json.NewDecoder(read).Decode(&n.joined)
	if err == nil && n.Active == count && n.Nodes == count {
		return n, nil
	}
	return nil, errors.Join(fmt.Errorf("%d of %d nodes joined", n.Active, count), err, n.end())
}

// nodeName is that of the i-th node of a prefix, from 0 on.
func nodeName(prefix string, i int) string { return fmt.Sprintf("%s%d.emulated", prefix, i+1) }

// usage is what a process has used and holds.
type usage struct {
	own, children time.Duration // processor time: its own, and that of its processes which have ended
	resident      float64       // KiB
}

func (u usage) less(o usage) usage {
	return usage{own: u.own - o.own, children: u.children - o.children, resident: u.resident - o.resident}
}

// use reads the usage of a process. Threads that have ended count.
func use(pid int) (u usage, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name of the program, in brackets, may hold anything. What follows it begins with the third field, of which proc(5) has the numbers.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const third, user, tick = 3, 14, 10 * time.Millisecond // the kernel's USER_HZ is 100
	var ticks [4]time.Duration                             // own in user mode and in the kernel, then the same of children
	for i := range ticks {
		if len(fields) <= user-third+i {
			return u, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+third-1)
		}
		n, err := strconv.ParseInt(fields[user-third+i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
		}
		ticks[i] = time.Duration(n) * tick
	}
	u.own, u.children = ticks[0]+ticks[1], ticks[2]+ticks[3]
	u.resident, err = memory(pid, "status", "VmRSS")
	return u, err
}

// enoughFiles refuses more nodes than one process can have connections. Programs raise their own limit as far as they may.
func enoughFiles(nodes int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking for the limit of open files: %w", err)
	}
	// A node's two connections follow one another, but may overlap.
	if need := uint64(2*nodes + 1000); limit.Max < need {
		return fmt.Errorf("%d nodes need %d open files, and this process may have %d: raise the hard limit (ulimit -Hn), or use -nodes",
			nodes, need, limit.Max)
	}
	return nil
}
