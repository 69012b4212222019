package publication

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/registry"
)

// Source is where nodes find a bundle of a digest: it goes into a spec's entry.
func Source(digest string) string { return "object://" + BundlesBucket + "/" + digest }

// PutBundle stores a bundle under its digest, once; what lies there spoiled is replaced. stored is false where it was there. Errors are
// ErrFull, ErrSilent and those of NATS.
func (s *Shelf) PutBundle(ctx context.Context, b *registry.Bundle) (stored bool, err error) {
	once, cancel := context.WithTimeout(ctx, within(len(b.Data)))
	defer cancel()
	if there, err := s.bundles.GetBytes(once, b.Digest); err == nil && bytes.Equal(there, b.Data) {
		return false, nil
	}
	// Whatever was wrong with reading it: if the cell cannot be asked, it cannot be written to either.
	_, err = put(ctx, s.roomOfBundles, within(len(b.Data)), func(ctx context.Context) (*jetstream.ObjectInfo, error) {
		return s.bundles.PutBytes(ctx, b.Digest, b.Data)
	})
	if err != nil {
		return false, err
	}
	return true, nil
}

// readTimeout is for one try to read a bundle of whatever size.
const readTimeout = 10 * time.Second

// Bundle reads a bundle back. The error is jetstream.ErrObjectNotFound where it is not there.
func (s *Shelf) Bundle(ctx context.Context, digest string) ([]byte, error) {
	data, err := again(ctx, readTimeout, func(ctx context.Context) ([]byte, error) { return s.bundles.GetBytes(ctx, digest) })
	if err != nil {
		return nil, fmt.Errorf("reading the bundle %s: %w", digest, err)
	}
	return data, nil
}
