package registry

import (
	"errors"
	"fmt"
	"io"
)

// ErrLimit is the cause where an archive is larger than may be, in whatever way.
var ErrLimit = errors.New("beyond the limit")

// Limits bound what Unpack takes.
type Limits struct {
	Compressed, Unpacked int64 // bytes
	Entries              int
	Ratio                int // unpacked to compressed, above the first MiB
}

// DefaultLimits are generous for machines.
func DefaultLimits() Limits {
	return Limits{Compressed: 64 << 20, Unpacked: 256 << 20, Entries: 10_000, Ratio: 100}
}

const (
	maxPath      = 1024 // bytes of a path in a bundle
	maxPathWord  = 255  // bytes between two slashes, as file systems have it
	maxPathDepth = 32
)

// unpacked is how many bytes an archive of a size may unpack to, the padding and headers included.
func (l Limits) unpacked(size int64) int64 {
	const free = 1 << 20
	if most := (l.Unpacked - free) / int64(max(1, l.Ratio)); size > most {
		return l.Unpacked
	}
	return free + size*int64(l.Ratio)
}

// bounded reads no more than it may.
type bounded struct {
	from io.Reader
	left int64
	what string
}

// Read fails with ErrLimit where there is more.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.probe()
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// probe tells the end from more.
func (b *bounded) probe() error {
	var one [1]byte
	n, err := io.ReadFull(b.from, one[:])
	if n > 0 {
		return fmt.Errorf("%s: %w", b.what, ErrLimit)
	}
	return err
}
