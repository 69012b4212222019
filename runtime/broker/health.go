package broker

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// Health reads the broker's own state. It asks nothing over the network, and takes a few milliseconds.
func (b *Broker) Health() cell.Health {
	s := b.fleet.server
	h := cell.Health{
		Running: s.Running() && s.ReadyForConnections(time.Millisecond), Enabled: s.JetStreamEnabled(), Clustered: b.cfg.Cluster != nil,
		Limit: b.cfg.Limits.JetStream.Store,
	}
	h.Free, h.Size = diskSpace(b.cfg.Dir)
	counts := b.fleet.gate.sessions.count()
	h.Nodes, h.Clients = counts[identity.PurposeNode], counts[identity.PurposeClient]
	for _, one := range b.halves() {
		waiting, greeted, joined := one.arrivals.arriving()
		h.Connections = append(h.Connections, cell.Connections{
			Listener: string(one.gate.listener), Used: waiting + greeted + joined, Limit: one.arrivals.places,
		})
	}
	if !h.Running || !h.Enabled {
		return h
	}
	h.Current = s.JetStreamIsCurrent()
	b.readFaults(&h, b.readStreams(&h))
	return h
}

// readStreams reads which streams there are, who leads them, and who is there. It returns their last sequences.
func (b *Broker) readStreams(h *cell.Health) map[string]uint64 {
	info, err := b.fleet.server.Jsz(&server.JSzOptions{Account: AccountFleet, Streams: true})
	if err != nil {
		return nil // it was switched off meanwhile, which the next look sees
	}
	last := map[string]uint64{}
	h.Used, h.Lag = int64(info.Store), map[string]uint64{}
	switch {
	case info.Meta != nil:
		h.Leader = info.Meta.Leader
		b.readHosts(h, info.Meta)
	case !h.Clustered:
		h.Leader = b.cfg.Name
	}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			h.Streams = append(h.Streams, s.Name)
			last[s.Name] = s.State.LastSeq
			if s.Cluster == nil || s.Cluster.Leader != b.cfg.Name {
				continue
			}
			h.Leads = append(h.Leads, s.Name)
			for _, r := range s.Cluster.Replicas {
				h.Lag[r.Name] = max(h.Lag[r.Name], r.Lag)
			}
		}
	}
	slices.Sort(h.Streams)
	slices.Sort(h.Leads)
	return last
}

func (b *Broker) readHosts(h *cell.Health, meta *server.MetaClusterInfo) {
	seen := map[string]bool{b.cfg.Name: true}
	h.Hosts = []cell.Host{{Name: b.cfg.Name}}
	for _, r := range meta.Replicas {
		if !seen[r.Name] {
			seen[r.Name] = true
			h.Hosts = append(h.Hosts, cell.Host{Name: r.Name, Away: r.Offline, Seconds: int64(r.Active / time.Second)})
		}
	}
	if meta.Leader != "" && !seen[meta.Leader] { // it is not among its followers
		h.Hosts = append(h.Hosts, cell.Host{Name: meta.Leader})
	}
	slices.SortFunc(h.Hosts, func(a, b cell.Host) int { return cmp.Compare(a.Name, b.Name) })
}

// readFaults asks for what keeps the broker from doing its part. In a cluster one question is for all streams; where there is none
// nats-server looks at the first stream only, so that it is asked for each.
func (b *Broker) readFaults(h *cell.Health, last map[string]uint64) {
	questions := []server.HealthzOptions{{Details: true}}
	if !h.Clustered {
		questions = nil
		for _, name := range h.Streams {
			questions = append(questions, server.HealthzOptions{Account: AccountFleet, Stream: name, Details: true})
		}
	}
	for _, q := range questions {
		for _, e := range b.fleet.server.Healthz(&q).Errors {
			if e.Type == server.HealthzErrorConsumer && !strings.Contains(e.Error, writeError) {
				continue // what only one reader waits for is not the broker's health
			}
			if broken(e.Error) {
				h.Broken = append(h.Broken, e.Error)
			} else {
				h.Behind = append(h.Behind, e.Error)
				h.Moved += last[e.Stream]
			}
		}
	}
}

// writeError is how nats-server calls what it cannot store.
const writeError = "write error"

// broken reports whether nats-server does not come out of something by itself. These are its own words (server/monitor.go, 2.15.2).
func broken(text string) bool {
	return slices.ContainsFunc([]string{writeError, "apply error", "is not running", "could not be recovered"}, func(s string) bool {
		return strings.Contains(text, s)
	})
}
