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
		Limit: b.cfg.Limits.JetStream.Store + b.cfg.Limits.JetStream.Uplink, Unread: !b.knowledge.Revoked.Known(), RevokedFault: strings.Trim(b.knowledge.Revoked.Fault()+"; "+b.unstored.fault(), "; "),
	}
	h.Free, h.Size = DiskSpace(b.cfg.Dir)
	counts := b.fleet.gate.sessions.count()
	h.Nodes, h.Clients = counts[identity.PurposeNode], counts[identity.PurposeClient]
	for _, one := range b.halves() {
		waiting, greeted, joined := one.arrivals.arriving()
		h.Connections = append(h.Connections, cell.Connections{
			Listener: string(one.gate.listener), Used: waiting + greeted + joined, Limit: one.arrivals.places,
		})
	}
	h.Leafnodes = b.readLeafnodes()
	if !h.Running || !h.Enabled {
		return h
	}
	h.Current = s.JetStreamIsCurrent()
	b.readStreams(&h)
	b.readFaults(&h)
	slices.Sort(h.Leaderless)
	return h
}

// readLeafnodes reads to which servers elsewhere the broker is connected, and what waits for them.
func (b *Broker) readLeafnodes() []cell.Leafnode {
	if len(b.cfg.Leafnodes) == 0 {
		return nil
	}
	connected := map[string]bool{}
	if l, err := b.fleet.server.Leafz(nil); err == nil {
		for _, one := range l.Leafs {
			connected[one.Account] = true
		}
	}
	waiting := map[string]map[string]uint64{} // by consumer and stream
	if info, err := b.fleet.server.JszAccount(&server.JSzOptions{Account: AccountUplink, Streams: true, Consumer: true}); err == nil {
		for _, s := range info.Streams {
			for _, c := range s.Consumer {
				if c.Cluster != nil && c.Cluster.Leader != b.cfg.Name {
					continue
				}
				if waiting[c.Name] == nil {
					waiting[c.Name] = map[string]uint64{}
				}
				waiting[c.Name][s.Name] = c.NumPending + uint64(c.NumAckPending)
			}
		}
	}
	var all []cell.Leafnode
	for _, l := range b.cfg.Leafnodes {
		one := cell.Leafnode{Region: l.Region, Connected: connected[AccountLeafnode(l.Region)], Waiting: map[string]uint64{}}
		for _, name := range l.Streams {
			if n, there := waiting[l.Region][name]; there {
				one.Waiting[name] = n
			}
		}
		all = append(all, one)
	}
	return all
}

// readStreams reads which streams there are, who leads them, and who is there.
func (b *Broker) readStreams(h *cell.Health) {
	info, err := b.fleet.server.Jsz(&server.JSzOptions{Account: AccountFleet, Streams: true, Config: true})
	if err != nil {
		return // it was switched off meanwhile, which the next look sees
	}
	h.Used, h.Lag, h.Held, h.Copies, h.Filling = int64(info.Store), map[string]uint64{}, map[string]uint64{}, map[string]int{}, map[string]int{}
	switch {
	case info.Meta != nil:
		h.Leader = leaderOf(info.Meta.Leader, info.Meta.Replicas)
		b.readHosts(h, info.Meta)
	case !h.Clustered:
		h.Leader = b.cfg.Name
	}
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			h.Streams = append(h.Streams, s.Name)
			h.Held[s.Name] = s.State.LastSeq
			if c := s.Config; c != nil && c.MaxBytes > 0 && c.Discard == server.DiscardNew {
				h.Filling[s.Name] = int(float64(s.State.Bytes) / float64(c.MaxBytes) * 100)
			}
			b.readCopies(h, s.Name, s.Cluster)
		}
	}
	slices.Sort(h.Streams)
	slices.Sort(h.Leads)
}

// readCopies reads who leads a stream and, where this broker does, who has all of it. A broker that is alone leads all of its streams.
func (b *Broker) readCopies(h *cell.Health, name string, group *server.ClusterInfo) {
	if group == nil {
		group = &server.ClusterInfo{Leader: b.cfg.Name}
	}
	switch leaderOf(group.Leader, group.Replicas) {
	case b.cfg.Name:
		h.Leads = append(h.Leads, name)
		h.Copies[name] = 1
	case "":
		h.Leaderless = append(h.Leaderless, name)
		return
	default:
		return
	}
	for _, r := range group.Replicas {
		h.Lag[r.Name] = max(h.Lag[r.Name], r.Lag)
		if r.Current && !r.Offline && r.Lag == 0 {
			h.Copies[name]++
		}
	}
}

// leaderSilent is for how long a leader that says nothing counts. It speaks every second, and others stand for election after nine.
const leaderSilent = 10 * time.Second

// leaderOf is the leader of a group, or "" where it has none: a broker goes on to name one that is gone until another is elected.
func leaderOf(leader string, others []*server.PeerInfo) string {
	for _, r := range others {
		if r.Name == leader && (r.Offline || r.Active > leaderSilent) {
			return ""
		}
	}
	return leader
}

// nameless is what nats-server calls a broker by that it has not heard of since its own start (server/jetstream_cluster.go, 2.15.2).
const nameless = "Server name unknown"

func (b *Broker) readHosts(h *cell.Health, meta *server.MetaClusterInfo) {
	seen := map[string]bool{b.cfg.Name: true}
	h.Hosts = []cell.Host{{Name: b.cfg.Name}}
	for _, r := range meta.Replicas {
		if !seen[r.Name] && !strings.HasPrefix(r.Name, nameless) {
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
func (b *Broker) readFaults(h *cell.Health) {
	var lacking []string
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
			switch {
			case broken(e.Error):
				h.Broken = append(h.Broken, e.Error)
			case slices.Contains(h.Leaderless, e.Stream):
			case h.Clustered && slices.Contains(h.Leads, e.Stream): // it leads, and too few others follow
				h.Leaderless = append(h.Leaderless, e.Stream)
			default:
				h.Behind = append(h.Behind, e.Error)
				h.Moved += h.Held[e.Stream]
			}
			if e.Stream != "" {
				lacking = append(lacking, e.Stream)
			}
		}
	}
	for _, name := range append(lacking, h.Leaderless...) {
		delete(h.Held, name)
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
