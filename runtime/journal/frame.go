package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A frame is, little endian:
//
//	u32 length of what follows the checksum; 0 is the end of the data
//	u32 CRC-32C of length and body, continued from the checksum of the frame before
//	u8 kind, uvarint length of the key, key, data
//
// As each checksum continues the one before, a frame that is removed, repeated or moved is found as surely as a
// flipped bit. The first frame continues the checksum of the segment's header, so that a frame of another segment never fits.
const (
	frameHead = 8
	maxBody   = 1 + binary.MaxVarintLen16 + MaxKey + MaxState
)

// Kinds that never leave the package.
const (
	kindEnd    Kind = 0x80 // the end of a segment's head: what is before it was synced before the segment was used
	kindLedger Kind = 0x81 // Data is a JSON ledger
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errKind    = errors.New("unknown kind of frame")
	errKeySize = errors.New("key is longer than its frame")
)

// appendFrame adds a frame without its checksum, which seal fills in when the frame's place is known.
func appendFrame(buf []byte, kind Kind, key string, data []byte) []byte {
	at := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, byte(kind))
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	buf = append(buf, key...)
	buf = append(buf, data...)
	binary.LittleEndian.PutUint32(buf[at:], uint32(len(buf)-at-frameHead))
	return buf
}

// seal fills in the checksums of whole frames that come after one with the checksum chain. It returns the last one.
func seal(frames []byte, chain uint32) uint32 {
	for len(frames) > 0 {
		n := frameHead + int(binary.LittleEndian.Uint32(frames))
		chain = checksum(chain, frames[:4], frames[frameHead:n])
		binary.LittleEndian.PutUint32(frames[4:], chain)
		frames = frames[n:]
	}
	return chain
}

func checksum(chain uint32, length, body []byte) uint32 {
	return crc32.Update(crc32.Update(chain, castagnoli, length), castagnoli, body)
}

// parseBody takes a body apart. Data is a part of it.
func parseBody(body []byte) (Entry, error) {
	kind, key, data, err := splitBody(body)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Kind: kind, Key: string(key), Data: data}, nil
}

// splitBody takes a body apart. Key and data are parts of it.
func splitBody(body []byte) (kind Kind, key, data []byte, err error) {
	if len(body) == 0 {
		return 0, nil, nil, errKind
	}
	kind = Kind(body[0])
	switch kind {
	case KindRecord, KindCheckpoint, KindGap, kindEnd, kindLedger:
	default:
		return 0, nil, nil, fmt.Errorf("%w %d", errKind, kind)
	}
	size, n := binary.Uvarint(body[1:])
	rest := body[1+max(n, 0):]
	if n <= 0 || size > uint64(len(rest)) {
		return 0, nil, nil, errKeySize
	}
	return kind, rest[:size], rest[size:], nil
}

// fits says whether a key and data of at most limit bytes can be stored.
func fits(key string, data []byte, limit int) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w: a key of %d bytes, at most %d", ErrTooLarge, len(key), MaxKey)
	}
	if len(data) > limit {
		return fmt.Errorf("%w: %d bytes for %q, at most %d", ErrTooLarge, len(data), key, limit)
	}
	return nil
}
