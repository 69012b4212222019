package overlay

import (
	"fmt"
	"strconv"
	"strings"
)

// config is the text of a host's configuration, with what may be changed in it.
func (m *maker) config(h HostOptions) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Host %s of cell %s. Every key is described in docs/overlay.md.", h.Name, m.o.Cell)
	line("cell: %s", strconv.Quote(m.o.Cell))
	line("host: %s", strconv.Quote(h.Name))
	line("listen:")
	line("  fleet: %s", strconv.Quote(address(h.Listen, h.Fleet)))
	if h.Enrollment != 0 {
		line("  enrollment: %s", strconv.Quote(address(h.Listen, h.Enrollment)))
	}
	line("  cluster: %s", strconv.Quote(address(h.Listen, h.Cluster)))
	if h.Monitor != 0 {
		line("  monitor: %s", strconv.Quote(address("127.0.0.1", h.Monitor)))
	}
	line("brokers: %s", list(m.urls(fleetPort)))
	line("hosts: %d", len(m.o.Hosts))
	line("peers: %s", list(m.peers(h)))
	settings, err := m.settings()
	b.WriteString(settings)
	return b.String(), err
}

// peers are the cluster listeners of the other hosts.
func (m *maker) peers(of HostOptions) []string {
	var peers []string
	for _, other := range m.o.Hosts {
		if other.Name != of.Name {
			peers = append(peers, address(other.Address, other.Cluster))
		}
	}
	return peers
}

func list(texts []string) string {
	var quoted []string
	for _, s := range texts {
		quoted = append(quoted, strconv.Quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
