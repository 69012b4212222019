package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// indexed waits until every closed segment has an index.
func indexed(t testing.TB, h *host) {
	t.Helper()
	h.j.mu.Lock()
	closed := h.j.segs[:len(h.j.segs)-1]
	h.j.mu.Unlock()
	until(t.(*testing.T), "all segments are indexed", func() bool {
		for _, seg := range closed {
			file, _, _, err := openIndex(seg)
			if err != nil {
				return false
			}
			_ = file.Close()
		}
		return true
	})
}

// writeKeys makes a log of n records of some keys, in many segments with an index each, and returns what is of which key.
func writeKeys(t *testing.T, n, keys int) (dir string, want map[string]lines) {
	t.Helper()
	dir, want = t.TempDir(), map[string]lines{}
	h := startHost(t, dir, segmentBytes(20_000))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		key := fmt.Sprintf("m%d", random.IntN(keys))
		value := fmt.Sprint(i, strings.Repeat("x", random.IntN(60)))
		done := make(chan error, 1)
		h.send(key, value, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want[key] = append(want[key], key+"="+value)
	}
	indexed(t, h)
	h.close(t)
	return dir, want
}

// TestTheHistoryOfOneKeyIsTheSameByTheIndexAndWithout asks for each key by whole indexes, without them and by spoiled ones.
func TestTheHistoryOfOneKeyIsTheSameByTheIndexAndWithout(t *testing.T) {
	dir, want := writeKeys(t, 3000, 40)
	check := func(what string) {
		t.Helper()
		for key := range want {
			if diff := cmp.Diff(want[key], readDir(t, dir, key)); diff != "" {
				t.Fatalf("%s: %s: %s", what, key, diff)
			}
		}
		if got := readDir(t, dir, "nobody"); len(got) != 0 {
			t.Errorf("%s: of a key that nobody has: %v", what, got)
		}
	}
	check("whole")
	files := segmentFiles(t, dir)
	for i, path := range files[:len(files)-1] {
		spoil(t, path+indexSuffix, func(d []byte) []byte {
			switch i % 4 {
			case 0:
				return d[:len(d)/2]
			case 1:
				return nil
			default:
				d[rand.IntN(len(d))] ^= 1 << rand.IntN(8)
				return d
			}
		})
	}
	check("spoiled")
	for _, path := range files[:len(files)-1] {
		if err := os.Remove(path + indexSuffix); err != nil {
			t.Fatal(err)
		}
	}
	check("none")
	h := startHost(t, dir, segmentBytes(20_000))
	indexed(t, h)
	for key := range want {
		if diff := cmp.Diff(want[key], h.history(t, key)); diff != "" {
			t.Fatalf("made anew: %s: %s", key, diff)
		}
	}
}

// TestTheIndexIsWhatIsRead has a closed segment that only its index can tell apart: what is asked for by a key is found without reading
// the rest, and gaps are of all keys.
func TestTheIndexIsWhatIsRead(t *testing.T) {
	dir, want := writeKeys(t, 500, 10)
	first := segmentFiles(t, dir)[0]
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	line := want["m1"][0]
	at := bytes.Index(data, []byte("\x01\x02m1"+strings.TrimPrefix(line, "m1="))) + 5
	mine := func() lines { return readDir(t, dir, "m2") }
	before := mine()
	spoil(t, first, func(d []byte) []byte { d[at] ^= 1; return d })
	if diff := cmp.Diff(before, mine()); diff != "" {
		t.Errorf("another key's damage is seen: %s", diff)
	}
	got := readDir(t, dir, "m1")
	if diff := cmp.Diff(append(lines{"!damage 1"}, want["m1"][1:]...), got); diff != "" {
		t.Errorf("its own damage: %s", diff)
	}
}

// TestA02AFlippedBitInAnOlderSegmentCostsItsOwnRecordsOnly damages body, checksum and length of one frame, with an index and without.
func TestA02AFlippedBitInAnOlderSegmentCostsItsOwnRecordsOnly(t *testing.T) {
	for name, c := range map[string]struct {
		at   int // from the frame's beginning
		most int // records that it may cost
	}{"length": {0, 2}, "checksum": {5, 1}, "kind": {8, 1}, "key": {10, 1}, "data": {12, 1}} {
		for _, index := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " index ", index), func(t *testing.T) {
				dir, want := writeLog(t, 2000, 400)
				h := startHost(t, dir, segmentBytes(2000))
				indexed(t, h)
				h.close(t)
				files := segmentFiles(t, dir)
				second := files[1]
				if !index {
					for _, path := range files[:len(files)-1] {
						if err := os.Remove(path + indexSuffix); err != nil {
							t.Fatal(err)
						}
					}
				}
				spoil(t, second, func(d []byte) []byte {
					s := scan(bytes.NewReader(d), header{crc: headerOf(t, d).crc}, int64(len(d)), int64(len(d)))
					for range 12 {
						if _, err := s.next(); err != nil {
							t.Fatal(err)
						}
					}
					d[s.off+int64(c.at)] ^= 0x04
					return d
				})
				for _, key := range []string{"", "k"} {
					got := readDir(t, dir, key)
					if n := len(want) - len(got.records()); n < 1 || n > c.most || len(got.gaps()) != 1 {
						t.Errorf("key %q: %d records are lost, gaps %v", key, n, got.gaps())
					}
				}
			})
		}
	}
}

func headerOf(t *testing.T, data []byte) header {
	t.Helper()
	h, err := decodeHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestDamageInAnOlderSegmentIsTold: nothing goes on from it, so that it was found by who asked for its history only. A folder in its place was not noticed at all.
func TestDamageInAnOlderSegmentIsTold(t *testing.T) {
	for name, change := range map[string]func(path string){
		"a byte": func(path string) { spoil(t, path, func(d []byte) []byte { d[len(d)/2] ^= 1; return d }) },
		"a folder": func(path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := writeKeys(t, 1000, 10)
			older := segmentFiles(t, dir)[0]
			change(older)
			if err := os.Remove(older + indexSuffix); err != nil {
				t.Fatal(err)
			}
			h := startHost(t, dir, segmentBytes(20_000))
			until(t, "the damage is told", func() bool {
				return slices.ContainsFunc(h.j.Status().Damage, func(d Damage) bool { return d.Segment == filepath.Base(older) })
			})
			h.close(t)
		})
	}
}
