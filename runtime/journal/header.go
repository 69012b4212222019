package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// formatVersion is the version of the bytes this release writes. Every version begins as this one does: magic, version,
// size of the header and the checksum of these, so that "newer" and "damaged" can be told apart.
const (
	formatVersion = 1
	magic         = "SCRAFTLG"
	preludeSize   = 16
	headerSize    = 128
)

// errHeader is the cause of all that can be wrong with a header's bytes, as opposed to reading them.
var errHeader = errors.New("header")

// header begins a segment. Little endian; times are Unix nanoseconds.
type header struct {
	id      [16]byte // random, the same in all segments of one log
	number  uint64
	created time.Time
	prev    closed // the segment before; number 0 where there is none
	crc     uint32 // of all of the above, the seed of the first frame
}

// closed is how a segment ended. It is kept in the header of the next one: so a segment's end and contents are known
// even if its file was cut, extended or rewritten later, and no older segment has to be read when the log is opened.
type closed struct {
	number  uint64
	end     int64             // offset behind the last synced frame
	chain   uint32            // checksum of the last frame
	sum     [sha256.Size]byte // of all bytes before end
	records int64
	last    time.Time // of the newest append
}

func (h *header) encode() []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, headerSize), magic...)
	b = le.AppendUint16(b, formatVersion)
	b = le.AppendUint16(b, headerSize)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = append(b, h.id[:]...)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, uint64(h.created.UnixNano()))
	b = le.AppendUint64(b, h.prev.number)
	b = le.AppendUint64(b, uint64(h.prev.end))
	b = le.AppendUint32(b, h.prev.chain)
	b = append(b, h.prev.sum[:]...)
	b = le.AppendUint64(b, uint64(h.prev.records))
	b = le.AppendUint64(b, uint64(h.prev.last.UnixNano()))
	b = append(b, make([]byte, headerSize-4-len(b))...)
	h.crc = crc32.Checksum(b, castagnoli)
	return le.AppendUint32(b, h.crc)
}

// decodeHeader reads a header of this or, with ErrNewer, refuses one of a newer version.
func decodeHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	if err := checkPrelude(b); err != nil {
		return header{}, err
	}
	if len(b) < headerSize {
		return header{}, fmt.Errorf("%w is incomplete", errHeader)
	}
	h := header{
		number:  le.Uint64(b[32:]),
		created: time.Unix(0, int64(le.Uint64(b[40:]))),
		prev: closed{
			number:  le.Uint64(b[48:]),
			end:     int64(le.Uint64(b[56:])),
			chain:   le.Uint32(b[64:]),
			records: int64(le.Uint64(b[100:])),
			last:    time.Unix(0, int64(le.Uint64(b[108:]))),
		},
		crc: le.Uint32(b[headerSize-4:]),
	}
	copy(h.id[:], b[preludeSize:])
	copy(h.prev.sum[:], b[68:])
	if crc32.Checksum(b[:headerSize-4], castagnoli) != h.crc {
		return header{}, fmt.Errorf("%w: checksum does not match", errHeader)
	}
	return h, nil
}

func checkPrelude(b []byte) error {
	le := binary.LittleEndian
	switch {
	case len(b) < preludeSize:
		return fmt.Errorf("%w is incomplete", errHeader)
	case string(b[:len(magic)]) != magic:
		return fmt.Errorf("%w is not that of a log", errHeader)
	case crc32.Checksum(b[:12], castagnoli) != le.Uint32(b[12:]):
		return fmt.Errorf("%w: checksum does not match", errHeader)
	case le.Uint16(b[8:]) > formatVersion:
		return fmt.Errorf("%w: format %d, this program knows up to %d; upgrade it", ErrNewer, le.Uint16(b[8:]), formatVersion)
	}
	return nil
}
