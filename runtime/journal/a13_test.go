package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestA13NewerFormatIsRefused wants a log of a newer release to be refused politely and left as it is.
func TestA13NewerFormatIsRefused(t *testing.T) {
	dir, _ := writeLog(t, 300, 50)
	files := segmentFiles(t, dir)
	spoil(t, files[0], func([]byte) []byte { return nil }) // what Open would otherwise set aside must stay, too
	spoil(t, files[len(files)-1], func(data []byte) []byte {
		binary.LittleEndian.PutUint16(data[8:], formatVersion+1)
		binary.LittleEndian.PutUint32(data[12:], crc32.Checksum(data[:12], castagnoli))
		return data[:preludeSize+1]
	})
	before := contents(t, dir)
	if _, err := openHost(dir); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("open: %v", err)
	}
	if err := ReadDir(t.Context(), dir, "", (&lines{}).add); !errors.Is(err, ErrNewer) {
		t.Errorf("read folder: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// contents are all segments' bytes, by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "seg-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = string(data)
	}
	return out
}

// TestA13FirstFormatOpens opens a log that the first format version's release wrote. testdata/v1 is never written again.
func TestA13FirstFormatOpens(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	want := lines{"!retention 3", "b=3", "a=4", "b=5", "!unwritten 1", "a=7", "b=8"}
	if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
		t.Errorf("read folder: %s", diff)
	}
	h := startHost(t, dir)
	if s := h.j.Status(); !s.Durable || len(s.Damage) != 0 || len(s.Gaps) != 2 {
		t.Errorf("status: %+v", s)
	}
	if diff := cmp.Diff(map[string]string{"a": "7", "b": "8"}, h.states()); diff != "" {
		t.Errorf("state: %s", diff)
	}
	checkGoesOn(t, dir, h, want)
}
