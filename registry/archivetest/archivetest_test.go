package archivetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"testing"
)

// TestRepeated holds that what is put together by hand is a gzip, checksum and length included.
func TestRepeated(t *testing.T) {
	first, chunk := []byte("first"), []byte("chunk chunk chunk")
	zipped, err := gzip.NewReader(bytes.NewReader(repeated(first, chunk, 3)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zipped)
	if want := slices.Concat(first, chunk, chunk, chunk); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// TestTiny reads files past a carry of every digit that changes.
func TestTiny(t *testing.T) {
	r, names := tar.NewReader(bytes.NewReader(tiny(1101))), map[string]bool{}
	for range 1101 {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("after %d: %v", len(names), err)
		}
		names[h.Name] = true
	}
	if len(names) != 1101 || !names[Root+"/0001100"] {
		t.Errorf("%d names", len(names))
	}
}
