package keyvalue

import (
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// The modes of a kv watcher.
const (
	modePoll   = "poll"
	modeWatch  = "watch"
	modeGet    = "get"
	modePut    = "put"
	modeCreate = "create"
	modeUpdate = "update"
	modeDelete = "delete"
	modeClaim  = "claim"
	modeList   = "list"
)

// The outcomes of a kv watcher beyond those every type has.
const (
	outcomeCreated   = "created"
	outcomeChanged   = "changed"
	outcomeDeleted   = "deleted"
	outcomeExists    = "exists"
	outcomeFull      = "full"
	outcomeConflict  = "conflict"
	outcomeMissing   = "missing"
	outcomeExhausted = "exhausted"
)

// repairInterval is how often a watch reads the key although nothing was heard, where the watcher has no interval.
const repairInterval = 5 * time.Minute

// kvSpec is the properties of a kv watcher.
type kvSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
	// Bucket is the key-value bucket.
	Bucket string `yaml:"bucket,required"`
	// Key is the key in it.
	Key watchers.Text `yaml:"key,required"`
	// Mode is poll (read on entry and at intervals), watch (hear of changes at once), get (read once a look: the value is in the event
	// and in no data key), put (write whatever is there), create (write
	// where nothing is there), update (write over a value, of a certain revision where that is given), delete, claim (write to
	// one of a number of slots), or list (read all keys of a pattern such as > or host.*, in order: they are in the event, a page of them).
	Mode string `yaml:"mode" default:"poll" enum:"poll|watch|get|put|create|update|delete|claim|list"`
	// BucketPrefix stores what is read under the data key BUCKET_key; false under the key alone.
	BucketPrefix bool `yaml:"bucket_prefix" default:"true"`
	// StoreKey is the data key that what is read is stored under, in place of one made of bucket and key.
	StoreKey string `yaml:"store_key"`
	// Query is a gjson path: only what it finds in the value is stored. Finding nothing is a failure that stores nothing.
	Query string `yaml:"query"`
	// HieraConfig resolves the value as hierarchical data with the host's facts: data, hierarchy.order, overrides. A watch keeps to
	// the facts that there were when its state was entered.
	HieraConfig bool `yaml:"hiera_config"`
	// OnSuccessfulGet reports success also where what is read is what was there before.
	OnSuccessfulGet bool `yaml:"on_successful_get"`
	// OnMatchingUpdate reports success also where an equal value was written anew since the last look.
	OnMatchingUpdate bool `yaml:"on_matching_update"`
	// RepublishTrigger is the subject that the bucket republishes its keys on. What comes there counts as read: no request is made.
	RepublishTrigger watchers.Text `yaml:"republish_trigger"`
	// Value is an expression of what is written: texts as they are, everything else as JSON.
	Value *watchers.Formula `yaml:"value"`
	// Revision is an expression of the revision that the key must have, for update and delete.
	Revision *watchers.Formula `yaml:"revision" gives:"number" empty:"refused"`
	// Slots is an expression of how many slots claim has: the keys KEY.1 to KEY.N. A value that holds a slot claims no second one.
	Slots *watchers.Formula `yaml:"slots" gives:"number" empty:"refused"`
	// KeepFree is how many percent of the bucket's bytes create leaves to the keys that are there, which may grow; from there on the outcome is full. Others
	// that write at the same time may be let in for up to a second.
	KeepFree int `yaml:"keep_free" min:"0" max:"50"`
	// Where is a condition on what list finds, over message.key, message.value and message.revision; one for which it has no answer is left out.
	Where *watchers.Condition `yaml:"where" gives:"boolean" empty:"refused"`
	// After is an expression of the key that a page of list begins behind: what the page before has as next.
	After *watchers.Formula `yaml:"after" gives:"text" empty:"refused"`
	// Most is how many keys a page of list has at most; fewer where they are large.
	Most int `yaml:"most" default:"100" min:"1" max:"1000"`
}

func (s *kvSpec) reads() bool { return s.Mode == modePoll || s.Mode == modeWatch }

// listens reports whether the watcher is told of changes instead of looking for them.
func (s *kvSpec) listens() bool { return s.Mode == modeWatch || !s.RepublishTrigger.Empty() }

// Validate holds the properties against the mode.
func (s *kvSpec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	checkBucket(w, s.Bucket, &list)
	writes := s.Mode == modePut || s.Mode == modeCreate || s.Mode == modeUpdate || s.Mode == modeClaim
	for _, p := range []struct {
		key          string
		there, needs bool
		fits         bool
	}{
		{"value", s.Value != nil, writes, writes},
		{"slots", s.Slots != nil, s.Mode == modeClaim, s.Mode == modeClaim},
		{"revision", s.Revision != nil, false, s.Mode == modeUpdate || s.Mode == modeDelete},
		{"keep_free", s.KeepFree != 0, false, s.Mode == modeCreate},
		{"where", s.Where != nil, false, s.Mode == modeList},
		{"after", s.After != nil, false, s.Mode == modeList},
		{"query", s.Query != "", false, s.reads()},
		{"store_key", s.StoreKey != "", false, s.reads()},
		{"hiera_config", s.HieraConfig, false, s.reads()},
		{"on_successful_get", s.OnSuccessfulGet, false, s.reads()},
		{"on_matching_update", s.OnMatchingUpdate, false, s.reads()},
		{"republish_trigger", !s.RepublishTrigger.Empty(), false, s.reads()},
	} {
		switch {
		case p.needs && !p.there:
			list.Add(diag.Error, CodeMissing, w.Place("properties"), "add "+p.key, "mode %s needs %s", s.Mode, p.key)
		case p.there && !p.fits:
			list.Add(diag.Error, CodeOutOfPlace, place(w, p.key), "remove it, or choose another mode", "%s says nothing in mode %s", p.key, s.Mode)
		}
	}
	return list
}

func kvType(c Connections) watchers.Type {
	found := map[string]machine.ValueType{
		"key": machine.String, "revision": machine.Integer, "value": machine.Any, "entries": machine.Array, "next": machine.String,
	}
	key := map[string]machine.ValueType{"key": machine.String}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "kv", Verb: "mode", DefaultVerb: modePoll, Sets: kvSets,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: found,
					Doc: "poll and watch: the value is what it was, and on_successful_get or on_matching_update asks to hear of it; get: read; put: written; " +
						"create, update, delete and claim: all is already as it was to become; list: entries, each with key, value and revision, and the next page begins behind next, \"\" for none"},
				{Name: outcomeCreated, Class: machine.Success, Payload: found, Of: []string{modePoll, modeWatch, modeCreate, modeClaim},
					Doc: "there is a value where the machine knew none; create and claim: written"},
				{Name: outcomeChanged, Class: machine.Success, Payload: found, Of: []string{modePoll, modeWatch, modeUpdate}, Doc: "the value is another; update: written"},
				{Name: outcomeDeleted, Class: machine.Success, Payload: found, Of: []string{modePoll, modeWatch, modeDelete}, Doc: "the value is gone; delete: removed"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: found, Of: []string{modePoll, modeWatch}, Doc: "nothing has changed since the last look"},
				{Name: outcomeExists, Class: machine.Failure, Payload: found, Of: []string{modeCreate}, Doc: "create: the key holds another value, which comes with the event"},
				{Name: outcomeConflict, Class: machine.Failure, Payload: found, Of: []string{modeUpdate, modeDelete},
					Doc: "update and delete: the key has another revision; what it holds comes with the event"},
				{Name: outcomeMissing, Class: machine.Failure, Payload: key, Of: []string{modeGet, modeUpdate, modeList}, Doc: "get and update: the key holds nothing; list: there is none"},
				{Name: outcomeFull, Class: machine.Failure, Payload: map[string]machine.ValueType{"key": machine.String, "reserved": machine.Boolean},
					Of:  []string{modePut, modeCreate, modeUpdate, modeDelete, modeClaim},
					Doc: "put, create, update, claim: the bucket is full, which time does not change; create: it has no more room than keep_free says, which is reserved, and nothing was tried"},
				{Name: outcomeExhausted, Class: machine.Failure, Payload: key, Of: []string{modeClaim}, Doc: "claim: every slot is taken"},
			},
		},
		Summary: "Reads, watches and writes a key of a key-value bucket.",
	}, func(spec *kvSpec, w *machine.WatcherSpec) *watchers.Prepared {
		interval := w.Interval
		if interval <= 0 {
			interval = repairInterval
		}
		free := &room{}
		return &watchers.Prepared{New: func() watchers.Watcher {
			switch {
			case spec.listens():
				return &kvListener{spec: spec, connections: c, interval: interval}
			case spec.Mode == modePoll:
				return &kvPoller{spec: spec, connections: c}
			default:
				return &kvWriter{spec: spec, connections: c, room: free}
			}
		}}
	})
}

// kvSets is the data key that a value is kept under where a watcher follows one.
func kvSets(w *machine.WatcherSpec) []string {
	if mode := w.Properties.Get("mode"); mode != nil && mode.Value != modePoll && mode.Value != modeWatch {
		return nil
	}
	key := w.Properties.Get("store_key")
	if key == nil {
		return []string{machine.AnyKey} // it is named after the key, which may be filled in
	}
	return []string{key.Value}
}
