package journal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestA02ALogThatIsGoneInWholeOrInPartIsSaid takes away what no checksum misses: it is damage, once, and a gap for good.
func TestA02ALogThatIsGoneInWholeOrInPartIsSaid(t *testing.T) {
	remove := func(t *testing.T, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		size  int64
		spoil func(t *testing.T, dir string)
		says  string
		empty bool // nothing is left
	}{
		"newest segment":      {300, func(t *testing.T, dir string) { f := segmentFiles(t, dir); remove(t, f[len(f)-1]) }, "it is gone", false},
		"newest two segments": {300, func(t *testing.T, dir string) { f := segmentFiles(t, dir); remove(t, f[len(f)-2:]...) }, "it is gone", false},
		"all segments":        {300, func(t *testing.T, dir string) { remove(t, segmentFiles(t, dir)...) }, "the whole log is gone", true},
		"the folder":          {300, func(t *testing.T, dir string) { remove(t, dir) }, "the whole log is gone", true},
		"the end, cut between two records": {16 << 20, func(t *testing.T, dir string) {
			path := segmentFiles(t, dir)[0]
			spoil(t, path, func(d []byte) []byte { return d[:lastFrame(t, d)] })
		}, "the segment ends here", false},
		"another log": {300, func(t *testing.T, dir string) {
			other, _ := writeLog(t, 16<<20, 3)
			remove(t, dir)
			if err := os.Rename(other, dir); err != nil {
				t.Fatal(err)
			}
		}, "another log", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := writeLog(t, c.size, 50)
			c.spoil(t, dir)
			before := lines{}
			if !c.empty {
				before = readDir(t, dir, "").records()
				if gaps := readDir(t, dir, "").gaps(); len(gaps) == 0 || gaps[len(gaps)-1] != "!damage -1" {
					t.Errorf("reading the folder does not tell of it: %v", gaps)
				}
			}
			h := startHost(t, dir)
			s := h.j.Status()
			if len(s.Damage) != 1 || !strings.Contains(s.Damage[0].Reason, c.says) || s.Damage[0].Segment == "" {
				t.Errorf("damage: %+v", s.Damage)
			}
			checkGoesOn(t, dir, h, append(before, "!damage -1"))
		})
	}
}

// lastFrame is where the last frame of a segment begins.
func lastFrame(t *testing.T, data []byte) (at int64) {
	t.Helper()
	h, err := decodeHeader(data)
	if err != nil {
		t.Fatal(err)
	}
	s := scan(strings.NewReader(string(data)), h, -1, int64(len(data)))
	for {
		before := s.off
		if _, err := s.next(); err != nil {
			return at
		}
		at = before
	}
}

// TestA02NothingIsSaidOfALogThatIsWhole opens logs whose mark is older than they are, is gone, or says nothing.
func TestA02NothingIsSaidOfALogThatIsWhole(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string) error{
		"as it is":     func(*testing.T, string) error { return nil },
		"no mark":      func(_ *testing.T, dir string) error { return os.Remove(MarkFile(dir)) },
		"spoiled mark": func(_ *testing.T, dir string) error { return os.WriteFile(MarkFile(dir), []byte("{"), 0o600) },
		"newer mark": func(_ *testing.T, dir string) error {
			return os.WriteFile(MarkFile(dir), []byte(`{"format":2,"segment":900}`), 0o600)
		},
		"older mark": func(t *testing.T, dir string) error {
			old, err := os.ReadFile(MarkFile(dir))
			if err != nil {
				return err
			}
			h := startHost(t, dir, segmentBytes(300))
			h.mustPut(t, "k", numbers(0, 50)...)
			h.close(t)
			return os.WriteFile(MarkFile(dir), old, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := writeLog(t, 300, 50)
			if err := change(t, dir); err != nil {
				t.Fatal(err)
			}
			want := readDir(t, dir, "")
			for range 2 {
				h := startHost(t, dir)
				if s := h.j.Status(); len(s.Damage)+len(s.Gaps) != 0 {
					t.Errorf("said: %+v", s)
				}
				h.close(t)
			}
			if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestA02ALogThatIsExpectedIsSaidToBeGone has no mark, as a log of an older release, and something else that tells.
func TestA02ALogThatIsExpectedIsSaidToBeGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	expected := func(o *Options) { o.Expected = true }
	h := startHost(t, dir, expected)
	if s := h.j.Status(); len(s.Damage) != 1 || !strings.Contains(s.Damage[0].Reason, "the whole log is gone") {
		t.Errorf("damage: %+v", s.Damage)
	}
	h.close(t)
	h = startHost(t, dir, expected)
	if s := h.j.Status(); len(s.Damage) != 0 {
		t.Errorf("said of a log that is there: %+v", s.Damage)
	}
}
