package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeLog makes a log of n records, one segment or, where size is small, several.
func writeLog(t testing.TB, size int64, n int) (dir string, want lines) {
	t.Helper()
	dir = t.TempDir()
	h := startHost(t, dir, segmentBytes(size))
	for _, value := range numbers(0, n) {
		h.mustPut(t, "k", value)
		want = append(want, "k="+value)
	}
	h.close(t)
	return dir, want
}

// segmentFiles are the paths of a log's segments, oldest first.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "seg-*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	return files
}

// spoil changes a file's bytes.
func spoil(t testing.TB, path string, f func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at func(data []byte) int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[at(data)] ^= 0x10
		return data
	}
}

// frameOf is the offset of the frame of the record k=value.
func frameOf(data []byte, value string) int {
	return bytes.Index(data, []byte("\x01\x01k"+value)) - frameHead
}

// cutFrame removes the frame of k=value.
func cutFrame(value string) func([]byte) []byte {
	return func(data []byte) []byte {
		at := frameOf(data, value)
		return slices.Delete(data, at, at+frameHead+4)
	}
}

// TestA02DamagedTail damages the only segment behind its head: the good prefix stays, and what happened is visible.
func TestA02DamagedTail(t *testing.T) {
	record := func(value string, plus int) func([]byte) int {
		return func(data []byte) int { return frameOf(data, value) + plus }
	}
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		left   int
		reason string
	}{
		"torn last record":      {func(d []byte) []byte { return d[:len(d)-1] }, 9, "ends within"},
		"torn head of a frame":  {func(d []byte) []byte { return d[:frameOf(d, "9")+3] }, 9, "behind the end"},
		"flipped bit of data":   {flip(record("7", frameHead+3)), 7, "checksum"},
		"flipped bit of a key":  {flip(record("7", frameHead+2)), 7, "checksum"},
		"flipped kind":          {flip(record("7", frameHead)), 7, "checksum"},
		"flipped checksum":      {flip(record("7", 5)), 7, "checksum"},
		"length a little wrong": {flip(record("7", 0)), 7, "checksum"},
		"length beyond the end": {flip(record("7", 1)), 7, "ends within"},
		"length impossible":     {flip(record("7", 3)), 7, "impossible"},
		"removed record":        {cutFrame("4"), 4, "checksum"},
		"repeated record": {func(d []byte) []byte {
			at := frameOf(d, "4")
			return slices.Insert(d, at, d[at:at+frameHead+4]...)
		}, 5, "checksum"},
		"swapped records": {func(d []byte) []byte {
			at, n := frameOf(d, "4"), frameHead+4
			return slices.Concat(d[:at], d[at+n:at+2*n], d[at:at+n], d[at+2*n:])
		}, 4, "checksum"},
		"hole":           {func(d []byte) []byte { clear(d[frameOf(d, "3"):frameOf(d, "5")]); return d }, 3, "behind the end"},
		"garbage behind": {func(d []byte) []byte { return append(append(d, make([]byte, 5000)...), "rubbish"...) }, 10, "behind the end"},
		"much garbage":   {func(d []byte) []byte { return append(d, bytes.Repeat([]byte("rubbish"), minStep)...) }, 10, "impossible"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := writeLog(t, 16<<20, 10)
			path := segmentFiles(t, dir)[0]
			spoil(t, path, c.damage)
			spoiled, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(slices.Clone(want[:c.left]), "!damage -1"), readDir(t, dir, "")); diff != "" {
				t.Errorf("read folder: %s", diff)
			}
			h := startHost(t, dir)
			if got := h.states()["k"]; got != want[c.left-1][2:] {
				t.Errorf("state %q", got)
			}
			if now, err := os.ReadFile(path); err != nil || len(bytes.Trim(now[h.j.Status().Synced:], "\x00")) != 0 {
				t.Errorf("there still is something behind the data: %v", err)
			}
			damage := h.j.Status().Damage
			if len(damage) != 1 || !strings.Contains(damage[0].Reason, c.reason) || damage[0].Segment != filepath.Base(path) {
				t.Fatalf("damage: %+v, want %q", damage, c.reason)
			}
			aside, err := os.ReadFile(path + asideSuffix)
			rest := spoiled[damage[0].Offset:]
			if err != nil || !bytes.Equal(aside, rest[:len(aside)]) || len(bytes.Trim(rest[len(aside):], "\x00")) != 0 || damage[0].Lost != int64(len(aside)) {
				t.Errorf("set aside %d bytes of %d: %+v, %v", len(aside), len(rest), damage, err)
			}
			checkGoesOn(t, dir, h, append(slices.Clone(want[:c.left]), "!damage -1"))
		})
	}
}

// checkGoesOn appends to a log and wants its history to be before and the new record, with no new damage when it is opened again.
func checkGoesOn(t *testing.T, dir string, h *host, before lines) {
	t.Helper()
	h.mustPut(t, "k", "new")
	want := append(slices.Clone(before), "k=new")
	if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
		t.Errorf("history: %s", diff)
	}
	gaps := len(h.j.Status().Gaps)
	if gaps == 0 {
		t.Error("status has no gap")
	}
	h.close(t)
	again := startHost(t, dir)
	if s := again.j.Status(); len(s.Damage) != 0 || len(s.Gaps) != gaps || again.states()["k"] != "new" {
		t.Errorf("opened again: %+v, %v", s, again.states())
	}
	if diff := cmp.Diff(want, again.history(t, "")); diff != "" {
		t.Errorf("history, opened again: %s", diff)
	}
	again.close(t)
	if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
		t.Errorf("read folder: %s", diff)
	}
}

// TestA02DamagedHead damages the head of the newest of several segments: the one before it is used.
func TestA02DamagedHead(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"zero length":            func([]byte) []byte { return nil },
		"short header":           func(d []byte) []byte { return d[:50] },
		"zeros":                  func(d []byte) []byte { clear(d); return d },
		"other file":             func([]byte) []byte { return bytes.Repeat([]byte("text "), 100) },
		"flipped magic":          flip(func([]byte) int { return 3 }),
		"flipped version":        flip(func([]byte) int { return 8 }),
		"flipped header":         flip(func([]byte) int { return 60 }),
		"flipped checksum":       flip(func([]byte) int { return headerSize - 1 }),
		"flipped checkpoint":     flip(func(d []byte) int { return bytes.Index(d, []byte("\x02\x01k")) }),
		"checkpoint cut":         func(d []byte) []byte { return d[:headEnd(t, d)-frameHead-2-5] },
		"checkpoint without end": func(d []byte) []byte { return d[:headEnd(t, d)-frameHead-2] },
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := writeLog(t, 300, 50)
			files := segmentFiles(t, dir)
			newest := files[len(files)-1]
			left := recordsWithout(t, dir, newest)
			if len(left) == len(want) || len(left) == 0 {
				t.Fatalf("the newest segment holds %d of %d records", len(want)-len(left), len(want))
			}
			spoil(t, newest, damage)
			before := append(slices.Clone(left), "!damage -1")
			if diff := cmp.Diff(before, readDir(t, dir, "")); diff != "" {
				t.Errorf("read folder: %s", diff)
			}
			h := startHost(t, dir)
			s := h.j.Status()
			if len(s.Damage) != 1 || s.Damage[0].Segment != filepath.Base(newest) || !s.Durable {
				t.Errorf("status: %+v", s)
			}
			if _, err := os.Stat(newest + asideSuffix); err != nil {
				t.Error(err)
			}
			if got := "k=" + h.states()["k"]; got != left[len(left)-1] {
				t.Errorf("state %s, want %s", got, left[len(left)-1])
			}
			checkGoesOn(t, dir, h, before)
		})
	}
}

// headEnd is the offset behind a segment's head.
func headEnd(t *testing.T, data []byte) int64 {
	t.Helper()
	h, err := decodeHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	for s := scan(bytes.NewReader(data), h, -1, int64(len(data))); ; {
		e, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == kindEnd {
			return s.off
		}
	}
}

// recordsWithout are the records of a log but for one segment's.
func recordsWithout(t *testing.T, dir, path string) lines {
	t.Helper()
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	left := readDir(t, dir, "").records() // the log's mark knows that one is missing
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	return left
}

func TestA02NothingUsable(t *testing.T) {
	for _, size := range []int64{300, 16 << 20} {
		dir, _ := writeLog(t, size, 50)
		files := segmentFiles(t, dir)
		for _, path := range files {
			spoil(t, path, func([]byte) []byte { return nil })
		}
		if diff := cmp.Diff(lines{"!damage -1"}, readDir(t, dir, "")); diff != "" {
			t.Errorf("read folder: %s", diff)
		}
		h := startHost(t, dir)
		if s := h.j.Status(); len(s.Damage) != len(files) || len(h.states()) != 0 {
			t.Errorf("status %+v, state %v", s, h.states())
		}
		checkGoesOn(t, dir, h, lines{"!damage -1"})
	}
}

// TestA02DamagedHistory damages an older segment: the present state is whole, history has a gap there.
func TestA02DamagedHistory(t *testing.T) {
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		gap    string
	}{
		"record":  {flip(func(d []byte) int { return len(d) - 1 }), "!damage 1"},
		"header":  {flip(func([]byte) int { return 40 }), "!damage N"},
		"cut":     {func(d []byte) []byte { return d[:len(d)-1] }, "!damage 1"},
		"removed": {nil, "!damage -1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := writeLog(t, 300, 50)
			second := segmentFiles(t, dir)[1]
			if c.damage == nil {
				if err := os.Remove(second); err != nil {
					t.Fatal(err)
				}
			} else {
				spoil(t, second, c.damage)
			}
			h := startHost(t, dir)
			if got := h.states()["k"]; got != "49" {
				t.Errorf("state %q, status %+v", got, h.j.Status())
			}
			got := h.history(t, "")
			gaps := got.gaps()
			if len(gaps) != 1 || gaps[0] != c.gap && !strings.HasSuffix(c.gap, "N") {
				t.Errorf("gaps: %v, want %s", gaps, c.gap)
			}
			if n := len(got.records()); n >= len(want) || n < 2 || got[0] != "k=0" || got[len(got)-1] != "k=49" {
				t.Errorf("history: %v", got)
			}
			h.close(t)
			if diff := cmp.Diff(got, readDir(t, dir, "")); diff != "" {
				t.Errorf("read folder: %s", diff)
			}
		})
	}
}

// TestA02RewrittenHistory replaces an older segment's record and mends every checksum of that segment: the next one's
// header still knows better.
func TestA02RewrittenHistory(t *testing.T) {
	dir, _ := writeLog(t, 300, 50)
	spoil(t, segmentFiles(t, dir)[0], func(data []byte) []byte {
		data[frameOf(data, "0")+frameHead+3] = '7'
		h, err := decodeHeader(data)
		if err != nil {
			t.Fatal(err)
		}
		seal(data[headerSize:], h.crc)
		return data
	})
	got := readDir(t, dir, "")
	if got[0] != "k=7" || len(got.gaps()) != 1 {
		t.Errorf("history: %v", got)
	}
}

func TestA02DamageIsKeptMoreThanOnce(t *testing.T) {
	dir, _ := writeLog(t, 16<<20, 10)
	path := segmentFiles(t, dir)[0]
	for range maxAsideFiles + 2 {
		spoil(t, path, func(d []byte) []byte { return append(d, "rubbish"...) })
		startHost(t, dir).close(t)
	}
	files, err := filepath.Glob(path + asideSuffix + "*")
	if err != nil || len(files) != maxAsideFiles {
		t.Errorf("%v, %v", files, err)
	}
}
