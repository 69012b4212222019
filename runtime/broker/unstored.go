package broker

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unstored is what this host knows to be revoked and the bucket does not have: it was full when that was said, was made anew, or was restored from an older
// copy. Safe for concurrent use.
type unstored struct {
	mu  sync.Mutex
	all map[string]*untold // by key
}

// untold is one of them, as it is to stand in the bucket.
type untold struct {
	value []byte
	told  int // how often
}

// heard notes what is being written where nobody knew it; what is known is in the bucket, or noted already.
func (u *unstored) heard(known *Revocations, r Revocation, value []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !known.Has(r) {
		u.put(r, value)
	}
}

func (u *unstored) put(r Revocation, value []byte) {
	if u.all == nil {
		u.all = map[string]*untold{}
	}
	if u.all[r.Key()] == nil {
		u.all[r.Key()] = &untold{value: value}
	}
}

// missing notes what the bucket did not have when it was read as a whole.
func (u *unstored) missing(of []Revocation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range of {
		if value, err := r.Encode(); err == nil {
			u.put(r, value)
		}
	}
}

// stored forgets a key that the bucket has.
func (u *unstored) stored(key string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.all, key)
}

// some are the messages of up to most of them, others each time.
func (u *unstored) some(most int) (some []*nats.Msg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, one := range u.all {
		if len(some) == most {
			break
		}
		one.told++
		m := nats.NewMsg(revokedSubjects + key)
		m.Data = one.value
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
		some = append(some, m)
	}
	return some
}

// fault says how many they are, "" where all is stored, or on its way.
func (u *unstored) fault() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, one := range u.all {
		if one.told > 1 {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "1 revocation is not in the bucket REVOKED: the hosts that are there know it, and tell those that come back"
	default:
		return fmt.Sprintf("%d revocations are not in the bucket REVOKED: the hosts that are there know them, and tell those that come back", n)
	}
}

// mostTold bounds what is told at once.
const mostTold = 1000

// tellUnstored publishes again what the bucket does not have. Brokers of hosts that have come back hear it whether or not the bucket takes it, which it does once
// it has room. Nobody answers: what is stored comes by the watch.
func (b *Broker) tellUnstored(conn *nats.Conn) {
	some := b.unstored.some(mostTold)
	for _, m := range some {
		if err := conn.PublishMsg(m); err != nil {
			b.log.warn("revocations_not_told_again", slog.Any("error", err))
			return
		}
	}
	if len(some) > 0 {
		b.log.warn("revocations_told_again", slog.Int("revocations", len(some)))
	}
}
