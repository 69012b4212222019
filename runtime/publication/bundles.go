package publication

import (
	"bytes"
	"context"
	"fmt"

	"github.com/statecraft-io/statecraft/registry"
)

// Source is where nodes find a bundle of a digest: it goes into a spec's entry.
func Source(digest string) string { return "object://" + BundlesBucket + "/" + digest }

// PutBundle stores a bundle under its digest, once; what lies there spoiled is replaced. stored is false where it was there.
func (s *Shelf) PutBundle(ctx context.Context, b *registry.Bundle) (stored bool, err error) {
	if there, err := s.bundles.GetBytes(ctx, b.Digest); err == nil && bytes.Equal(there, b.Data) {
		return false, nil
	}
	// Whatever was wrong with reading it: if the cell cannot be asked, it cannot be written to either.
	if _, err := s.bundles.PutBytes(ctx, b.Digest, b.Data); err != nil {
		return false, fmt.Errorf("storing the bundle of %s: %w", b.Name, err)
	}
	return true, nil
}

// Bundle reads a bundle back. The error is jetstream.ErrObjectNotFound where it is not there.
func (s *Shelf) Bundle(ctx context.Context, digest string) ([]byte, error) {
	data, err := s.bundles.GetBytes(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle %s: %w", digest, err)
	}
	return data, nil
}
