package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Revoke bans and ends the sessions that are banned, on this broker. Other brokers learn of it by the bucket.
func (b *Broker) Revoke(of ...Revocation) {
	fresh := b.knowledge.Revoked.Add(of...)
	if len(fresh) == 0 {
		return
	}
	for _, h := range b.halves() {
		for _, id := range h.gate.sessions.of(b.knowledge.Revoked.Ban) {
			if h.server.DisconnectClientByID(id) == nil {
				b.metrics.disconnected.Inc()
			}
			h.gate.sessions.forget(id)
		}
	}
	b.knowledge.Revoked.note(fresh...)
	b.toKeep()
}

// toKeep has what is revoked be written to the host's own disk, and does not wait for it.
func (b *Broker) toKeep() {
	select {
	case b.unkept <- struct{}{}:
	default:
	}
}

// keepRevocations writes what is revoked to the host's own disk, until ctx ends: nothing else that follows revocations waits for the disk.
func (b *Broker) keepRevocations(ctx context.Context) {
	again := time.NewTicker(checkEvery) // for what could not be written
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-b.unkept:
		case <-again.C:
		}
		if err := b.knowledge.Revoked.Keep(); err != nil {
			b.log.warn("revocations_not_kept", slog.Any("error", err))
		}
	}
}

const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second // a bucket that is made is followed at once
	checkEvery = 5 * time.Second
	askTimeout = 2 * time.Second // a stream that has no leader yet answers nothing
)

// FollowRevocations bans what the bucket of revocations names, from when it is there, until ctx ends. It returns nil then, and an error
// only where it cannot begin. A connection that nats.go closed for good is opened again.
func (b *Broker) FollowRevocations(ctx context.Context) error {
	return b.followFrom(ctx, b.Provider())
}

func (b *Broker) followFrom(ctx context.Context, server nats.InProcessConnProvider) error {
	keeping, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		b.keepRevocations(keeping)
	}()
	defer func() {
		stop()
		<-kept
	}()
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		switch err := b.followBy(ctx, server); {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case !errors.Is(err, errConnection):
			return err
		default:
			b.log.warn("revocations_not_followed", slog.Any("error", err))
		}
		rest(ctx, pause)
	}
}

// errConnection is the cause where the connection that revocations come by was closed.
var errConnection = errors.New("the connection was closed")

// followBy follows by one connection, until ctx has ended or the connection is closed.
func (b *Broker) followBy(ctx context.Context, server nats.InProcessConnProvider) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	closed := make(chan struct{})
	conn, err := nats.Connect("", nats.InProcessServer(server), nats.Name("revocations"),
		nats.Nkey(b.self.Public().NKey(), func(nonce []byte) ([]byte, error) { return b.self.Sign(nonce), nil }),
		nats.CustomInboxPrefix("_INBOX."+b.self.Public().NKey()), nats.IgnoreAuthErrorAbort(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the watch is checked instead
		nats.ClosedHandler(func(conn *nats.Conn) {
			cancel(fmt.Errorf("%w: %w", errConnection, cmp.Or(conn.LastError(), nats.ErrConnectionClosed)))
			close(closed)
		}))
	if err != nil {
		return fmt.Errorf("following revocations: %w", err)
	}
	defer func() {
		conn.Close()
		<-closed
	}()
	// What is written is heard at once, whatever becomes of the stream's leader; the stream itself has what was written before, or
	// while brokers could not reach each other.
	if _, err = conn.Subscribe(revokedSubjects+">", b.heard); err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("following revocations: %w", err))
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("following revocations: %w", err)
	}
	b.follow(ctx, js)
	return context.Cause(ctx)
}

// heard takes in what is being written to the bucket. What is not in its form is counted by the watch.
func (b *Broker) heard(m *nats.Msg) {
	defer b.log.recovered("revocation_panicked")
	if r, err := readRevocation(strings.TrimPrefix(m.Subject, revokedSubjects), m.Data); err == nil {
		b.unstored.heard(b.knowledge.Revoked, r, m.Data)
		b.Revoke(r)
	}
}

// follow watches the bucket again and again. Pauses grow while there is none.
func (b *Broker) follow(ctx context.Context, js jetstream.JetStream) {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := b.watch(ctx, js)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errWatched) {
			pause = firstPause
		}
		if !errors.Is(err, jetstream.ErrBucketNotFound) {
			b.log.warn("revocations_not_followed", slog.Any("error", err))
		}
		rest(ctx, pause)
	}
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
}

// errWatched is the cause where a watch ended that had begun.
var errWatched = errors.New("the watch ended")

// watch bans what is there and what comes, until the watch is found dead.
func (b *Broker) watch(ctx context.Context, js jetstream.JetStream) error {
	kv, err := ask(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, revokedBucket) })
	if err != nil {
		return err
	}
	begun, err := state(ctx, js)
	if err != nil {
		return err
	}
	// The watch lives as long as its context, so that the time to begin it is bounded beside.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bound := time.AfterFunc(askTimeout, cancel)
	w, err := kv.WatchAll(ctx)
	if err == nil && !bound.Stop() {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return fmt.Errorf("watching revocations: %w", err)
	}
	defer func() { _ = w.Stop() }()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	v := &vigil{created: begun.created, last: begun.last, there: map[string]bool{}}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case entry, ok := <-w.Updates():
			if !ok {
				return fmt.Errorf("%w: nats.go closed it", errWatched)
			}
			b.entered(entry, v)
			if entry == nil {
				b.learnt(v)
				b.tellUnstored(js.Conn())
			}
		case <-check.C:
			b.tellUnstored(js.Conn())
			now, err := state(ctx, js)
			if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && v.dead(now) {
				return fmt.Errorf("%w: it missed changes of the bucket", errWatched)
			}
		}
	}
}

// entered takes a key of the bucket in. What was deleted stays banned while the broker runs.
func (b *Broker) entered(entry jetstream.KeyValueEntry, v *vigil) {
	if entry == nil { // all that was there has been read
		b.Revoke(v.pending...)
		for _, r := range v.pending {
			b.unstored.stored(r.Key())
		}
		v.pending, v.caughtUp, v.seen = nil, true, max(v.seen, v.last)
		return
	}
	v.seen = entry.Revision()
	if !v.caughtUp {
		v.there[entry.Key()] = true
	}
	if entry.Operation() != jetstream.KeyValuePut {
		b.unstored.stored(entry.Key())
		return
	}
	r, err := readRevocation(entry.Key(), entry.Value())
	switch {
	case err != nil:
		b.metrics.unreadable.Inc()
		b.log.warn("revocation_not_readable", slog.String("key", diag.Brief(entry.Key(), 200)), slog.String("error", diag.Brief(err.Error(), diag.MaxBrief)))
	case v.caughtUp:
		b.Revoke(r)
		b.unstored.stored(r.Key())
	default:
		v.pending = append(v.pending, r)
	}
}

// learnt notes that the bucket has been read, lets those in who waited for that, and has what this host knows and the bucket does not have be stored: it
// was full, made anew, or restored from an older copy.
func (b *Broker) learnt(v *vigil) {
	known := b.knowledge.Revoked.Known()
	b.knowledge.Revoked.learn()
	b.toKeep()
	if !known {
		b.log.log.Info("revocations_read", slog.Int("revocations", b.knowledge.Revoked.Len()))
		for _, h := range b.halves() {
			h.arrivals.unshut()
		}
	}
	b.unstored.missing(b.knowledge.Revoked.kept(v.there))
	v.there = nil
}

// vigil finds out whether a watch still sees what happens: nats.go goes on trying in silence where the stream was made anew.
type vigil struct {
	created  time.Time // of the stream
	last     uint64    // of the stream when it was last asked
	seen     uint64    // by the watch
	caughtUp bool
	pending  []Revocation
	there    map[string]bool // the keys that were there, until it has caught up
}

// dead compares the stream with what was seen: it is another one, or what was there at the last check has not come yet.
func (v *vigil) dead(now streamState) bool {
	missed := now.created != v.created || v.seen < v.last
	v.last = now.last
	return missed
}

type streamState struct {
	created time.Time
	last    uint64
}

func state(ctx context.Context, js jetstream.JetStream) (streamState, error) {
	return ask(ctx, func(ctx context.Context) (streamState, error) {
		s, err := js.Stream(ctx, "KV_"+revokedBucket)
		if err != nil {
			return streamState{}, err
		}
		info := s.CachedInfo()
		return streamState{created: info.Created, last: info.State.LastSeq}, nil
	})
}

// ask bounds a request.
func ask[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f(ctx)
}
