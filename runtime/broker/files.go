package broker

import (
	"fmt"
	"log/slog"
)

const (
	// filesBesides are the open files that are kept for all but the connections of the two listeners: the routes of a cluster, the
	// blocks of JetStream's streams and consumers that are written or read, the journal, programs that machines run, the control socket.
	// A host with 14 streams has about 100 of them open.
	filesBesides = 2048
	// filesGreeted is the part of the open files that connections in their login may have at most.
	filesGreeted = 16
	// fewestConnections is with how many a broker is still of use.
	fewestConnections = 100
)

// caps are how many connections may be logged in at each listener.
type caps struct{ fleet, enrollment int }

// fit lowers caps, both by the same part, to what the limit of open files has room for beside greeted connections of each listener and
// all else. It fails where too little would be left.
func (c caps) fit(limit uint64, greeted int) (caps, error) {
	besides := min(filesBesides, limit/2)
	listeners := uint64(1)
	if c.enrollment > 0 {
		listeners = 2
	}
	wanted := uint64(c.fleet + c.enrollment)
	besides += listeners * uint64(greeted)
	if wanted+besides <= limit {
		return c, nil
	}
	left := limit - min(limit, besides)
	share := func(n int) int { return max(int(uint64(n)*left/wanted), min(n, fewestConnections)) }
	lowered := caps{fleet: share(c.fleet), enrollment: share(c.enrollment)}
	if uint64(lowered.fleet+lowered.enrollment) > left {
		return c, fmt.Errorf("the system allows this process %d open files, which leaves fewer than %d connections a listener: allow more, with "+
			"LimitNOFILE=%d in the unit of systemd or ulimit -n", limit, fewestConnections, wanted+besides)
	}
	return lowered, nil
}

// holdFiles holds the caps of the listeners against the open files that the system allows, and lowers them where it allows too few.
func (b *Broker) holdFiles() error {
	limit, err := raiseFiles()
	if err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	b.files = limit
	l := &b.cfg.Limits
	l.Greeted = max(min(l.Greeted, int(limit/filesGreeted)), 1)
	wanted := caps{fleet: l.Connections}
	if b.cfg.Enrollment != "" {
		wanted.enrollment = l.EnrollmentConnections
	}
	given, err := wanted.fit(limit, l.Greeted)
	if err != nil || given == wanted {
		return err
	}
	l.Connections = given.fleet
	if b.cfg.Enrollment != "" {
		l.EnrollmentConnections = given.enrollment
	}
	l.PerAddress = max(min(l.PerAddress, given.fleet/4*3), 1)
	b.cfg.Log.Warn("open_files_short", slog.Uint64("limit", limit),
		slog.Int("connections", given.fleet), slog.Int("connections_wanted", wanted.fleet),
		slog.Int("enrollment_connections", given.enrollment), slog.Int("enrollment_connections_wanted", wanted.enrollment),
		slog.String("hint", "allow more with LimitNOFILE in the unit of systemd, or ulimit -n"))
	return nil
}
