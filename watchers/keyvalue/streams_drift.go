package keyvalue

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// field is one setting of a stream that is kept as declared.
type field struct {
	name string // the property's
	at   func(c *config) any
	// against says why the setting cannot be changed so, "" where it can. nil is always.
	against func(have *jetstream.StreamInfo, want *config) string
}

// afresh is the next step where NATS cannot change a setting.
const afresh = "NATS cannot change it: declare what is there, or back the stream up (nats stream backup), delete it, and it is created anew"

// fields are all settings that are kept.
func fields() []field {
	return []field{
		{"description", func(c *config) any { return &c.Description }, nil},
		{"subjects", func(c *config) any { return &c.Subjects }, nil},
		{"retention", func(c *config) any { return &c.Retention }, againstRetention},
		{"storage", func(c *config) any { return &c.Storage }, never},
		{"replicas", func(c *config) any { return &c.Replicas }, nil},
		{"max_age", func(c *config) any { return &c.MaxAge }, againstAge},
		{"max_bytes", func(c *config) any { return &c.MaxBytes }, againstBytes},
		{"max_messages", func(c *config) any { return &c.MaxMsgs }, againstMessages},
		{"max_messages_per_subject", func(c *config) any { return &c.MaxMsgsPerSubject }, againstPerSubject},
		{"max_message_size", func(c *config) any { return &c.MaxMsgSize }, nil},
		{"max_consumers", func(c *config) any { return &c.MaxConsumers }, nil},
		{"discard", func(c *config) any { return &c.Discard }, nil},
		{"discard_new_per_subject", func(c *config) any { return &c.DiscardNewPerSubject }, nil},
		{"duplicates", func(c *config) any { return &c.Duplicates }, nil},
		{"consumer limits", func(c *config) any { return &c.ConsumerLimits }, nil},
		{"republish", func(c *config) any { return &c.RePublish }, nil},
		{"compression", func(c *config) any { return &c.Compression }, nil},
		{"placement", func(c *config) any { return &c.Placement }, nil},
		{"metadata", func(c *config) any { return &c.Metadata }, nil},
		{"persist", func(c *config) any { return &c.PersistMode }, never},
		{"allow_direct", func(c *config) any { return &c.AllowDirect }, nil},
		{"allow_rollup", func(c *config) any { return &c.AllowRollup }, nil},
		{"allow_message_ttl", func(c *config) any { return &c.AllowMsgTTL }, againstTaking(func(c *config) bool { return c.AllowMsgTTL })},
		{"delete_marker_ttl", func(c *config) any { return &c.SubjectDeleteMarkerTTL }, nil},
		{"allow_atomic", func(c *config) any { return &c.AllowAtomicPublish }, nil},
		{"allow_batch", func(c *config) any { return &c.AllowBatchPublish }, nil},
		{"allow_counters", func(c *config) any { return &c.AllowMsgCounter }, never},
		{"allow_schedules", func(c *config) any { return &c.AllowMsgSchedules }, againstTaking(func(c *config) bool { return c.AllowMsgSchedules })},
		{"deny_delete", func(c *config) any { return &c.DenyDelete }, againstTaking(func(c *config) bool { return c.DenyDelete })},
		{"deny_purge", func(c *config) any { return &c.DenyPurge }, againstTaking(func(c *config) bool { return c.DenyPurge })},
		{"no_ack", func(c *config) any { return &c.NoAck }, nil},
	}
}

// drift compares a stream with what is declared. It returns the configuration to update to, with the settings that stay as they are
// because they cannot be changed, the names of those that change, and a sentence for every one that cannot. With drops a lower bound of
// bytes or age may delete messages.
func drift(have *jetstream.StreamInfo, wanted config, drops bool) (to config, changed, refused []string) {
	present := normal(have.Config)
	to = wanted
	for _, f := range fields() {
		is, should := reflect.ValueOf(f.at(&present)).Elem(), reflect.ValueOf(f.at(&to)).Elem()
		if reflect.DeepEqual(is.Interface(), should.Interface()) {
			continue
		}
		if f.against != nil && !(drops && (f.name == "max_bytes" || f.name == "max_age")) {
			if reason := f.against(have, &wanted); reason != "" {
				refused = append(refused, fmt.Sprintf("%s is %s and is to be %s: %s", f.name, show(is), show(should), reason))
				should.Set(is)
				continue
			}
		}
		changed = append(changed, f.name)
	}
	return to, changed, refused
}

// show renders a setting for a message.
func show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		return fmt.Sprintf("%+v", v.Elem().Interface())
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		if x == 0 {
			return "unlimited"
		}
	case int, int32, int64:
		if v.Int() == unlimited {
			return "unlimited"
		}
	case fmt.Stringer:
		return strings.ToLower(x.String())
	}
	return fmt.Sprint(v.Interface())
}

func never(*jetstream.StreamInfo, *config) string { return afresh }

// againstTaking is against taking back what was allowed or denied.
func againstTaking(set func(c *config) bool) func(*jetstream.StreamInfo, *config) string {
	return func(have *jetstream.StreamInfo, want *config) string {
		if set(&have.Config) && !set(want) {
			return afresh
		}
		return ""
	}
}

func againstRetention(have *jetstream.StreamInfo, want *config) string {
	switch {
	case have.Config.Retention == jetstream.WorkQueuePolicy || want.Retention == jetstream.WorkQueuePolicy:
		return afresh
	case want.Retention == jetstream.InterestPolicy && have.State.Msgs > 0:
		return loses(have.State.Msgs, "that no consumer waits for")
	}
	return ""
}

// loses is the sentence for a change that would delete messages.
func loses(n uint64, which string) string {
	return fmt.Sprintf("of the %d messages in it those %s would be deleted; purge them first if that is wanted (nats stream purge), or declare more", n, which)
}

// tighter reports whether a bound became smaller. NATS writes no bound as 0 or less.
func tighter[N cmp.Ordered](have, want N) bool {
	var zero N
	return want > zero && (have <= zero || want < have)
}

func againstAge(have *jetstream.StreamInfo, want *config) string {
	oldest := have.TimeStamp.Sub(have.State.FirstTime) // both by the broker's clock
	if tighter(have.Config.MaxAge, want.MaxAge) && have.State.Msgs > 0 && oldest > want.MaxAge {
		return loses(have.State.Msgs, "older than "+want.MaxAge.String())
	}
	return ""
}

func againstBytes(have *jetstream.StreamInfo, want *config) string {
	if tighter(have.Config.MaxBytes, want.MaxBytes) && have.State.Bytes > uint64(want.MaxBytes) {
		return loses(have.State.Msgs, fmt.Sprintf("beyond %d bytes", want.MaxBytes))
	}
	return ""
}

func againstMessages(have *jetstream.StreamInfo, want *config) string {
	if tighter(have.Config.MaxMsgs, want.MaxMsgs) && have.State.Msgs > uint64(want.MaxMsgs) {
		return loses(have.State.Msgs, fmt.Sprintf("beyond %d", want.MaxMsgs))
	}
	return ""
}

// againstPerSubject knows how many messages the fullest subject can have at most: all that are more than one for each of the others.
func againstPerSubject(have *jetstream.StreamInfo, want *config) string {
	s := &have.State
	if tighter(have.Config.MaxMsgsPerSubject, want.MaxMsgsPerSubject) && s.Msgs > 0 && s.Msgs-s.NumSubjects+1 > uint64(want.MaxMsgsPerSubject) {
		return loses(s.Msgs, fmt.Sprintf("beyond %d of a subject", want.MaxMsgsPerSubject))
	}
	return ""
}
