package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// move copies streams from one broker to another, which may have some of them already: the machines of other hosts make what is
// declared. What others have written to a key there stays.
type move struct {
	from, to jetstream.JetStream
	log      *slog.Logger
}

const (
	moveRequest = 10 * time.Second
	moveAgain   = 500 * time.Millisecond
	// movePending is how many messages are on their way at once.
	movePending = 256
	// codeNoPeers is the answer of a cluster where too few brokers are there yet.
	codeNoPeers jetstream.ErrorCode = 10005
)

// all copies the streams of these names, which are all that there are: one that cannot be opened must not be left behind.
func (m *move) all(ctx context.Context, names []string) error {
	for _, name := range names {
		from, err := m.from.Stream(ctx, name)
		if err == nil {
			err = m.stream(ctx, from)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

func (m *move) stream(ctx context.Context, from jetstream.Stream) error {
	have := from.CachedInfo()
	if err := again(ctx, func(ctx context.Context) error { return m.prepare(ctx, have) }); err != nil {
		return err
	}
	if have.Config.Mirror != nil {
		return nil // it fetches what it holds by itself, and takes nothing else
	}
	c := &copying{move: m, stream: have.Config.Name, bucket: strings.HasPrefix(have.Config.Name, "KV_"), last: map[string]uint64{}}
	for seq := have.State.FirstSeq; seq <= have.State.LastSeq && have.State.Msgs > 0; seq++ {
		msg, err := from.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">")) // of the sequence, or the next that there is
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading message %d: %w", seq, err)
		}
		if err := c.message(ctx, msg); err != nil {
			return fmt.Errorf("copying message %d: %w", msg.Sequence, err)
		}
		seq = msg.Sequence
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	m.log.Info("stream_copied", "stream", have.Config.Name, "messages", c.copied, "left", c.left)
	if have.State.Consumers > 0 {
		m.log.Warn("consumers_not_copied", "stream", have.Config.Name, "consumers", have.State.Consumers)
	}
	return nil
}

// prepare makes the stream where it is not there. Revisions go on from where they were, as they fence what is done by older ones.
func (m *move) prepare(ctx context.Context, have *jetstream.StreamInfo) error {
	cfg := have.Config
	cfg.FirstSeq, cfg.PersistMode, cfg.Replicas = have.State.LastSeq+1, jetstream.DefaultPersistMode, 1
	s, err := m.to.CreateStream(ctx, cfg) // which also succeeds where it is there and the same
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		s, err = m.to.Stream(ctx, cfg.Name)
	}
	if err != nil {
		return err
	}
	if at := s.CachedInfo().State; at.Msgs == 0 && at.LastSeq < have.State.LastSeq {
		return s.Purge(ctx, jetstream.WithPurgeSequence(have.State.LastSeq+1))
	}
	return nil
}

// copying is one stream on its way.
type copying struct {
	move   *move
	stream string
	bucket bool
	last   map[string]uint64 // of a bucket: the revision that this copy has written to a key, by subject
	sent   []sent
	copied int
	left   int // keys' values that were not copied, as others have written to the key
}

type sent struct {
	message *nats.Msg
	ack     jetstream.PubAckFuture
}

// message copies one. A message that is sent twice is stored once, as it has a name.
func (c *copying) message(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	m := &nats.Msg{Subject: raw.Subject, Data: raw.Data, Header: lasting(raw.Header)}
	m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("alone.%s.%d", c.stream, raw.Sequence))
	if c.bucket {
		return c.value(ctx, m)
	}
	ack, err := c.move.to.PublishMsgAsync(m)
	if err != nil {
		return err
	}
	if c.sent = append(c.sent, sent{m, ack}); len(c.sent) >= movePending {
		return c.flush(ctx)
	}
	return nil
}

// lasting are the headers that are the message's own: not those by which it was written, nor those by which a direct read tells what
// it has found, which would count as the copy's.
func lasting(all nats.Header) nats.Header {
	own := maps.Clone(all)
	maps.DeleteFunc(own, func(name string, _ []string) bool { return strings.HasPrefix(name, "Nats-Expected-") })
	for _, name := range []string{"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"} {
		own.Del(name)
	}
	if own == nil {
		own = nats.Header{}
	}
	return own
}

// flush waits until what was sent is stored, and sends again what is not.
func (c *copying) flush(ctx context.Context) error {
	for _, s := range c.sent {
		select {
		case <-s.ack.Ok():
		case <-s.ack.Err():
			if err := c.send(ctx, s.message); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		c.copied++
	}
	c.sent = c.sent[:0]
	return nil
}

func (c *copying) send(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) error {
	return again(ctx, func(ctx context.Context) error {
		ack, err := c.move.to.PublishMsg(ctx, m, opts...)
		if err == nil {
			c.last[m.Subject] = ack.Sequence
		}
		return err
	})
}

// value copies a value of a key, unless the key has one that this copy has not written.
func (c *copying) value(ctx context.Context, m *nats.Msg) error {
	err := c.send(ctx, m, jetstream.WithExpectLastSequencePerSubject(c.last[m.Subject]))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		c.left++
		return nil
	}
	c.copied++
	return err
}

// again does what a cluster may refuse for a while until it succeeds, or is refused for good.
func again(ctx context.Context, do func(ctx context.Context) error) error {
	pause := time.NewTicker(moveAgain)
	defer pause.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, moveRequest)
		err := do(try)
		cancel()
		var api *jetstream.APIError
		if err == nil || errors.As(err, &api) && api.Code < 500 && api.ErrorCode != codeNoPeers {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-pause.C:
		}
	}
}
