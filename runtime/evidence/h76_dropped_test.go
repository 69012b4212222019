package evidence_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/evidence"
)

// H76: a journal that was rewritten, and given the number of a later segment as if what the heads are of had been dropped, and that its host goes on
// with: no head that was told before the rewriting vouches for it, and where its own times are older than those heads, that is said.
func TestH76AJournalRewrittenAsIfTheRestWereDropped(t *testing.T) {
	s, heads := told(t)
	s.stop()
	for _, tt := range []struct {
		name    string
		created time.Time
		want    string
	}{
		{"its times left as they were", time.Now().Add(-time.Minute), "unproven unproven unproven holds"},
		{"its times moved behind the heads", time.Now().Add(time.Second), "too_old too_old too_old holds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := copied(t, s.dir)
			forge(t, dir, "Alice", "Mallo", 0)
			renumber(t, dir, 9, tt.created)
			back := newSite(t, dir)
			back.key = s.key
			after := back.head()
			back.stop()
			if got, why := standings(t, dir, append(heads[:3:3], after)); got != tt.want {
				t.Errorf("it %s, not %s\n%s", got, tt.want, why)
			}
		})
	}
}

// H76: a trace that says that it begins after the heads is not held to be as it was at them, nor is one that says that it was exported before.
func TestH76ATraceWithItsTimesMoved(t *testing.T) {
	s, heads := told(t)
	good := s.trace()
	s.stop()
	at := func(text []byte, field string, year int) []byte {
		var out [][]byte
		for line := range bytes.Lines(text) {
			if at := bytes.Index(line, []byte(`"`+field+`":"`)); at >= 0 && !bytes.HasPrefix(line, []byte(`{"head"`)) {
				at += len(field) + 4
				line = append(fmt.Appendf(bytes.Clone(line[:at]), "%d", year), line[at+4:]...)
			}
			out = append(out, line)
		}
		return bytes.Join(out, nil)
	}
	var bare []byte
	for line := range bytes.Lines(good) {
		if !bytes.HasPrefix(line, []byte(`{"head"`)) {
			bare = append(bare, line...)
		}
	}
	for name, trace := range map[string][]byte{
		"too_old": at(at(bare, "at", 2999), "exported", 3000),
		"too_new": at(bare, "exported", 2000),
	} {
		c, err := evidence.CheckTrace("front.trace", bytes.NewReader(trace), heads)
		must(t, err)
		var got []string
		for _, h := range c.Heads {
			got = append(got, string(h.Standing))
		}
		if text := strings.Join(got, " "); text != strings.Join([]string{name, name, name}, " ") {
			t.Errorf("it is %s, not %s", text, name)
		}
	}
}
