package cell

import "context"

// Broker is the embedded broker of a host. The host implements it.
type Broker interface {
	// Health reads the broker's own state. It asks nothing over the network.
	Health() Health
	// Restart ends the broker and starts it with the same options. Connections of this process come back by themselves. It returns when the
	// broker listens, or with an error when it does not.
	Restart(ctx context.Context) error
}

// Health is what an embedded broker knows of itself.
type Health struct {
	// Running is whether it listens; Enabled whether its JetStream works: nats-server switches it off for good when the disk is full.
	Running, Enabled bool
	// Clustered is whether it belongs to a cluster by its configuration; Current whether it has all that the cluster has decided. One that is
	// alone is current.
	Clustered, Current bool
	// Leader is the broker that leads JetStream in the cluster; "" where there is none. One that is alone leads.
	Leader string
	// Hosts are the brokers of the cluster, this one included, as this one sees them.
	Hosts []Host
	// Streams are those that it has a copy of, Leads those of them that it leads, in order.
	Streams, Leads []string
	// Broken says what cannot be written or read any more until the broker is started anew; Behind what it does not have all of.
	Broken, Behind []string
	// Leaderless are streams that it has a copy of and in which nothing can be decided: their leader is gone, or has too few copies. To start
	// the broker anew helps nobody then.
	Leaderless []string
	// Held has the last sequence of each stream that it has a copy of which is well.
	Held map[string]uint64
	// Copies is how many hosts have all of a stream, this one included, by stream that this one leads.
	Copies map[string]int
	// Moved grows while the streams that are behind take in what they miss: the sum of their last sequences.
	Moved uint64
	// Lag is how many messages other hosts are behind in a stream that this one leads, the most of all, by host.
	Lag map[string]uint64
	// Used and Limit are bytes: what streams take, and what they may (stream_bytes).
	Used, Limit int64
	// Unread is whether it does not know yet what is revoked, and so lets in nobody but services; RevokedFault says what is wrong with the host's own
	// copy of that, "" where nothing is.
	Unread       bool
	RevokedFault string
	// TrustFault says what is wrong with what the host keeps of trust roots and lists, "" where nothing is.
	TrustFault string
	// Filling is how many percent of its bytes each stream has that takes nothing more when it is full, by stream that it has a copy of.
	Filling map[string]int
	// Free and Size are of the file system that streams are on, in bytes; 0 where it cannot be read.
	Free, Size int64
	// Nodes and Clients are connected to this broker.
	Nodes, Clients int
	// Connections are those of each listener, whether or not they have logged in.
	Connections []Connections
	// Leafnodes are the servers elsewhere that the broker's configuration names.
	Leafnodes []Leafnode
}

// Stores reports whether the broker stores what it is given: JetStream is on, and nothing of it is broken.
func (h *Health) Stores() bool { return h.Enabled && len(h.Broken) == 0 }

// HasAll reports whether it has all that its cluster has decided, and the cluster can decide: without a leader nothing is stored anywhere.
func (h *Health) HasAll() bool {
	return h.Enabled && h.Current && len(h.Behind)+len(h.Leaderless) == 0 && (!h.Clustered || h.Leader != "")
}

// Leafnode is a server elsewhere.
type Leafnode struct {
	Region    string
	Connected bool
	// Waiting is how many messages of a stream are on their way to it, or wait, by stream that this broker leads.
	Waiting map[string]uint64
}

// Connections is how many a listener, fleet or enrollment, has, and how many it may have.
type Connections struct {
	Listener    string
	Used, Limit int
}

// Host is a broker of the cluster as another one sees it.
type Host struct {
	Name string
	// Away is whether it has not been heard of lately, Seconds how long ago it was heard of last; 0 where that is not known. Only the broker that
	// leads JetStream hears of all.
	Away    bool
	Seconds int64
}
