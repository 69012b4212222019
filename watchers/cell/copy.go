package cell

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Progress says how far the copying of streams is.
type Progress struct {
	Stream  string `json:"stream"`  // that is being copied
	Done    int    `json:"done"`    // streams that are copied
	Streams int    `json:"streams"` // all that are to be copied
	Copied  uint64 `json:"copied"`  // messages of this stream, by their sequence
	Of      uint64 `json:"of"`      // the last sequence of this stream
	// Consumers are durable consumers that are copied.
	Consumers int `json:"consumers"`
}

// Copier copies streams from one broker to another, which may have some of them already: the machines of other hosts make what is
// declared. What others have written to a key there stays. It has an end: every request is bounded, and where nothing could be copied
// for Patience it gives up with the reason. It can be ended at any moment and begun again: what is there is found, whenever it was
// copied, and nothing is stored twice.
type Copier struct {
	From, To jetstream.JetStream
	Log      *slog.Logger
	// Patience is how long it goes on without copying anything; 0 is two minutes.
	Patience time.Duration
	// Tell is called as it goes on; it must not block. May be nil.
	Tell func(Progress)

	progress Progress
	left     []string  // what was not copied, and why
	stuck    time.Time // since when nothing was copied; zero while something is
}

const (
	copyRequest  = 10 * time.Second // for the answer to one request, and for one acknowledgement
	copyAgain    = 500 * time.Millisecond
	copyPatience = 2 * time.Minute
	// copyPending is how many messages are on their way at once.
	copyPending = 256
	// codeNoPeers is the answer of a cluster where too few brokers are there yet, codeOtherBefore that another message is the last than was expected.
	codeNoPeers     jetstream.ErrorCode = 10005
	codeOtherBefore jetstream.ErrorCode = 10070
)

// Copy copies the streams of these names, which are all that there are: one that cannot be opened must not be left behind. Those by which
// a cell refuses and knows come first.
func (c *Copier) Copy(ctx context.Context, names []string) error {
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return weight(a) - weight(b) })
	c.progress, c.left = Progress{Streams: len(names)}, nil
	for i, name := range names {
		c.progress.Stream, c.progress.Done, c.progress.Copied, c.progress.Of = name, i, 0, 0
		from, err := bounded(ctx, func(ctx context.Context) (jetstream.Stream, error) { return c.From.Stream(ctx, name) })
		if err == nil {
			err = c.stream(ctx, from)
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	c.progress.Done = len(names)
	c.tell()
	return nil
}

func weight(stream string) int {
	if at := slices.Index([]string{"KV_REVOKED", "KV_NODES"}, stream); at >= 0 {
		return at
	}
	return 2
}

func (c *Copier) tell() {
	if c.Tell != nil {
		c.Tell(c.progress)
	}
}

func (c *Copier) stream(ctx context.Context, from jetstream.Stream) error {
	have := from.CachedInfo()
	c.progress.Of = have.State.LastSeq
	c.tell()
	err := c.persist(ctx, func() error {
		_, err := bounded(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.prepare(ctx, have) })
		return err
	})
	if err != nil {
		return err
	}
	interest := have.Config.Retention == jetstream.InterestPolicy
	if interest { // nobody's messages are not kept
		if err := c.consumers(ctx, from); err != nil {
			return err
		}
	}
	if have.Config.Mirror == nil { // one fetches what it holds by itself, and takes nothing else
		if err := c.messages(ctx, from); err != nil {
			return err
		}
	}
	if interest {
		return nil
	}
	return c.consumers(ctx, from)
}

func (c *Copier) messages(ctx context.Context, from jetstream.Stream) (err error) {
	have := from.CachedInfo()
	left := 0
	if strings.HasPrefix(have.Config.Name, "KV_") {
		b := &bucketCopy{
			Copier: c, from: from, name: have.Config.Name, state: have.State, next: have.State.FirstSeq, last: map[string]uint64{}, upTo: map[string]uint64{},
		}
		err = c.persist(ctx, func() error { return b.run(ctx) })
		left = b.left
	} else {
		s := &streamCopy{Copier: c, from: from, name: have.Config.Name, state: have.State}
		err = c.persist(ctx, func() error { return s.run(ctx) })
	}
	if err == nil {
		c.Log.Info("stream_copied", "stream", have.Config.Name, "messages", have.State.Msgs, "left", left)
	}
	return err
}

// persist does what a cluster may refuse for a while until it succeeds, is refused for good, or nothing was copied for too long.
func (c *Copier) persist(ctx context.Context, do func() error) error {
	patience := c.Patience
	if patience == 0 {
		patience = copyPatience
	}
	pause := time.NewTicker(copyAgain)
	defer pause.Stop()
	for {
		before := c.progress
		err := do()
		if err == nil || forGood(err) {
			c.stuck = time.Time{}
			return err
		}
		switch now := time.Now(); { //nolint:forbidigo // it bounds how long brokers are waited for, which have the real clock
		case before != c.progress || c.stuck.IsZero():
			c.stuck = now
			c.Log.Warn("copying_waits", "stream", c.progress.Stream, "error", err)
		case now.Sub(c.stuck) > patience:
			c.stuck = time.Time{}
			return fmt.Errorf("nothing could be copied for %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-pause.C:
		}
	}
}

// forGood reports whether trying again will not help.
func forGood(err error) bool {
	var api *jetstream.APIError
	passing := []jetstream.ErrorCode{codeNoPeers, codeOtherBefore, jetstream.JSErrCodeStreamWrongLastSequence}
	return errors.As(err, &api) && api.Code < 500 && !slices.Contains(passing, api.ErrorCode)
}

// bounded gives one request its time.
func bounded[T any](ctx context.Context, ask func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, copyRequest)
	defer cancel()
	return ask(ctx)
}

// prepare makes the stream where it is not there. Revisions go on from where they were, as they fence what is done by older ones.
func (c *Copier) prepare(ctx context.Context, have *jetstream.StreamInfo) error {
	cfg := have.Config
	cfg.FirstSeq, cfg.PersistMode, cfg.Replicas = have.State.LastSeq+1, jetstream.DefaultPersistMode, 1
	s, err := c.To.CreateStream(ctx, cfg) // which also succeeds where it is there and the same
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		s, err = c.To.Stream(ctx, cfg.Name)
	}
	if err != nil {
		return err
	}
	if at := s.CachedInfo().State; at.Msgs == 0 && at.LastSeq < have.State.LastSeq {
		return s.Purge(ctx, jetstream.WithPurgeSequence(have.State.LastSeq+1))
	}
	return nil
}
