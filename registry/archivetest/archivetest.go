// Package archivetest makes archives for tests: proper ones, and those that attack whoever unpacks them. It is for tests only.
package archivetest

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
)

// Root is the folder that everything in the archives is in, but for what attacks.
const Root = "web"

// Entry is one entry of an archive. The zero type is a file.
type Entry struct {
	Name string
	Type byte
	Mode int64 // 0 is 0644
	Link string
	Body string
	PAX  map[string]string
}

// TarGz makes an archive.
func TarGz(entries ...Entry) []byte {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Typeflag: e.Type, Mode: e.Mode, Linkname: e.Link, Size: int64(len(e.Body)), PAXRecords: e.PAX}
		if h.Mode == 0 && e.Type != tar.TypeXGlobalHeader {
			h.Mode = 0o644
		}
		must(w.WriteHeader(h))
		_, err := w.Write([]byte(e.Body))
		must(err)
	}
	must(w.Close())
	return Gzip(plain.Bytes())
}

// Gzip compresses.
func Gzip(parts ...[]byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(err)
	for _, part := range parts {
		_, err := w.Write(part)
		must(err)
	}
	must(w.Close())
	return out.Bytes()
}

// repeated is the gzip of first and n times chunk. It compresses each once, so that no test waits for gigabytes.
func repeated(first, chunk []byte, n int) []byte {
	out := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	out = append(out, deflate(first, (*flate.Writer).Flush)...)
	part := deflate(chunk, (*flate.Writer).Flush)
	sum := crc32.ChecksumIEEE(first)
	for range n {
		out = append(out, part...)
		sum = crc32.Update(sum, crc32.IEEETable, chunk)
	}
	out = append(out, deflate(nil, (*flate.Writer).Close)...)
	out = binary.LittleEndian.AppendUint32(out, sum)
	return binary.LittleEndian.AppendUint32(out, uint32(len(first)+n*len(chunk))) //nolint:gosec // modulo 2^32, as gzip has it
}

// deflate compresses on its own; what is only flushed can be followed by more.
func deflate(data []byte, end func(*flate.Writer) error) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	must(err)
	_, err = w.Write(data)
	must(err)
	must(end(w))
	return out.Bytes()
}

// Digest is the sha256 in hex.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Header is one block of a tar by hand, for what no proper writer writes.
func Header(name string, kind byte, size int) []byte {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	copy(b[148:], "        ")
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	if kind == 'S' {
		copy(b[257:], "ustar  \x00") // GNU's own
	}
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// record is a PAX header with one record.
func record(key, value string) []byte {
	text := fmt.Sprintf(" %s=%s\n", key, value)
	n := len(text)
	for len(fmt.Sprint(n))+len(text) != n {
		n = len(fmt.Sprint(n)) + len(text)
	}
	body := fmt.Sprint(n) + text
	return append(Header("PaxHeaders/x", 'x', len(body)), padded(body)...)
}

func padded(body string) []byte {
	return []byte(body + strings.Repeat("\x00", (512-len(body)%512)%512))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
