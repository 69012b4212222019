package keyvalue

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// config is a stream's configuration.
type config = jetstream.StreamConfig

// unlimited is how NATS writes that there is no bound.
const unlimited = -1

// defaultDuplicates is how long NATS remembers message ids where nothing is said.
const defaultDuplicates = 2 * time.Minute

// wants returns everything that is declared, in the order in which it is.
func (s *streamsSpec) wants() []want {
	var all []want
	for i := range s.Streams {
		d := &s.Streams[i]
		all = append(all, want{kind: "stream", name: d.Name, spec: d.commonSpec, fill: d.fill, async: d.Persist == "async"})
	}
	for i := range s.Buckets {
		d := &s.Buckets[i]
		all = append(all, want{kind: "bucket", name: d.Name, spec: d.commonSpec, fill: d.fill, once: d.WriteOnce})
	}
	for i := range s.Objects {
		d := &s.Objects[i]
		all = append(all, want{kind: "object store", name: d.Name, spec: d.commonSpec, fill: d.fill})
	}
	for i := range all {
		all[i].drops = all[i].spec.Shrink == "drop"
	}
	return all
}

// stream returns the name of the stream that keeps it.
func (w *want) stream() string {
	var c config
	w.fill(&c)
	return c.Name
}

// filled returns what a configuration comes to as declared: what is not declared anywhere stays, such as sources and mirrors.
func (w *want) filled(present config, replicas int, persist jetstream.PersistModeType) config {
	c := normal(present)
	w.spec.fill(&c)
	w.fill(&c)
	c.Replicas, c.PersistMode = replicas, persist
	return normal(c)
}

// normal returns a configuration in which equal things look the same.
func normal(c config) config {
	c.Subjects = slices.Sorted(slices.Values(c.Subjects))
	c.Metadata = maps.Clone(c.Metadata)
	maps.DeleteFunc(c.Metadata, func(name, _ string) bool { return strings.HasPrefix(name, "_nats.") }) // the broker's own
	if len(c.Metadata) == 0 {
		c.Metadata = nil
	}
	if r := c.RePublish; r != nil && r.Source == "" {
		c.RePublish = &jetstream.RePublish{Source: ">", Destination: r.Destination, HeadersOnly: r.HeadersOnly}
	}
	return c
}

func (s *commonSpec) fill(c *config) {
	c.Description, c.MaxBytes, c.Metadata = s.Description, bound(s.MaxBytes.bytes), s.Metadata
	c.Storage, c.Compression = jetstream.FileStorage, jetstream.NoCompression
	if s.Storage == "memory" {
		c.Storage = jetstream.MemoryStorage
	}
	if s.Compression == "s2" {
		c.Compression = jetstream.S2Compression
	}
	if s.Cluster != "" || len(s.Tags) > 0 {
		c.Placement = &jetstream.Placement{Cluster: s.Cluster, Tags: s.Tags}
	}
}

func (s *streamSpec) fill(c *config) {
	c.Name, c.Subjects = s.Name, slices.Sorted(slices.Values(s.Subjects))
	switch s.Retention {
	case "interest":
		c.Retention = jetstream.InterestPolicy
	case "workqueue":
		c.Retention = jetstream.WorkQueuePolicy
	default:
		c.Retention = jetstream.LimitsPolicy
	}
	c.Discard = jetstream.DiscardOld
	if s.Discard == "new" {
		c.Discard = jetstream.DiscardNew
	}
	c.DiscardNewPerSubject = s.DiscardNewPerSubject
	c.MaxAge, c.MaxMsgs, c.MaxMsgsPerSubject = s.MaxAge.Std(), bound(s.MaxMessages), bound(s.MaxMessagesPerSubject)
	c.MaxMsgSize, c.MaxConsumers = bound32(s.MaxMessageSize), int(bound(s.MaxConsumers))
	c.Duplicates = duplicates(c, s.Duplicates)
	c.ConsumerLimits = jetstream.StreamConsumerLimits{MaxAckPending: s.MaxAckPending, InactiveThreshold: s.InactiveThreshold.Std()}
	c.RePublish = s.Republish.config()
	c.AllowDirect, c.AllowRollup, c.NoAck = s.AllowDirect, s.AllowRollup || s.DeleteMarkerTTL > 0 || s.AllowSchedules, s.NoAck
	c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = s.AllowMessageTTL || s.DeleteMarkerTTL > 0, s.DeleteMarkerTTL.Std()
	c.AllowAtomicPublish, c.AllowBatchPublish = s.AllowAtomic, s.AllowBatch
	c.AllowMsgCounter, c.AllowMsgSchedules = s.AllowCounters, s.AllowSchedules
	c.DenyDelete, c.DenyPurge = s.DenyDelete, s.DenyPurge
}

// fill sets what the library sets for a bucket (ADR-8), which a test holds it to.
func (s *bucketSpec) fill(c *config) {
	c.Name, c.Subjects = "KV_"+s.Name, []string{"$KV." + s.Name + ".>"}
	c.Discard, c.AllowRollup, c.DenyDelete, c.AllowDirect = jetstream.DiscardNew, true, true, true
	c.MaxMsgs, c.MaxConsumers, c.MaxMsgsPerSubject = unlimited, unlimited, s.History
	c.MaxAge, c.MaxMsgSize = s.TTL.Std(), bound32(s.MaxValueSize)
	c.Duplicates = duplicates(c, 0)
	c.RePublish = s.Republish.config()
	c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = s.LimitMarkerTTL > 0, s.LimitMarkerTTL.Std()
	c.DiscardNewPerSubject, c.DenyPurge = s.WriteOnce, s.WriteOnce
	if s.WriteOnce {
		c.AllowRollup = false
	}
}

// fill sets what the library sets for an object store (ADR-20), which a test holds it to.
func (s *objectSpec) fill(c *config) {
	c.Name, c.Subjects = "OBJ_"+s.Name, []string{"$O." + s.Name + ".C.>", "$O." + s.Name + ".M.>"}
	c.Discard, c.AllowRollup, c.AllowDirect = jetstream.DiscardNew, true, true
	c.MaxMsgs, c.MaxConsumers, c.MaxMsgsPerSubject, c.MaxMsgSize = unlimited, unlimited, unlimited, unlimited
	c.MaxAge = s.TTL.Std()
	c.Duplicates = duplicates(c, 0)
}

func (r *republishSpec) config() *jetstream.RePublish {
	if r == nil {
		return nil
	}
	return &jetstream.RePublish{Source: r.Source, Destination: r.Destination, HeadersOnly: r.HeadersOnly}
}

// bound writes a bound as NATS does.
func bound[N size | int | int64](n N) int64 {
	if n == 0 {
		return unlimited
	}
	return int64(n)
}

// bound32 writes a bound on one message, which has fewer digits in NATS. No message is that large.
func bound32(n size) int32 { return int32(min(bound(n), math.MaxInt32)) }

// duplicates is the window for message ids: as declared, else as it is, at most as long as messages are kept.
func duplicates(c *config, declared strict.Duration) time.Duration {
	window := c.Duplicates
	if declared > 0 {
		return declared.Std()
	}
	if window == 0 {
		window = defaultDuplicates
	}
	if c.MaxAge > 0 {
		window = min(window, c.MaxAge)
	}
	return window
}
