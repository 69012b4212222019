package publication

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrFull is the cause where a stream of the cell takes nothing more, which time does not change.
var ErrFull = errors.New("there is no room")

// What nats-server says of a stream that is full, and of a broker without room, with a status that others have who are not ready.
const (
	codeNotStored    jetstream.ErrorCode = 10077 // its description says why
	codeNoResources  jetstream.ErrorCode = 10023
	codeNoStorage    jetstream.ErrorCode = 10047
	boundDescription                     = "maximum " // bytes, messages, or messages per subject exceeded
)

// IsFull reports that a stream, or the broker that keeps it, has no room.
func IsFull(err error) bool {
	if errors.Is(err, ErrFull) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode {
	case codeNoResources, codeNoStorage:
		return true
	case codeNotStored:
		return strings.HasPrefix(api.Description, boundDescription)
	default:
		return false
	}
}

// room is what a bucket holds and may hold, in bytes; a bound below 1 is none.
type room struct {
	bucket       string
	holds, bound int64
}

// put writes as again asks. Where there is no room the error is ErrFull, with the figures if they can be had.
func put[T any](ctx context.Context, look func(context.Context) (room, error), try time.Duration, write func(context.Context) (T, error)) (T, error) {
	v, err := again(ctx, try, write)
	if !IsFull(err) {
		return v, err
	}
	once, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	switch r, failed := look(once); {
	case failed == nil && r.bound > 0:
		return v, fmt.Errorf("%s is full: it holds %d of the %d bytes that it may: %w (%w)", r.bucket, r.holds, r.bound, ErrFull, err)
	default:
		return v, fmt.Errorf("%s takes nothing more: %w (%w)", r.bucket, ErrFull, err)
	}
}

func (s *Shelf) roomOfSpecs(ctx context.Context) (room, error) {
	status, err := s.specs.Status(ctx)
	return roomOf(SpecsBucket, status, err)
}

func (s *Shelf) roomOfBundles(ctx context.Context) (room, error) {
	status, err := s.bundles.Status(ctx)
	return roomOf(BundlesBucket, status, err)
}

func roomOf(bucket string, status any, err error) (room, error) {
	r := room{bucket: bucket}
	if s, ok := status.(interface{ StreamInfo() *jetstream.StreamInfo }); ok && err == nil {
		info := s.StreamInfo()
		r.holds, r.bound = int64(info.State.Bytes), info.Config.MaxBytes
	}
	return r, err
}
