package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers/credentials"
)

// maxHeads bounds the heads that a host keeps: those of a month, at four a day. An older one proves nothing that a newer one does not.
const maxHeads = 128

// HeadsFile is where a host keeps the signed heads of its journal, one a line, the oldest first: for the traces that are exported of it. The
// ones that count are those that others have.
func HeadsFile(stateDir string) string { return filepath.Join(stateDir, "heads") }

// headsFile is the file of a host's signed heads.
type headsFile struct {
	turn chan struct{} // of one: who has a value in it signs a head and keeps it, so that the file has them in the order of the journal
	disk statefile.Disk
}

// SignHead signs the head of the host's journal as an identity, and keeps it. It waits for others that do the same until ctx ends, and for a disk
// that does not answer no longer than statefile.Patience. Errors are credentials.ErrNoJournal and those of reading and writing.
func (h *Host) SignHead(ctx context.Context, id string, key evidence.Signer) (head credentials.JournalHead, err error) {
	if h.store == nil {
		return head, credentials.ErrNoJournal
	}
	select {
	case h.heads.turn <- struct{}{}:
		defer func() { <-h.heads.turn }()
	case <-ctx.Done():
		return head, fmt.Errorf("waiting for another head of the journal to be signed: %w", context.Cause(ctx))
	}
	s, err := evidence.Sign(ctx, h.store, id, h.cfg.Clock.Now(), key)
	if err != nil {
		return head, err
	}
	path := HeadsFile(h.cfg.StateDir)
	kept, err := h.heads.disk.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return head, fmt.Errorf("keeping the head of the journal: %w", err)
	}
	lines := bytes.Split(bytes.TrimSpace(kept), []byte("\n"))
	lines = append(lines[max(0, len(lines)-maxHeads+1):], s.Envelope)
	text := append(bytes.TrimLeft(bytes.Join(lines, []byte("\n")), "\n"), '\n')
	if err := h.heads.disk.Do("write "+path, func() error { return renameio.WriteFile(path, text, 0o600) }); err != nil {
		return head, fmt.Errorf("keeping the head of the journal: %w", err)
	}
	return credentials.JournalHead{Text: string(s.Envelope), Sum: s.Sum, Segment: s.Segment, Size: s.Size, At: s.At}, nil
}

// headLines writes what ties the trace to the heads that the host has signed.
func (x *exporter) headLines(ctx context.Context) error {
	text, err := statefile.Read(HeadsFile(x.StateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the signed heads of the journal: %w", err)
	}
	var heads []evidence.Signed
	for line := range bytes.Lines(text) {
		if s, err := evidence.Open(bytes.TrimSpace(line)); err == nil {
			heads = append(heads, s)
		}
	}
	lines, err := evidence.Prove(ctx, journalDir(x.StateDir), x.Machine, heads)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if err := x.trace.Head(l); err != nil {
			return err
		}
	}
	return nil
}
