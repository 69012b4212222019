package journal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A segment that is closed has an index beside it, by which the frames of one key are found without reading the others. It is a view:
// one that is missing, damaged or of another segment is not used, and made anew. Little endian:
//
//	header of 128 bytes, as indexHeader
//	u32 offset of each bucket and of the end, from the header's end on
//	places of the gaps
//	buckets: for each key u64 hash, uvarint number of places, the places; then u32 CRC-32C of the bucket
//
// A place is the uvarint distance from the place before and u32 the checksum of the frame before it, which the frame's own continues.
const (
	indexMagic   = "SCRAFTIX"
	indexVersion = 1
	indexHead    = 128
	indexSuffix  = ".idx"
	bucketBytes  = 4 << 10 // of places, about
	placeBytes   = 7       // of one place, about
	maxBuckets   = 1 << 20
)

var errIndex = errors.New("the index cannot be used")

// place is where a frame is.
type place struct {
	hash  uint64 // of its key
	off   int64
	chain uint32 // checksum of the frame before
}

// indexPath is where the index of a segment is.
func (s segment) indexPath() string { return s.path + indexSuffix }

// hashKey is FNV-1a.
func hashKey[K string | []byte](key K) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

func bucketOf(hash uint64, buckets int) int { return int((hash >> 32) % uint64(buckets)) }

// makeIndex reads a closed segment and returns its index. The segment must be as it was closed.
func makeIndex(seg segment, open opener, ended func() bool) ([]byte, error) {
	file, size, err := openSized(seg.path, open)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var keys, gaps []place
	s := scan(file, seg.header, seg.end, size)
	var at place
	s.keep = func(kind Kind, key []byte) bool {
		switch at.hash = hashKey(key); kind {
		case KindRecord, KindCheckpoint:
			keys = append(keys, at)
		case KindGap:
			gaps = append(gaps, at)
		}
		return false
	}
	for err == nil {
		if at.off, at.chain = s.off, s.chain; len(keys)%1024 == 0 && ended() {
			return nil, ErrClosed
		}
		_, err = s.next()
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if sum := [sha256.Size]byte(s.sum.Sum(nil)); sum != seg.sum {
		return nil, s.bad("it is not what was written")
	}
	return encodeIndex(seg, keys, gaps), nil
}

func encodeIndex(seg segment, keys, gaps []place) []byte {
	le := binary.LittleEndian
	buckets := min(1+len(keys)*placeBytes/bucketBytes, maxBuckets)
	slices.SortFunc(keys, func(a, b place) int {
		return cmp.Or(cmp.Compare(bucketOf(a.hash, buckets), bucketOf(b.hash, buckets)), cmp.Compare(a.hash, b.hash), cmp.Compare(a.off, b.off))
	})
	told := appendPlaces(nil, gaps)
	var body []byte
	dir := make([]byte, 0, 4*(buckets+1))
	first := 4*(buckets+1) + len(told)
	for b := range buckets {
		began := len(body)
		dir = le.AppendUint32(dir, uint32(first+began))
		for len(keys) > 0 && bucketOf(keys[0].hash, buckets) == b {
			n := slices.IndexFunc(keys, func(p place) bool { return p.hash != keys[0].hash })
			if n < 0 {
				n = len(keys)
			}
			body = binary.AppendUvarint(le.AppendUint64(body, keys[0].hash), uint64(n))
			body = appendPlaces(body, keys[:n])
			keys = keys[n:]
		}
		body = le.AppendUint32(body, crc32.Checksum(body[began:], castagnoli))
	}
	dir = le.AppendUint32(dir, uint32(first+len(body)))
	front := append(dir, told...)
	return slices.Concat(indexHeader(seg, buckets, len(told), crc32.Checksum(front, castagnoli)), front, body)
}

// indexHeader says of which segment, with which content, the index is, and how long its parts are.
func indexHeader(seg segment, buckets, gapBytes int, front uint32) []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, indexHead), indexMagic...)
	b = le.AppendUint32(b, indexVersion)
	b = le.AppendUint32(b, uint32(buckets))
	b = le.AppendUint32(b, uint32(gapBytes))
	b = le.AppendUint32(b, front)
	b = append(b, seg.header.id[:]...)
	b = le.AppendUint64(b, seg.number)
	b = le.AppendUint64(b, uint64(seg.end))
	b = append(b, seg.sum[:]...)
	b = append(b, make([]byte, indexHead-4-len(b))...)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendPlaces(b []byte, places []place) []byte {
	var before int64
	for _, p := range places {
		b = binary.AppendUvarint(b, uint64(p.off-before))
		b = binary.LittleEndian.AppendUint32(b, p.chain)
		before = p.off
	}
	return b
}

// cutPlaces reads n places, or for a negative number all there are.
func cutPlaces(b []byte, n int) (places []place, rest []byte, err error) {
	var at int64
	for n != 0 && (n > 0 || len(b) > 0) {
		step, size := binary.Uvarint(b)
		if size <= 0 || len(b) < size+4 {
			return nil, nil, errIndex
		}
		at += int64(step)
		places = append(places, place{off: at, chain: binary.LittleEndian.Uint32(b[size:])})
		b = b[size+4:]
		n--
	}
	return places, b, nil
}

// openIndex opens the index of a segment and reads its front: where the buckets are, and the gaps.
func openIndex(seg segment) (file *os.File, front []byte, buckets int, err error) {
	if file, err = statefile.Open(seg.indexPath(), os.O_RDONLY, 0); err != nil {
		return nil, nil, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	head := make([]byte, indexHead)
	if _, err := file.ReadAt(head, 0); err != nil {
		return file, nil, 0, err
	}
	le := binary.LittleEndian
	buckets, gapBytes, sum := int(le.Uint32(head[12:])), int(le.Uint32(head[16:])), le.Uint32(head[20:])
	info, err := file.Stat()
	if err != nil {
		return file, nil, 0, err
	}
	length := 4*(buckets+1) + gapBytes
	if !bytes.Equal(head, indexHeader(seg, buckets, gapBytes, sum)) || buckets < 1 || int64(length) > info.Size() {
		return file, nil, 0, errIndex
	}
	front = make([]byte, length)
	if _, err := file.ReadAt(front, indexHead); err != nil {
		return file, nil, 0, err
	}
	if crc32.Checksum(front, castagnoli) != sum {
		return file, nil, 0, errIndex
	}
	return file, front, buckets, nil
}

// places are those of a key by the index; the error is errIndex where it cannot be used. See find.
func (s segment) places(key string) ([]place, error) {
	all, err := s.find(key)
	if err != nil && !errors.Is(err, errIndex) {
		err = fmt.Errorf("%w: %w", errIndex, err)
	}
	return all, err
}

// find reads the places of a key and of all gaps in a segment, in the order of the log. There may be some of another key with the same hash.
func (s segment) find(key string) ([]place, error) {
	file, front, buckets, err := openIndex(s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	all, _, err := cutPlaces(front[4*(buckets+1):], -1)
	if err != nil {
		return nil, err
	}
	hash := hashKey(key)
	bounds := front[4*bucketOf(hash, buckets):]
	from, to := int64(binary.LittleEndian.Uint32(bounds)), int64(binary.LittleEndian.Uint32(bounds[4:]))
	if to < from+4 || to-from > s.end {
		return nil, errIndex
	}
	bucket := make([]byte, to-from)
	if _, err := file.ReadAt(bucket, indexHead+from); err != nil {
		return nil, err
	}
	bucket, sum := bucket[:len(bucket)-4], binary.LittleEndian.Uint32(bucket[len(bucket)-4:])
	if crc32.Checksum(bucket, castagnoli) != sum {
		return nil, errIndex
	}
	for len(bucket) > 8 {
		here := binary.LittleEndian.Uint64(bucket)
		n, size := binary.Uvarint(bucket[8:])
		if size <= 0 || n > uint64(len(bucket)) {
			return nil, errIndex
		}
		var places []place
		if places, bucket, err = cutPlaces(bucket[8+size:], int(n)); err != nil {
			return nil, err
		}
		if here == hash {
			all = append(all, places...)
			slices.SortFunc(all, func(a, b place) int { return cmp.Compare(a.off, b.off) })
			break
		}
	}
	return all, nil
}

// usual is how much of a frame is read at first, in bytes.
const usual = 1 << 10

// frameAt reads the frame at a place of a segment. A *badFrame is one that is not as it was written.
func frameAt(file io.ReaderAt, p place, end int64) (Entry, error) {
	bad := func(reason string) error { return &badFrame{offset: p.off, reason: reason} }
	read := func(b []byte, off int64) error {
		switch _, err := file.ReadAt(b, off); {
		case errors.Is(err, io.EOF):
			return bad("the segment ends within a frame")
		case err != nil:
			return fmt.Errorf("read at offset %d: %w", off, err)
		}
		return nil
	}
	if p.off < headerSize || p.off+frameHead > end {
		return Entry{}, bad("there is no frame")
	}
	b := make([]byte, min(usual, end-p.off))
	if err := read(b, p.off); err != nil {
		return Entry{}, err
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length == 0 || length > min(maxBody, end-p.off-frameHead) {
		return Entry{}, bad("the frame has an impossible length")
	}
	if whole := frameHead + length; whole > int64(len(b)) {
		b = append(b, make([]byte, whole-int64(len(b)))...)
		if err := read(b[usual:], p.off+usual); err != nil {
			return Entry{}, err
		}
	}
	body := b[frameHead : frameHead+length]
	if checksum(p.chain, b[:4], body) != binary.LittleEndian.Uint32(b[4:]) {
		return Entry{}, bad("checksum does not match")
	}
	e, err := parseBody(body)
	if err != nil {
		return Entry{}, bad(err.Error())
	}
	e.Data = slices.Clip(e.Data)
	return e, nil
}

// writeIndex puts an index in its place. It need not be synced: one that is not whole is not used.
func writeIndex(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+tmpSuffix)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}
