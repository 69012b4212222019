package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// messageName is the id of the copy of a message, by which it is found again.
func messageName(stream string, seq uint64) string { return fmt.Sprintf("alone.%s.%d", stream, seq) }

// copyOf returns the sequence that a message had in the stream that it was copied from, 0 for one that was not.
func copyOf(stream string, header nats.Header) uint64 {
	text, ok := strings.CutPrefix(header.Get(jetstream.MsgIDHeader), "alone."+stream+".")
	if !ok {
		return 0
	}
	seq, _ := strconv.ParseUint(text, 10, 64)
	return seq
}

// copyMessage makes the copy of a message.
func copyMessage(stream string, raw *jetstream.RawStreamMsg) *nats.Msg {
	m := &nats.Msg{Subject: raw.Subject, Data: raw.Data, Header: lasting(raw.Header)}
	m.Header.Set(jetstream.MsgIDHeader, messageName(stream, raw.Sequence))
	return m
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

// nextMessage reads the message of a sequence, or the next that there is; nil where there is none.
func nextMessage(ctx context.Context, from jetstream.Stream, seq uint64) (*jetstream.RawStreamMsg, error) {
	msg, err := bounded(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return from.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading message %d: %w", seq, err)
	}
	return msg, nil
}

// streamCopy is a stream on its way, in order. The first message says which sequence is the last at the target, and each that follows the id of
// the one before it, so that none overtakes one that was lost, and none is stored twice, whatever others store there meanwhile.
type streamCopy struct {
	*Copier
	from  jetstream.Stream
	name  string
	state jetstream.StreamState // of the stream that is copied
}

// run copies what the target does not have yet.
func (s *streamCopy) run(ctx context.Context) error {
	to, err := bounded(ctx, func(ctx context.Context) (jetstream.Stream, error) { return s.To.Stream(ctx, s.name) })
	if err != nil {
		return err
	}
	at := to.CachedInfo().State
	have, err := s.copied(ctx, to, at)
	if err != nil {
		return err
	}
	s.note(have)
	js, err := jetstream.New(s.To.Conn(), jetstream.WithPublishAsyncTimeout(copyRequest), jetstream.WithPublishAsyncMaxPending(2*copyPending))
	if err != nil {
		return err
	}
	defer js.CleanupPublisher()
	batch, after := make([]pending, 0, copyPending), jetstream.WithExpectLastSequence(at.LastSeq)
	for seq := max(have+1, s.state.FirstSeq); seq <= s.state.LastSeq; seq++ {
		msg, err := nextMessage(ctx, s.from, seq)
		if err != nil {
			return errors.Join(err, s.settle(ctx, batch))
		}
		if msg == nil {
			break
		}
		ack, err := js.PublishMsgAsync(copyMessage(s.name, msg), jetstream.WithExpectStream(s.name), after)
		if err != nil {
			return errors.Join(fmt.Errorf("copying message %d: %w", msg.Sequence, err), s.settle(ctx, batch))
		}
		seq, after = msg.Sequence, jetstream.WithExpectLastMsgID(messageName(s.name, msg.Sequence))
		if batch = append(batch, pending{seq, ack}); len(batch) == copyPending {
			if err := s.settle(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return s.settle(ctx, batch)
}

// pending is a message on its way, by its sequence.
type pending struct {
	seq uint64
	ack jetstream.PubAckFuture
}

// settle waits until each message is stored or is not, which it is known to be within copyRequest.
func (s *streamCopy) settle(ctx context.Context, batch []pending) error {
	var failed error
	for _, p := range batch {
		select {
		case <-p.ack.Ok():
			if failed == nil {
				s.note(p.seq)
			}
		case err := <-p.ack.Err():
			if failed == nil {
				failed = fmt.Errorf("copying message %d: %w", p.seq, err)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return failed
}

// note notes how far it is, and tells.
func (s *streamCopy) note(seq uint64) {
	if seq > s.progress.Copied {
		s.progress.Copied = seq
		s.tell()
	}
}

// copied is the sequence of the last message that the target has of the stream. What others have stored there is passed over.
func (s *streamCopy) copied(ctx context.Context, to jetstream.Stream, at jetstream.StreamState) (uint64, error) {
	for seq := at.LastSeq; at.Msgs > 0 && seq >= at.FirstSeq && seq > 0; seq-- {
		msg, err := bounded(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return to.GetMsg(ctx, seq) })
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("looking what is copied: %w", err)
		}
		if of := copyOf(s.name, msg.Header); of > 0 {
			return of, nil
		}
	}
	return 0, nil
}

// bucketCopy is a bucket on its way. A value is copied unless its key has one that others have written.
type bucketCopy struct {
	*Copier
	from  jetstream.Stream
	name  string
	state jetstream.StreamState
	next  uint64            // sequence that is to be copied next
	last  map[string]uint64 // the revision that a copy has written to a key, by subject
	upTo  map[string]uint64 // the sequence up to which a key was found to be copied, by subject
	left  int               // values that were not copied, as others have written to the key
}

func (b *bucketCopy) run(ctx context.Context) error {
	for b.state.Msgs > 0 && b.next <= b.state.LastSeq {
		msg, err := nextMessage(ctx, b.from, b.next)
		if err != nil {
			return err
		}
		if msg == nil {
			break
		}
		if err := b.value(ctx, msg); err != nil {
			return fmt.Errorf("copying message %d: %w", msg.Sequence, err)
		}
		b.next, b.progress.Copied = msg.Sequence+1, msg.Sequence
		b.tell()
	}
	return nil
}

func (b *bucketCopy) value(ctx context.Context, msg *jetstream.RawStreamMsg) error {
	for range 2 {
		if msg.Sequence <= b.upTo[msg.Subject] {
			return nil
		}
		ack, err := bounded(ctx, func(ctx context.Context) (*jetstream.PubAck, error) {
			return b.To.PublishMsg(ctx, copyMessage(b.name, msg), jetstream.WithExpectStream(b.name),
				jetstream.WithExpectLastSequencePerSubject(b.last[msg.Subject]))
		})
		if err == nil {
			b.last[msg.Subject] = ack.Sequence
			return nil
		}
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
			return err
		}
		others, err := b.look(ctx, msg)
		if others || err != nil {
			return err
		}
	}
	return fmt.Errorf("the key of %s is being written", msg.Subject)
}

// look finds whose the value of a key is, and up to where the key is copied.
func (b *bucketCopy) look(ctx context.Context, msg *jetstream.RawStreamMsg) (others bool, err error) {
	there, err := bounded(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		to, err := b.To.Stream(ctx, b.name)
		if err != nil {
			return nil, err
		}
		return to.GetLastMsgForSubject(ctx, msg.Subject)
	})
	if err != nil {
		return false, fmt.Errorf("looking whose the value of %s is: %w", msg.Subject, err)
	}
	if of := copyOf(b.name, there.Header); of > 0 {
		b.last[msg.Subject], b.upTo[msg.Subject] = there.Sequence, of
		return false, nil
	}
	b.left++
	b.leave("the value of %s in %s: others have written to the key", msg.Subject, b.name)
	return true, nil
}
