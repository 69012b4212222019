package journal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzOpen changes bytes of one segment of a log. Opening never panics, and gives what was there up to some record,
// with a note of damage when it is not all.
func FuzzOpen(f *testing.F) {
	for _, at := range []uint16{0, 3, 8, 40, 100, 127, 128, 132, 140, 150, 165, 180, 250, 400, 5000} {
		f.Add(uint8(0), at, []byte{0xff}, uint16(0))
		f.Add(uint8(1), at, []byte{0, 0, 0, 0}, uint16(0))
		f.Add(uint8(2), at, []byte{}, uint16(1))
	}
	source, want := writeLog(f, 300, 50)
	files := segmentFiles(f, source)
	f.Add(uint8(len(files)-1), uint16(382), []byte("00"), uint16(156)) // cut between two frames
	f.Fuzz(func(t *testing.T, which uint8, at uint16, change []byte, cut uint16) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(files[int(which)%len(files)])
		original, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		changed := mutate(original, int(at), change, int(cut))
		if err := os.WriteFile(filepath.Join(dir, name), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := openHost(dir)
		if err != nil {
			if !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		defer h.close(t)
		got := h.history(t, "")
		same := bytes.Equal(bytes.TrimRight(changed, "\x00"), bytes.TrimRight(original, "\x00"))
		last := name == filepath.Base(files[len(files)-1])
		shorter := last && bytes.HasPrefix(original, bytes.TrimRight(changed, "\x00"))
		checkSubset(t, want, got, same, shorter)
		records := got.records()
		if state := "k=" + h.states()["k"]; state != records[len(records)-1] {
			t.Fatalf("state %s, last record %s", state, records[len(records)-1])
		}
		h.mustPut(t, "k", "new")
	})
}

func mutate(data []byte, at int, change []byte, cut int) []byte {
	data = slices.Clone(data)
	if at > len(data) {
		data = append(data, make([]byte, at-len(data))...)
	}
	data = append(data[:at], slices.Concat(change, data[min(len(data), at+len(change)):])...)
	return data[:max(0, len(data)-cut)]
}

// checkSubset wants got to be want with holes, and a gap where there is one, except that a log which is only shorter than it
// was may look whole.
func checkSubset(t *testing.T, want, got lines, same, shorter bool) {
	t.Helper()
	records := got.records()
	rest := []string(want)
	for _, r := range records {
		i := slices.Index(rest, r)
		if i < 0 {
			t.Fatalf("%s is not in order or was never written: %v", r, got)
		}
		rest = rest[i+1:]
	}
	switch gaps := len(got.gaps()); {
	case len(records) < len(want) && gaps == 0 && !shorter:
		t.Fatalf("%d records of %d, without a gap", len(records), len(want))
	case same && gaps > 0:
		t.Fatalf("a gap in a log that is whole: %v", got)
	}
}

// FuzzFrame reads any bytes as the frames of a segment. It never panics and does not go beyond them, and what it accepts is
// what would be written.
func FuzzFrame(f *testing.F) {
	h := header{number: 1}
	h.encode()
	frame := appendFrame(nil, KindRecord, "key", []byte("data"))
	frame = appendFrame(frame, KindGap, "", []byte("{}"))
	seal(frame, h.crc)
	f.Add(frame)
	f.Add(frame[:len(frame)-1])
	f.Add(append(slices.Clone(frame), make([]byte, 100)...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 1<<16)]
		whole := append(h.encode(), data...)
		s := scan(bytes.NewReader(whole), h, -1, int64(len(whole)))
		var again []byte
		for {
			e, err := s.next()
			if err != nil {
				_, bad := errors.AsType[*badFrame](err)
				if !bad && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				break
			}
			again = appendFrame(again, e.Kind, e.Key, e.Data)
		}
		seal(again, h.crc)
		if s.off > int64(len(whole)) {
			t.Fatalf("read to %d of %d", s.off, len(whole))
		}
		if good := whole[headerSize:s.off]; len(good) == len(again) && !bytes.Equal(good, again) {
			t.Fatalf("%x was read as %x", good, again)
		}
	})
}

// FuzzBody takes any bytes as the body of a frame whose checksum fits.
func FuzzBody(f *testing.F) {
	f.Add([]byte{1, 1, 'k', 'v'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x81, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parseBody(body)
		if err == nil && len(e.Key)+len(e.Data) >= len(body) {
			t.Fatalf("%x has key %q and data %x", body, e.Key, e.Data)
		}
	})
}
