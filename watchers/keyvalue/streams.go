package keyvalue

import (
	"fmt"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// streamsSpec is the properties of a streams watcher.
type streamsSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
	// Streams are the streams that are to be there. Others are left alone.
	Streams []streamSpec `yaml:"streams"`
	// Buckets are the key-value buckets that are to be there: the streams KV_NAME.
	Buckets []bucketSpec `yaml:"buckets"`
	// Objects are the object stores that are to be there: the streams OBJ_NAME.
	Objects []objectSpec `yaml:"objects"`
}

// commonSpec is what streams, buckets and object stores have in common.
type commonSpec struct {
	// Name is letters, digits, - and _.
	Name string `yaml:"name,required"`
	// Description is for people.
	Description string `yaml:"description"`
	// Storage is file or memory. NATS cannot change it afterwards.
	Storage string `yaml:"storage" default:"file" enum:"file|memory"`
	// Replicas is how many brokers keep a copy: 1 to 5, or auto for as many as the cluster has, at most 3. Auto never takes one away.
	Replicas replicas `yaml:"replicas" default:"auto"`
	// MaxBytes bounds everything in it: a size such as 10GiB, or a share such as 30% of what the smallest broker of the cell may keep, which a
	// broker says by its tag stream_bytes:N. Absent is no bound. What holds more than its share and has no bound yet is bounded a quarter
	// above that, and told. A bound grows only while all brokers that keep a copy are there.
	MaxBytes allotment `yaml:"max_bytes" empty:"refused"`
	// Shrink is what becomes of messages or values beyond a max_bytes, max_age or ttl that is lower than before: keep refuses the bound and says
	// so, drop deletes the oldest. Where a bound of bytes refuses what is new, none is deleted for it.
	Shrink string `yaml:"shrink" default:"keep" enum:"keep|drop"`
	// Compression is none or s2.
	Compression string `yaml:"compression" default:"none" enum:"none|s2"`
	// Cluster is the cluster that keeps it. Absent is wherever it is.
	Cluster string `yaml:"cluster"`
	// Tags are those of the brokers that may keep it.
	Tags []string `yaml:"tags"`
	// Metadata is free texts by name.
	Metadata map[string]string `yaml:"metadata"`
}

// streamSpec is a stream.
type streamSpec struct {
	commonSpec `yaml:",inline"`
	// Subjects are what is stored.
	Subjects []string `yaml:"subjects,required"`
	// Retention is when messages go: limits (age and size), interest (all consumers have them), workqueue (one consumer has them).
	Retention string `yaml:"retention" default:"limits" enum:"limits|interest|workqueue"`
	// MaxAge is how long messages are kept. Absent is for ever.
	MaxAge strict.Duration `yaml:"max_age" empty:"refused" min:"100ms"`
	// MaxMessages bounds the messages in all.
	MaxMessages int64 `yaml:"max_messages" empty:"refused" min:"1"`
	// MaxMessagesPerSubject bounds the messages of each subject.
	MaxMessagesPerSubject int64 `yaml:"max_messages_per_subject" empty:"refused" min:"1"`
	// MaxMessageSize bounds a message.
	MaxMessageSize size `yaml:"max_message_size" empty:"refused"`
	// MaxConsumers bounds the consumers.
	MaxConsumers int `yaml:"max_consumers" empty:"refused" min:"1"`
	// Discard is what gives way when a bound is reached: old messages or the new one.
	Discard string `yaml:"discard" default:"old" enum:"old|new"`
	// DiscardNewPerSubject refuses a new message also where its subject has as many as it may; with discard new.
	DiscardNewPerSubject bool `yaml:"discard_new_per_subject"`
	// Duplicates is how long message ids are remembered. Absent is 2 minutes, or max_age where that is shorter.
	Duplicates strict.Duration `yaml:"duplicates" min:"100ms"`
	// MaxAckPending bounds what a consumer may leave unacknowledged.
	MaxAckPending int `yaml:"max_ack_pending" min:"1"`
	// InactiveThreshold bounds how long an unused consumer is kept.
	InactiveThreshold strict.Duration `yaml:"inactive_threshold"`
	// Republish publishes what was stored once more.
	Republish *republishSpec `yaml:"republish"`
	// Persist is default (a message is stored before it is acknowledged) or async (after, much faster; what was not yet stored is
	// lost with the broker). Async counts for a broker that is in no cluster: NATS cannot change it afterwards, nor give it replicas.
	Persist string `yaml:"persist" default:"default" enum:"default|async"`
	// AllowDirect lets every replica answer reads.
	AllowDirect bool `yaml:"allow_direct" default:"true"`
	// AllowRollup lets a message replace those before it.
	AllowRollup bool `yaml:"allow_rollup"`
	// AllowMessageTTL lets a message say how long it is kept. NATS cannot take it back.
	AllowMessageTTL bool `yaml:"allow_message_ttl"`
	// DeleteMarkerTTL is how long a marker stays where the last message of a subject has run out.
	DeleteMarkerTTL strict.Duration `yaml:"delete_marker_ttl" min:"1s"`
	// AllowAtomic lets several messages be stored as one.
	AllowAtomic bool `yaml:"allow_atomic"`
	// AllowBatch lets messages be stored in fast batches.
	AllowBatch bool `yaml:"allow_batch"`
	// AllowCounters makes messages counters. NATS cannot change it afterwards.
	AllowCounters bool `yaml:"allow_counters"`
	// AllowSchedules lets messages be delivered later. NATS cannot take it back.
	AllowSchedules bool `yaml:"allow_schedules"`
	// DenyDelete keeps messages from being deleted one by one. NATS cannot take it back.
	DenyDelete bool `yaml:"deny_delete"`
	// DenyPurge keeps messages from being purged. NATS cannot take it back.
	DenyPurge bool `yaml:"deny_purge"`
	// NoAck acknowledges nothing.
	NoAck bool `yaml:"no_ack"`
}

// republishSpec publishes what was stored once more.
type republishSpec struct {
	// Source is which subjects; all by default.
	Source string `yaml:"source" default:">"`
	// Destination is where to, with $1 and so on for the wildcards of source.
	Destination string `yaml:"destination,required"`
	// HeadersOnly leaves the bodies out.
	HeadersOnly bool `yaml:"headers_only"`
}

// bucketSpec is a key-value bucket.
type bucketSpec struct {
	commonSpec `yaml:",inline"`
	// History is how many values of a key are kept.
	History int64 `yaml:"history" default:"1" min:"1" max:"64"`
	// TTL is how long a value is kept. Absent is for ever.
	TTL strict.Duration `yaml:"ttl" empty:"refused" min:"100ms"`
	// MaxValueSize bounds a value.
	MaxValueSize size `yaml:"max_value_size" empty:"refused"`
	// LimitMarkerTTL is how long a marker stays where a value has run out; it allows values with a TTL of their own.
	LimitMarkerTTL strict.Duration `yaml:"limit_marker_ttl" min:"1s"`
	// Republish publishes what was written once more.
	Republish *republishSpec `yaml:"republish"`
	// WriteOnce takes one value for each key, for good: no second one, no deletion, no roll-up and no purge, from anybody. With history 1 and without
	// ttl. A bucket that is there becomes one and keeps its values; markers of deletions are removed from it, as nobody could write to those keys
	// again. NATS cannot take it back.
	WriteOnce bool `yaml:"write_once"`
}

// objectSpec is an object store.
type objectSpec struct {
	commonSpec `yaml:",inline"`
	// TTL is how long an object is kept. Absent is for ever.
	TTL strict.Duration `yaml:"ttl" empty:"refused" min:"100ms"`
}

// replicas is a number, 0 for auto.
type replicas int

// UnmarshalNode implements strict.Unmarshaler.
func (r *replicas) UnmarshalNode(n *strict.Node, _ strict.Options) (list diag.List) {
	switch {
	case n.Kind == strict.Scalar && n.Value == "auto":
		*r = 0
	case n.Kind == strict.Scalar && len(n.Value) == 1 && n.Value >= "1" && n.Value <= "5":
		*r = replicas(n.Value[0] - '0')
	default:
		list.Add(diag.Error, CodeReplicas, n.Pos, "write 1 to 5, or auto for one on each broker and at most 3", "replicas: %q cannot be", n.Value)
	}
	return list
}

// Validate checks names and what cannot be together.
func (s *streamsSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	seen := map[string]bool{}
	check := func(kind, prefix, name string, i int) diag.Position {
		at := w.Properties.Get(kind).Items[i].Pos
		if !bucketForm.MatchString(name) {
			list.Add(diag.Error, CodeName, at, "write letters, digits, - and _", "%s: %q is not a name", kind, name)
		}
		if seen[prefix+name] {
			list.Add(diag.Error, CodeDeclared, at, "remove one of them", "%s: %s is declared twice", kind, name)
		}
		seen[prefix+name] = true
		return at
	}
	for i := range s.Streams {
		at := check("streams", "", s.Streams[i].Name, i)
		s.Streams[i].validate(at, &list)
	}
	for i, b := range s.Buckets {
		at := check("buckets", "KV_", b.Name, i)
		if b.WriteOnce && (b.History != 1 || b.TTL > 0 || b.LimitMarkerTTL > 0) {
			list.Add(diag.Error, CodeMissing, at, "remove history, ttl and limit_marker_ttl", "buckets: write_once of %s keeps one value of each key, for good", b.Name)
		}
	}
	for i, o := range s.Objects {
		check("objects", "OBJ_", o.Name, i)
	}
	if sum := s.shares(); sum > mostShared {
		list.Add(diag.Error, CodeSize, w.Place("properties"), "lower some max_bytes",
			"max_bytes: the shares come to %d%% of what a broker may keep, which is more than %d%%", sum, mostShared)
	}
	if len(seen) == 0 {
		list.Add(diag.Error, CodeDeclared, w.Place("properties"), "add streams, buckets or objects", "nothing is declared")
	}
	return list
}

// shares is the sum of the shares in percent, of what is kept on disk.
func (s *streamsSpec) shares() (sum int64) {
	for _, item := range s.wants() {
		if item.spec.Storage == "file" {
			sum += item.spec.MaxBytes.percent
		}
	}
	return sum
}

func (s *streamSpec) validate(at diag.Position, list *diag.List) {
	for _, subject := range s.Subjects {
		if subject == "" || strings.ContainsAny(subject, " \t\r\n") || strings.HasPrefix(subject, ".") ||
			strings.HasSuffix(subject, ".") || strings.Contains(subject, "..") {
			list.Add(diag.Error, CodeName, at, "write parts that a dot separates, such as events.>", "streams: %q is not a subject", subject)
		}
	}
	if s.Persist == "async" && s.Replicas > 1 {
		list.Add(diag.Error, CodeReplicas, at, "write replicas: auto, which is asynchronous where the broker is in no cluster, or remove persist",
			"streams: %s cannot persist asynchronously with %d replicas", s.Name, s.Replicas)
	}
	if s.Persist == "async" && s.Storage != "file" {
		list.Add(diag.Error, CodeReplicas, at, "remove persist", "streams: %s is in memory, and has nothing to persist", s.Name)
	}
	if s.DiscardNewPerSubject && (s.Discard != "new" || s.MaxMessagesPerSubject == 0) {
		list.Add(diag.Error, CodeMissing, at, "add discard: new and max_messages_per_subject", "streams: discard_new_per_subject of %s needs both", s.Name)
	}
}

// streamsTimeout is longer than a look's otherwise: a cluster places replicas one after the other.
const streamsTimeout = time.Minute

func streamsType(c Connections) watchers.Type {
	lists := map[string]machine.ValueType{"created": machine.Array, "updated": machine.Array}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "streams",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: lists, Doc: "something was created or updated, and all is as declared now"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: lists,
					Doc: "something is not as declared: JetStream is not ready, or NATS cannot change it, or the change would delete messages"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: lists, Doc: "all was as declared"},
			},
		},
		Summary: "Keeps streams, key-value buckets and object stores as declared, and never deletes what they hold.",
	}, func(spec *streamsSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{
			New:     func() watchers.Watcher { return &streams{spec: spec, connections: c} },
			Timeout: streamsTimeout,
		}
	})
}

// want is what is declared, however it is declared.
type want struct {
	kind string // for people
	name string // as declared
	spec commonSpec
	// fill sets what is declared in a configuration, which is the present one or empty.
	fill func(c *config)
	// async is set where a broker that is in no cluster may persist messages after they are acknowledged.
	async bool
	// drops is set where a lower bound may delete what is old.
	drops bool
	// once is set where each key is written once.
	once bool
}

func (w *want) String() string { return fmt.Sprintf("%s %s", w.kind, w.name) }
