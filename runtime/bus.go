package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"
)

// ErrUnreachable is wrapped by a bus that has nowhere to publish to at the moment. The event is lost and counted, and nobody is warned: a
// node that has not joined yet has no bus.
var ErrUnreachable = errors.New("the bus cannot be reached")

// Bus takes the events that a host publishes. Publish is called by one goroutine at a time.
type Bus interface {
	Publish(subject string, e event.Event) error
}

// Reacher is a Bus that knows beforehand whether it has somewhere to publish to for an identity. Where it has not, no event is made: it is
// lost and counted as with ErrUnreachable. Reaches is called by many goroutines.
type Reacher interface {
	Bus
	Reaches(identity string) bool
}

// WriterBus writes every event as one line of JSON, the CloudEvent in structured mode, to a file or a terminal. The subject is
// not written: consumers tell events apart by their type.
type WriterBus struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriterBus returns a bus over w, which the caller closes after the host has ended.
func NewWriterBus(w io.Writer) *WriterBus { return &WriterBus{w: w} }

// Publish implements Bus.
func (b *WriterBus) Publish(_ string, e event.Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding event %s: %w", e.Type(), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing event %s: %w", e.Type(), err)
	}
	return nil
}
