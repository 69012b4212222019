package evidence_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/journal"
)

// open opens a journal that keeps two small segments.
func open(t *testing.T, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Options{
		Dir: dir, Now: time.Now, SegmentBytes: 16 << 10, KeepBytes: 40 << 10,
		Checkpoint: func(put func(string, []byte) error) error { return put("a", []byte("{}")) },
	}, func(journal.Entry) error { return nil })
	must(t, err)
	return j
}

func add(t *testing.T, j *journal.Journal, data []byte) {
	t.Helper()
	done := make(chan error, 1)
	j.Append("a", data, func(err error) { done <- err })
	must(t, <-done)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
