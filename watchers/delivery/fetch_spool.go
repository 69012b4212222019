package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// spoolMemory is how much of a download is kept in memory; a larger one goes to a file.
const spoolMemory = 1 << 20

// spool holds a download. Safe for concurrent use.
type spool struct {
	temporary func() (*os.File, error)

	mu     sync.Mutex
	memory []byte
	file   *os.File // in place of memory
	end    int64
}

func newSpool(temporary func() (*os.File, error)) *spool { return &spool{temporary: temporary} }

// WriteAt implements io.WriterAt.
func (s *spool) WriteAt(p []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := at + int64(len(p))
	if s.file == nil && end > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	s.end = max(s.end, end)
	if s.file != nil {
		return s.file.WriteAt(p, at)
	}
	if grow := end - int64(len(s.memory)); grow > 0 {
		s.memory = append(s.memory, make([]byte, grow)...)
	}
	return copy(s.memory[at:], p), nil
}

func (s *spool) spill() error {
	file, err := s.temporary()
	if err != nil {
		return fmt.Errorf("keeping the download: %w", err)
	}
	s.file = file
	_, err = file.WriteAt(s.memory, 0)
	s.memory = nil
	return err
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		return s.file.ReadAt(p, at)
	}
	if at >= int64(len(s.memory)) {
		return 0, io.EOF
	}
	n := copy(p, s.memory[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// close drops the download; its file has no name.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

// looksLike tells a person what came in place of an archive.
func (s *spool) looksLike() string {
	head := make([]byte, 512)
	n, err := s.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "it cannot be read: " + err.Error()
	}
	kind, _, _ := strings.Cut(http.DetectContentType(head[:n]), ";")
	switch {
	case n == 0:
		return "it is empty"
	case kind == "application/x-gzip":
		return "it is a gzip archive: compare the checksum with the one of the archive that is served"
	case strings.HasPrefix(kind, "text/"):
		return "it looks like " + kind + ", as an error page does: open the source with a browser"
	default:
		return "it looks like " + kind
	}
}

// lastingAt reads as long as its context lasts.
type lastingAt struct {
	ctx  context.Context
	from io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (l *lastingAt) ReadAt(p []byte, at int64) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.from.ReadAt(p, at)
}
