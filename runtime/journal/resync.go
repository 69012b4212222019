package journal

import (
	"bufio"
	"encoding/binary"
	"io"
)

// maxSearch is how far behind a frame whose length is damaged the next ones are looked for, in bytes: further than a record reaches.
const maxSearch = MaxRecord + 64<<10

// resync goes on behind a frame that is not as it was written, where what follows can be trusted: the checksum of a frame continues the
// one that is stored in the frame before. lost is how many frames that costs, -1 where it cannot be known. Not ok is that nothing behind
// it can be read.
func (s *scanner) resync(file io.ReaderAt) (lost int64, ok bool) {
	var head [frameHead]byte
	if _, err := file.ReadAt(head[:], s.off); err != nil || !s.marked {
		return 0, false
	}
	length, stored := int64(binary.LittleEndian.Uint32(head[:])), binary.LittleEndian.Uint32(head[4:])
	next := s.off + frameHead + length
	if next == s.end {
		return 1, s.goOn(file, next, stored)
	}
	if length > 0 && length <= maxBody && s.trusted(file, next, stored) {
		return 1, s.goOn(file, next, stored)
	}
	if length > 0 && length <= maxBody && next < s.end {
		body := make([]byte, length)
		if _, err := file.ReadAt(body, s.off+frameHead); err == nil {
			if chain := checksum(s.chain, head[:4], body); s.trusted(file, next, chain) { // its checksum is what was damaged
				return 1, s.goOn(file, next, chain)
			}
		}
	}
	return -1, s.search(file)
}

// trusted reports whether there is a frame that continues a checksum.
func (s *scanner) trusted(file io.ReaderAt, off int64, chain uint32) bool {
	_, err := frameAt(file, place{off: off, chain: chain}, s.end)
	return err == nil
}

// search looks for two frames of which the second continues the first.
func (s *scanner) search(file io.ReaderAt) bool {
	window := make([]byte, min(maxSearch, s.end-s.off))
	n, _ := file.ReadAt(window, s.off)
	window = window[:n]
	for i := int64(1); i+frameHead <= int64(len(window)); i++ {
		length := int64(binary.LittleEndian.Uint32(window[i:]))
		next := s.off + i + frameHead + length
		if length == 0 || length > maxBody || next >= s.end {
			continue
		}
		if chain := binary.LittleEndian.Uint32(window[i+4:]); s.trusted(file, next, chain) {
			return s.goOn(file, next, chain)
		}
	}
	return false
}

// goOn reads from off on, behind a frame with the checksum chain. What the whole segment's sum was is not known any more.
func (s *scanner) goOn(file io.ReaderAt, off int64, chain uint32) bool {
	s.off, s.chain, s.sum = off, chain, nil
	s.r = bufio.NewReaderSize(io.NewSectionReader(file, off, s.end-off), 256<<10)
	return true
}
