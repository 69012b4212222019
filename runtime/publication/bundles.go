package publication

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/delivery"
)

// Source is where nodes find a bundle of a digest: it goes into a spec's entry.
func Source(digest string) string { return "object://" + BundlesBucket + "/" + digest }

// storedPause is before it is asked again whether a bundle that has been sent is stored.
const storedPause = 100 * time.Millisecond

// errOdd is the cause where a host answers what it was not asked.
var errOdd = errors.New("the answer is not what was asked for: do this program and the cell's hosts have the same version?")

// PutBundle stores a bundle under its digest, once; what lies there spoiled is replaced. envelope is a list that names it, which somebody has
// signed who may sign lists. stored is false where it was there. Errors are ErrFull, ErrSilent, a registry.Refusal and those of NATS.
func (s *Shelf) PutBundle(ctx context.Context, b *registry.Bundle, envelope []byte) (stored bool, err error) {
	size := int64(len(b.Data))
	for {
		a, err := again(ctx, within(size), func(ctx context.Context) (*delivery.UploadAnswer, error) {
			a := &delivery.UploadAnswer{}
			return a, s.ask(ctx, storeService, delivery.UploadQuery{Digest: b.Digest, Size: size, Envelope: envelope}, a)
		})
		switch {
		case err != nil:
			return false, err
		case a.There:
			return false, nil
		case a.At == "" || a.Part < 1 || a.Next < 0 || a.Next > size:
			return false, errOdd
		}
		err = s.upload(ctx, b, a)
		if err == nil {
			return true, nil
		}
		if !silent(err) && !errors.Is(err, errAbsent) { // a host that has died, or forgot it; another one may take it
			return false, err
		}
		if pause(ctx, err) != nil {
			return false, gaveUp(err)
		}
	}
}

// upload sends what the host does not have yet, and waits until it is stored.
func (s *Shelf) upload(ctx context.Context, b *registry.Bundle, a *delivery.UploadAnswer) error {
	size, next := int64(len(b.Data)), a.Next
	for {
		p, err := s.part(ctx, b, a.At, next, min(size, next+a.Part))
		switch {
		case err != nil:
			return err
		case p.Stored:
			return nil
		case p.Next < 0 || p.Next > size:
			return errOdd
		}
		if next = p.Next; next < size {
			continue
		}
		if err := watchers.Rest(ctx, storedPause); err != nil {
			return err
		}
	}
}

// part sends a part of a bundle to a host, once.
func (s *Shelf) part(ctx context.Context, b *registry.Bundle, at string, from, to int64) (p delivery.UploadProgress, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	m, err := s.request(ctx, &nats.Msg{Subject: s.subject(storeService + "." + at), Data: b.Data[from:to], Header: nats.Header{
		delivery.HeaderUpload: []string{b.Digest}, delivery.HeaderOffset: []string{strconv.FormatInt(from, 10)},
	}})
	if err != nil {
		return p, err
	}
	return p, read(m, &p)
}

// within is how long one try may take for which a host reads so many bytes.
func within(size int64) time.Duration { return tryTimeout + time.Duration(size>>20)*tryPerMiB }

// rangeLength is what is asked for at once, in bytes: what hosts give at most.
const rangeLength = 256 << 10

// Bundle reads a bundle back.
func (s *Shelf) Bundle(ctx context.Context, digest string) ([]byte, error) {
	var data bytes.Buffer
	for {
		part, size, err := s.rangeOf(ctx, digest, int64(data.Len()))
		if err == nil && size > registry.DefaultLimits().Compressed {
			err = fmt.Errorf("it has %d bytes: %w", size, registry.ErrLimit)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the bundle %s: %w", digest, err)
		}
		if data.Write(part); int64(data.Len()) >= size {
			return data.Bytes(), nil
		}
	}
}

func (s *Shelf) rangeOf(ctx context.Context, digest string, offset int64) (part []byte, size int64, err error) {
	body, err := json.Marshal(delivery.ObjectQuery{Name: digest, Bucket: BundlesBucket, Offset: offset, Length: rangeLength})
	if err != nil {
		return nil, 0, err
	}
	m, err := again(ctx, tryTimeout, func(ctx context.Context) (*nats.Msg, error) {
		m, err := s.request(ctx, &nats.Msg{Subject: s.subject(objectsService), Data: body})
		if err == nil {
			err = denied(m)
		}
		return m, err
	})
	if err != nil {
		return nil, 0, err
	}
	return delivery.ReadRange(m, offset, rangeLength)
}
