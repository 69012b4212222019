package keyvalue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// snapshot is the last entries of several keys at one moment of one replica's log.
type snapshot struct {
	entries map[string]entry // by key; those that were never written are left out
	upTo    uint64           // the log's last revision then; 0 where no key has an entry
}

// all reads the last entries of keys, which may have wildcards, with one request and without a consumer (ADR-31, multi_last).
func (b *bucket) all(ctx context.Context, keys ...string) (snapshot, error) {
	view := snapshot{entries: map[string]entry{}}
	filters := make([]string, len(keys))
	for i, key := range keys {
		filters[i] = b.subject(key)
	}
	body, err := json.Marshal(map[string]any{"multi_last": filters})
	if err != nil {
		return view, fmt.Errorf("listing keys of %s: %w", b.name, err)
	}
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return view, fmt.Errorf("listing keys of %s: %w", b.name, err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails where the connection is gone, and the subscription with it
	if err := b.nc.PublishRequest("$JS.API.DIRECT.GET."+b.stream(), inbox, body); err != nil {
		return view, fmt.Errorf("listing keys of %s: %w", b.name, err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			return view, fmt.Errorf("listing keys of %s: %w; a streams watcher keeps buckets", b.name, errNoBucket)
		}
		if err != nil {
			return view, fmt.Errorf("listing keys of %s: %w", b.name, err)
		}
		if done, err := view.take(b, m); done || err != nil {
			return view, err
		}
	}
}

// take takes one message of the answer, and says when it was the last.
func (v *snapshot) take(b *bucket, m *nats.Msg) (done bool, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
		revision, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		subject := m.Header.Get(nats.JSSubject)
		if err != nil || len(subject) <= len(b.subject("")) {
			return false, fmt.Errorf("listing keys of %s: an answer without subject and revision", b.name)
		}
		key := subject[len(b.subject("")):]
		v.entries[key] = entry{key: key, value: m.Data, revision: revision, gone: marksDeletion(m.Header)}
		return false, nil
	case "204":
		v.upTo, err = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64)
		if pending := m.Header.Get("Nats-Num-Pending"); err != nil || pending != "0" {
			return false, fmt.Errorf("listing keys of %s: the answer is not complete, %s are left out", b.name, pending)
		}
		return true, nil
	case "404":
		if len(v.entries) > 0 || m.Header.Get("Description") != "No Results" {
			return false, fmt.Errorf("listing keys of %s: an entry that was to come is gone", b.name)
		}
		return true, nil
	default:
		return false, fmt.Errorf("listing keys of %s: the broker answers %s %s", b.name, status, m.Header.Get("Description"))
	}
}
