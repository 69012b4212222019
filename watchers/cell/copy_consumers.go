package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// mostLeft bounds how many things are named that were not copied.
const mostLeft = 20

// consumerCopy is the durable consumers of a stream on their way. One goes on behind the last message up to which all were acknowledged: those
// that were acknowledged out of turn behind it are delivered once more, and all are counted from their first delivery again. Others belong
// to a session, and whoever has that makes them anew.
type consumerCopy struct {
	*Copier
	from   jetstream.Stream
	name   string
	policy jetstream.RetentionPolicy
	mirror bool
}

// consumers copies those of a stream. It may be asked again.
func (c *Copier) consumers(ctx context.Context, from jetstream.Stream) error {
	cfg := from.CachedInfo().Config
	k := &consumerCopy{Copier: c, from: from, name: cfg.Name, policy: cfg.Retention, mirror: cfg.Mirror != nil}
	all, err := bounded(ctx, k.durable)
	if err != nil {
		return err
	}
	for _, info := range all {
		if k.mirror {
			c.leave("consumer %s of %s: the stream is a mirror", info.Name, k.name)
			continue
		}
		err := c.persist(ctx, func() error {
			_, err := bounded(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, k.one(ctx, info) })
			return err
		})
		switch {
		case forGood(err):
			c.leave("consumer %s of %s: %v", info.Name, k.name, err)
		case err != nil:
			return fmt.Errorf("consumer %s: %w", info.Name, err)
		default:
			c.progress.Consumers++
		}
	}
	return nil
}

// durable are those that there are.
func (k *consumerCopy) durable(ctx context.Context) (all []*jetstream.ConsumerInfo, err error) {
	list := k.from.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable != "" {
			all = append(all, info)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("listing the consumers: %w", err)
	}
	return all, nil
}

// one copies one, unless it is there.
func (k *consumerCopy) one(ctx context.Context, info *jetstream.ConsumerInfo) error {
	to, err := k.To.Stream(ctx, k.name)
	if err != nil {
		return err
	}
	cfg := info.Config
	cfg.Name, cfg.Replicas, cfg.Metadata = cfg.Durable, 0, maps.Clone(cfg.Metadata)
	maps.DeleteFunc(cfg.Metadata, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") }) // the server's own
	if k.placed(info) {
		cfg.OptStartTime, cfg.DeliverPolicy = nil, jetstream.DeliverByStartSequencePolicy
		if cfg.OptStartSeq, err = k.place(ctx, to, info.AckFloor.Stream); err != nil {
			return err
		}
	}
	if cfg.DeliverSubject != "" {
		_, err = to.CreatePushConsumer(ctx, cfg)
	} else {
		_, err = to.CreateConsumer(ctx, cfg)
	}
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil
	}
	return err
}

// placed reports whether a consumer has a position. A stream that drops what is acknowledged has what remains in the order in which it is
// delivered, and one that has delivered nothing yet begins as it would have.
func (k *consumerCopy) placed(info *jetstream.ConsumerInfo) bool {
	if k.policy != jetstream.LimitsPolicy {
		return false
	}
	if info.AckFloor.Stream > 0 || info.Delivered.Stream > 0 {
		return true
	}
	switch info.Config.DeliverPolicy {
	case jetstream.DeliverAllPolicy, jetstream.DeliverLastPolicy, jetstream.DeliverLastPerSubjectPolicy:
		return false
	default:
		return true
	}
}

// place is the sequence at the target of the first copy of a message above floor, or that behind the last copy where there is none. Copies are
// in their order there, among what others have stored.
func (k *consumerCopy) place(ctx context.Context, to jetstream.Stream, floor uint64) (uint64, error) {
	at := to.CachedInfo().State
	low, high := max(at.FirstSeq, 1), at.LastSeq+1
	for low < high {
		mid := low + (high-low)/2
		seq, of, err := k.nextCopy(ctx, to, mid, high)
		switch {
		case err != nil:
			return 0, err
		case of == 0 || of > floor:
			high = mid
		default:
			low = seq + 1
		}
	}
	return low, nil
}

// nextCopy is the first copy from a sequence on and before another: its sequence, and the one that it had; 0 for none.
func (k *consumerCopy) nextCopy(ctx context.Context, to jetstream.Stream, from, before uint64) (seq, of uint64, err error) {
	for seq = from; seq < before; seq++ {
		msg, err := nextMessage(ctx, to, seq)
		if err != nil || msg == nil || msg.Sequence >= before {
			return 0, 0, err
		}
		seq = msg.Sequence
		if of := copyOf(k.name, msg.Header); of > 0 {
			return seq, of, nil
		}
	}
	return 0, 0, nil
}

// leave notes what is not copied.
func (c *Copier) leave(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	c.Log.Warn("not_copied", "what", what)
	if c.left = append(c.left, what); len(c.left) > mostLeft {
		c.left = append(c.left[:mostLeft-1], fmt.Sprintf("more; the host's log names them (not_copied): %s", what))
	}
}

// Left names what was not copied, and why.
func (c *Copier) Left() []string { return c.left }
