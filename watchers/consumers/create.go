package consumers

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// What a consumer of a client may have.
const (
	mostFilters     = 16
	mostBackoff     = 16
	mostBatch       = 500 // messages of one pull
	mostPulls       = 64  // that wait at once
	mostUnacked     = 5000
	usualUnacked    = 1000
	mostAckWait     = time.Hour
	mostExpires     = 5 * time.Minute    // of a pull
	durableIdle     = 7 * 24 * time.Hour // after which one that nobody uses goes: events are kept for as long
	ephemeralIdle   = 5 * time.Minute    // where nothing is said
	mostEphemeral   = time.Hour          // for which one that nobody uses stays
	leastIdle       = time.Second
	leastAckWait    = time.Second
	mostDescription = 1024
)

// config is a consumer's configuration, as far as clients may say it.
type config struct {
	Name              string            `json:"name,omitempty" most:"256"`
	Durable           string            `json:"durable_name,omitempty" most:"256"`
	Description       string            `json:"description,omitempty" most:"4096"`
	DeliverPolicy     string            `json:"deliver_policy,omitempty" most:"64"`
	StartSequence     uint64            `json:"opt_start_seq,omitempty"`
	StartTime         *time.Time        `json:"opt_start_time,omitempty"`
	AckPolicy         string            `json:"ack_policy,omitempty" most:"64"`
	AckWait           time.Duration     `json:"ack_wait,omitempty"`
	MaxDeliver        int               `json:"max_deliver,omitempty"`
	Backoff           []time.Duration   `json:"backoff,omitempty" most:"1024"`
	Filter            string            `json:"filter_subject,omitempty" most:"1024"`
	Filters           []string          `json:"filter_subjects,omitempty" most:"1024" each:"1024"`
	ReplayPolicy      string            `json:"replay_policy,omitempty" most:"64"`
	MaxWaiting        int               `json:"max_waiting,omitempty"`
	MaxAckPending     int               `json:"max_ack_pending,omitempty"`
	HeadersOnly       bool              `json:"headers_only,omitempty"`
	MaxBatch          int               `json:"max_batch,omitempty"`
	MaxExpires        time.Duration     `json:"max_expires,omitempty"`
	MaxBytes          int               `json:"max_bytes,omitempty"`
	InactiveThreshold time.Duration     `json:"inactive_threshold,omitempty"`
	Replicas          int               `json:"num_replicas"`
	Memory            bool              `json:"mem_storage,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty" most:"64" each:"1024"`
}

// served reports whether config has a key.
func served(key string) bool {
	of := reflect.TypeFor[config]()
	for i := range of.NumField() {
		if name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ","); name == key {
			return true
		}
	}
	return false
}

// order is what is asked for: a consumer, and whether it must be new or there already.
type order struct {
	Stream string `json:"stream_name" most:"256"`
	Config config `json:"config"`
	Action string `json:"action,omitempty" most:"64"`
}

func wrong(format string, args ...any) fault {
	return fault{400, codeBadRequest, fmt.Sprintf(format, args...)}
}

// newConsumer makes a consumer, or changes it where it is there. Words are what follows the stream in the subject: its name and the filter.
func (g *gateway) newConsumer(r *request, stream string, words []string, durable bool) (any, error) {
	o, err := readOrder(r.body)
	if err != nil {
		return nil, err
	}
	if o.Stream != stream {
		return nil, wrong("stream_name is %q, and the subject says %s", o.Stream, stream)
	}
	c := &o.Config
	if err := c.named(words, durable); err != nil {
		return nil, err
	}
	if err := c.bounded(); err != nil {
		return nil, err
	}
	name := c.Name
	c.Name = fullName(r.who, name)
	if c.Durable != "" {
		c.Durable = c.Name
	}
	g.create.Lock()
	defer g.create.Unlock()
	if err := g.room(r.who, stream, name); err != nil {
		return nil, err
	}
	d, err := g.jetStream("CONSUMER.CREATE."+stream+"."+c.Name, o)
	if f, ok := errors.AsType[fault](err); ok && f.ErrCode == codeNotMade && c.Durable != "" && o.Action != "create" {
		d, err = g.goOn(o, err)
	}
	return own(d, r.who), err
}

// goOn changes a durable consumer that begins at a sequence, as one does that was copied when its cell grew. It goes on where it is, whatever is said now of where it
// begins, which JetStream lets nobody change: a program that makes its consumer anew at each start knows nothing of the copy.
func (g *gateway) goOn(o *order, refused error) (document, error) {
	d, err := g.jetStream("CONSUMER.INFO."+o.Stream+"."+o.Config.Name, nil)
	if err != nil {
		return nil, refused
	}
	var there struct {
		Config config `json:"config"`
	}
	if data, err := json.Marshal(d); err != nil || json.Unmarshal(data, &there) != nil {
		return nil, refused
	}
	begins := &there.Config
	if begins.DeliverPolicy != "by_start_sequence" {
		return nil, refused
	}
	o.Config.DeliverPolicy, o.Config.StartSequence, o.Config.StartTime = begins.DeliverPolicy, begins.StartSequence, begins.StartTime
	return g.jetStream("CONSUMER.CREATE."+o.Stream+"."+o.Config.Name, o)
}

// room refuses one consumer too many.
func (g *gateway) room(who, stream, name string) error {
	mine, all, err := g.names(who, stream)
	switch {
	case err != nil:
		return err
	case slices.Contains(mine, name):
		return nil // it is changed
	case len(mine) >= g.spec.Each:
		return fault{400, codeTooManyConsumers, fmt.Sprintf("maximum consumers limit reached: a client may have %d of %s; delete one", g.spec.Each, stream)}
	case all >= g.spec.All:
		return fault{400, codeTooManyConsumers, fmt.Sprintf("maximum consumers limit reached: %s has %d, of all clients together", stream, g.spec.All)}
	}
	return nil
}

// readOrder reads what is asked for. A key that is not served is refused where it says something.
func readOrder(body []byte) (*order, error) {
	var keys struct {
		Config map[string]json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(body, &keys); err != nil {
		return nil, wrong("the request is no JSON of this kind: %v", err)
	}
	for key, value := range keys.Config {
		if served(key) || !says(value) {
			continue
		}
		if strings.HasPrefix(key, "deliver_subject") || key == "deliver_group" || key == "flow_control" || key == "idle_heartbeat" {
			return nil, wrong("push consumers are not served: make a pull consumer, without %s", key)
		}
		return nil, wrong("the key %s of a consumer is not served here; leave it out", key)
	}
	var o order
	if err := watchers.ReadRequest(body, &o); err != nil {
		return nil, wrong("the request is no JSON of this kind: %v", err)
	}
	if !slices.Contains([]string{"", "create", "update"}, o.Action) {
		return nil, wrong("action: %q is neither create nor update", o.Action)
	}
	return &o, nil
}

// says reports whether a value is more than that there is none. The nats command line writes a time of zero.
func says(value json.RawMessage) bool {
	return !slices.Contains([]string{"null", "false", "0", `""`, "[]", "{}", "-1", `"0001-01-01T00:00:00Z"`}, string(bytes.TrimSpace(value)))
}

// named settles name, durability and filter, which a subject says as well as the configuration.
func (c *config) named(words []string, durable bool) error {
	if c.Durable != "" && c.Name != "" && c.Durable != c.Name {
		return wrong("durable_name is %q and name %q: they are the same where both are given", c.Durable, c.Name)
	}
	name := cmp.Or(c.Durable, c.Name)
	if len(words) > 0 {
		if name != "" && name != words[0] {
			return wrong("the consumer is called %q, and %q in the subject", name, words[0])
		}
		name = words[0]
	}
	if name == "" {
		name = strings.ToLower(rand.Text()[:12])
	}
	if !isConsumer(name) {
		return wrong("%q is not the name of a consumer: write letters, digits and _, with single hyphens between them", name)
	}
	c.Name = name
	if durable || c.Durable != "" {
		c.Durable = name
	}
	if len(words) > 1 {
		filter := strings.Join(words[1:], ".")
		if c.Filter != "" && c.Filter != filter || len(c.Filters) > 0 {
			return wrong("filter_subject is other than in the subject")
		}
		c.Filter = filter
	}
	return nil
}

// bounded holds a configuration to what clients may have, and fills in what is not said.
func (c *config) bounded() error {
	switch {
	case !slices.Contains([]string{"", "none", "explicit", "all"}, c.AckPolicy):
		return wrong("ack_policy: %q is not served: none, explicit or all", c.AckPolicy)
	case c.ReplayPolicy != "" && c.ReplayPolicy != "instant":
		return wrong("replay_policy: %q is not served: instant", c.ReplayPolicy)
	case len(c.Filters) > mostFilters:
		return wrong("filter_subjects: there are %d, %d may be", len(c.Filters), mostFilters)
	case len(c.Backoff) > mostBackoff:
		return wrong("backoff: there are %d, %d may be", len(c.Backoff), mostBackoff)
	case len(c.Description) > mostDescription:
		return wrong("description: it has more than %d bytes", mostDescription)
	}
	for _, wait := range append([]time.Duration{max(c.AckWait, leastAckWait)}, c.Backoff...) {
		if wait < leastAckWait || wait > mostAckWait {
			return wrong("ack_wait and backoff: %s is not from %s to %s", wait, leastAckWait, mostAckWait)
		}
	}
	for _, of := range []struct {
		key         string
		value       *int
		usual, most int
	}{
		{"max_waiting", &c.MaxWaiting, mostPulls, mostPulls}, {"max_batch", &c.MaxBatch, mostBatch, mostBatch},
		{"max_ack_pending", &c.MaxAckPending, usualUnacked, mostUnacked},
	} {
		if *of.value <= 0 {
			*of.value = of.usual
		}
		*of.value = min(*of.value, of.most)
	}
	if c.AckPolicy == "" || c.AckPolicy == "none" {
		c.MaxAckPending = 0
	}
	if c.MaxExpires <= 0 || c.MaxExpires > mostExpires {
		c.MaxExpires = mostExpires
	}
	c.lasting()
	return nil
}

// lasting says where a consumer is kept, and for how long when nobody uses it. A durable one has copies as its stream does; any other is one host's and in memory:
// who uses it makes it again when that host is gone.
func (c *config) lasting() {
	usual, most := ephemeralIdle, mostEphemeral
	c.Replicas, c.Memory = 1, true
	if c.Durable != "" {
		usual, most = durableIdle, durableIdle
		c.Replicas, c.Memory = 0, false
	}
	if c.InactiveThreshold <= 0 {
		c.InactiveThreshold = usual
	}
	c.InactiveThreshold = min(max(c.InactiveThreshold, leastIdle), most)
}
