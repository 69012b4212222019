package inventory

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// fakeStream is a stream that has as many messages as it says.
type fakeStream struct {
	jetstream.Stream
	last uint64
}

func (s *fakeStream) Info(context.Context, ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	return &jetstream.StreamInfo{State: jetstream.StreamState{LastSeq: s.last}}, nil
}

// fakeConsumer is a consumer that has more to bring, or has delivered what never came.
type fakeConsumer struct {
	jetstream.Consumer
	pending, delivered uint64
	err                error
}

func (c *fakeConsumer) Info(context.Context) (*jetstream.ConsumerInfo, error) {
	return &jetstream.ConsumerInfo{NumPending: c.pending, Delivered: jetstream.SequenceInfo{Stream: c.delivered}}, c.err
}

// TestH64AViewThatStandsStillIsReadAgain: its consumer has more to bring, or says that it brought what never came, and nothing comes.
func TestH64AViewThatStandsStillIsReadAgain(t *testing.T) {
	for name, consumer := range map[string]*fakeConsumer{"it has more": {pending: 2, delivered: 5}, "it was lost on the way": {delivered: 7}} {
		r := &reading{sheet: newSheet(1 << 20), stream: &fakeStream{last: 7}, consumer: consumer, last: 5, caughtUp: make(chan struct{}, 1)}
		var all []error
		for range 2 {
			all = append(all, r.check(t.Context()))
		}
		r.last, consumer.delivered = 6, 6 // it goes on
		all = append(all, r.check(t.Context()))
		r.last, consumer.pending, consumer.delivered = 7, 0, 7 // all has come
		all = append(all, r.check(t.Context()), r.check(t.Context()))
		consumer.err, r.last = errors.New("it has no leader"), 6
		all = append(all, r.check(t.Context()), r.check(t.Context()))
		for i, err := range all {
			if stood := errors.Is(err, errStoodStill); stood != (i == 1) {
				t.Errorf("%s: look %d says %v", name, i, err)
			}
		}
	}
}

// TestViewOfAPartOfAStream does not take for standing still that the stream has what the filter leaves out.
func TestViewOfAPartOfAStream(t *testing.T) {
	r := &reading{sheet: newSheet(1 << 20), stream: &fakeStream{last: 9}, consumer: &fakeConsumer{delivered: 5}, last: 5, caughtUp: make(chan struct{}, 1)}
	for range 3 {
		if err := r.check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
