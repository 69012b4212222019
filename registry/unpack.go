package registry

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// ErrDigest is the cause where an archive is not the one that was asked for.
var ErrDigest = errors.New("the digest is another")

var (
	errKind    = errors.New("only files and folders are unpacked, no links or devices")
	errSetuid  = errors.New("a file is not to change who runs it (setuid, setgid)")
	errRecords = errors.New("it has records that are not unpacked, such as extended attributes or holes; pack it with tar --format=ustar")
	errTrailer = errors.New("there is something after the end of the archive")
)

// Unpack checks the digest of an archive (hex; "" is none) before it unpacks it into a folder that does not exist yet: regular files and folders only,
// masked to 0755, never outside. After an error nothing is left. Nothing is synced.
func Unpack(archive io.ReaderAt, size int64, digest, into string, l Limits) error {
	if err := checkArchive(archive, size, digest, l); err != nil {
		return err
	}
	if err := os.Mkdir(into, 0o700); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	err := unpackInto(archive, size, into, l)
	if err != nil {
		return errors.Join(fmt.Errorf("unpacking: %w", err), os.RemoveAll(into))
	}
	return nil
}

// gunzips are used again: each has a window of 32 KiB, more than most bundles unpack to.
var gunzips sync.Pool

func checkArchive(archive io.ReaderAt, size int64, digest string, l Limits) error {
	if size > l.Compressed {
		return fmt.Errorf("an archive of %d bytes, %d are allowed: %w", size, l.Compressed, ErrLimit)
	}
	if digest == "" {
		return nil
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, io.NewSectionReader(archive, 0, size), copyBuffer(size))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != strings.ToLower(digest) {
		return fmt.Errorf("%w: %s was asked for, this is %s", ErrDigest, digest, got)
	}
	return nil
}

func unpackInto(archive io.ReaderAt, size int64, into string, l Limits) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	compressed := bufio.NewReader(io.NewSectionReader(archive, 0, size))
	zipped, _ := gunzips.Get().(*gzip.Reader)
	if zipped == nil {
		zipped = &gzip.Reader{}
	}
	defer gunzips.Put(zipped)
	if err := zipped.Reset(compressed); err != nil {
		return fmt.Errorf("it is no gzip: %w", err)
	}
	zipped.Multistream(false)
	plain := &bounded{from: zipped, left: l.unpacked(size), what: "its content"}
	u := &unpacker{root: root, from: tar.NewReader(plain), left: l.Entries, names: &paths{}}
	if err := u.all(); err != nil {
		return err
	}
	if err := onlyZeros(plain); err != nil {
		return err
	}
	if _, err := compressed.ReadByte(); !errors.Is(err, io.EOF) {
		return errTrailer
	}
	return root.Chmod(".", 0o755)
}

// onlyZeros reads what is behind the last entry, which also lets gzip hold the whole against its checksum.
func onlyZeros(from io.Reader) error {
	block := make([]byte, 4096)
	for {
		n, err := from.Read(block)
		for _, b := range block[:n] {
			if b != 0 {
				return errTrailer
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
