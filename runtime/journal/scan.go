package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// badFrame is where the good prefix of a segment ends although there is more.
type badFrame struct {
	offset int64
	reason string
}

func (b *badFrame) Error() string {
	return fmt.Sprintf("offset %d: %s", b.offset, b.reason)
}

// scanner reads the frames of a segment, checking each.
type scanner struct {
	r      *bufio.Reader
	off    int64 // behind the last good frame
	end    int64
	marked bool // end is known to be where the data ends; else zeros may end it before
	chain  uint32
	sum    hash.Hash // of what is before off; nil where nobody asks for it
	// keep chooses the frames whose key and data are returned, where not all are; key is its own only during the call.
	keep func(kind Kind, key []byte) bool
	buf  []byte // of a frame that need not be kept
}

// scan reads file behind its header up to end, or up to size where end is not known (negative).
func scan(file io.ReaderAt, h header, end, size int64) *scanner {
	s := &scanner{off: headerSize, end: end, marked: end >= 0, chain: h.crc, sum: sha256.New()}
	if !s.marked {
		s.end = size
	}
	s.sum.Write(h.encode())
	s.r = bufio.NewReaderSize(io.NewSectionReader(file, headerSize, max(s.end-headerSize, 0)), 256<<10)
	return s
}

// next returns the next frame. The errors are io.EOF at the proper end of the data, a *badFrame, and what reading reported.
func (s *scanner) next() (Entry, error) {
	left := s.end - s.off
	if left <= 0 {
		return Entry{}, s.atEnd(left)
	}
	var head [frameHead]byte
	if left < frameHead {
		return Entry{}, s.short(int(left))
	}
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return Entry{}, s.failed(err)
	}
	length := int64(binary.LittleEndian.Uint32(head[:]))
	switch {
	case length == 0:
		return Entry{}, s.zeros(head[4:])
	case length > maxBody:
		return Entry{}, s.bad("a frame of %d bytes is impossible", length)
	case length > left-frameHead:
		return Entry{}, s.bad("the segment ends within a frame")
	}
	return s.body(head, length)
}

func (s *scanner) body(head [frameHead]byte, length int64) (Entry, error) {
	body := s.room(length)
	if _, err := io.ReadFull(s.r, body); err != nil {
		return Entry{}, s.failed(err)
	}
	chain := checksum(s.chain, head[:4], body)
	if chain != binary.LittleEndian.Uint32(head[4:]) {
		return Entry{}, s.bad("checksum does not match")
	}
	kind, key, data, err := splitBody(body)
	if err != nil {
		return Entry{}, s.bad("%v", err)
	}
	if s.sum != nil {
		s.sum.Write(head[:])
		s.sum.Write(body)
	}
	s.chain, s.off = chain, s.off+frameHead+length
	switch {
	case s.keep == nil:
		return Entry{Kind: kind, Key: string(key), Data: data}, nil
	case s.keep(kind, key):
		return Entry{Kind: kind, Key: string(key), Data: bytes.Clone(data)}, nil
	}
	return Entry{Kind: kind}, nil
}

// room is where the body of a frame is read to: its own where it is returned, else one for all.
func (s *scanner) room(length int64) []byte {
	if s.keep == nil {
		return make([]byte, length)
	}
	s.buf = slices.Grow(s.buf[:0], int(length))
	return s.buf[:length]
}

func (s *scanner) atEnd(left int64) error {
	if left < 0 {
		return s.bad("the segment is shorter than its header")
	}
	return io.EOF
}

// short is for a rest that is too small for a frame.
func (s *scanner) short(n int) error {
	rest := make([]byte, n)
	if _, err := io.ReadFull(s.r, rest); err != nil {
		return s.failed(err)
	}
	return s.zeros(rest)
}

// zeros tells the preallocated rest of a segment, which ends the data, from a hole in it.
func (s *scanner) zeros(rest []byte) error {
	if s.marked {
		return s.bad("data is missing")
	}
	zero, err := allZero(rest, s.r)
	if err != nil {
		return s.failed(err)
	}
	if !zero {
		return s.bad("there is data behind the end")
	}
	return io.EOF
}

func allZero(seen []byte, r io.Reader) (bool, error) {
	buf := make([]byte, 32<<10)
	for n := copy(buf, seen); ; {
		for _, b := range buf[:n] {
			if b != 0 {
				return false, nil
			}
		}
		var err error
		if n, err = r.Read(buf); n == 0 && err != nil {
			return errors.Is(err, io.EOF), notEOF(err)
		}
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// failed tells a file that became shorter from one that cannot be read: a disk that does not answer is no reason to
// cut the log.
func (s *scanner) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return s.bad("the segment ends within a frame")
	}
	return fmt.Errorf("read at offset %d: %w", s.off, err)
}

func (s *scanner) bad(format string, args ...any) error {
	return &badFrame{offset: s.off, reason: fmt.Sprintf(format, args...)}
}
