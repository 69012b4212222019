package publication

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/statecraft-io/statecraft/registry"
)

// Base is what a publication to a channel goes on from: what was last published to it or, where that was deleted or cannot be vouched
// for, the newest before it that is kept and can, with the revision to write over. Broken says what is wrong with the last one. The Spec
// is nil where nothing is kept that can be vouched for; ErrNoChannel where there is nothing at all.
func (s *Shelf) Base(ctx context.Context, channel string) (*Published, error) {
	p, err := s.Current(ctx, channel)
	if err == nil {
		return p, s.behind(p, channel)
	}
	if _, refused := errors.AsType[*registry.Refusal](err); !refused && !errors.Is(err, ErrNoChannel) || registry.IsUnsupported(err) {
		return nil, err // a list of a later release is whole: nothing else is put in its place
	}
	entries, failed := s.history(ctx, specKey(channel))
	if failed != nil {
		return nil, fmt.Errorf("reading the history of the channel %s: %w", channel, failed)
	}
	if len(entries) == 0 {
		return nil, ErrNoChannel
	}
	newest := entries[len(entries)-1]
	if newest.Deleted {
		err = fmt.Errorf("the list of the channel %s was deleted on %s", channel, newest.At.UTC().Format("2006-01-02 15:04:05Z"))
	}
	for _, e := range slices.Backward(entries) {
		if e.Deleted {
			continue
		}
		p, refusal := s.vouched(e)
		switch {
		case refusal == nil:
			p.Revision, p.Broken = newest.Revision, err
			return p, nil
		case registry.IsUnsupported(refusal):
			return nil, refusal
		}
	}
	return &Published{Revision: newest.Revision, At: newest.At, Broken: err}, nil
}

// behind looks whether the cell has less than this client knows to have been published, and learns where it has more.
func (s *Shelf) behind(p *Published, channel string) error {
	known, err := s.trust.Floor(channel)
	switch {
	case err != nil:
		return fmt.Errorf("reading what was published to the channel %s: %w", channel, err)
	case p.Spec.Serial < known:
		p.Broken = fmt.Errorf("the cell has serial %d of the channel %s, and serial %d was published, so that it may have been restored from an older copy",
			p.Spec.Serial, channel, known)
	case p.Spec.Serial > known:
		// What has expired, or a root does not vouch for any more, is not taken, and need not be.
		_ = s.Remember(p, channel)
	}
	return nil
}

// Remember keeps what was published, so that the next publication has a higher serial even where the cell is restored from a copy that
// is older.
func (s *Shelf) Remember(p *Published, channel string) error {
	if _, _, err := s.trust.Accept(p.Envelope, s.want(channel)); err != nil {
		return fmt.Errorf("remembering the serial %d of the channel %s: %w", p.Spec.Serial, channel, err)
	}
	return nil
}

func (s *Shelf) want(channel string) registry.Want {
	return registry.Want{Channel: channel, Cell: s.cell, Now: s.now()}
}
