package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// told is a host whose journal was told three times: by Alice before the first, by Bruno before the second, by Clara before the third, and by Donna
// since.
func told(t *testing.T) (s *site, heads []evidence.Signed) {
	s = newSite(t, "")
	for _, who := range []string{"Alice", "Bruno", "Clara"} {
		s.by(who)
		heads = append(heads, s.head())
	}
	s.by("Donna")
	return s, heads
}

// standings are those of the journal in a folder to heads, with what is wrong by its own checksums.
func standings(t *testing.T, dir string, heads []evidence.Signed) (text, why string) {
	t.Helper()
	c, err := evidence.CheckJournal(t.Context(), dir+"/journal", heads)
	must(t, err)
	var all, reasons []string
	for _, h := range c.Heads {
		all, reasons = append(all, string(h.Standing)), append(reasons, h.Reason)
	}
	if len(c.Wrong) > 0 {
		all = append(all, "wrong")
	}
	return strings.Join(all, " "), strings.Join(append(reasons, c.Wrong...), "\n")
}

// H76: a journal rewritten together with its chain is found by whoever has a later head.
func TestH76AJournalRewrittenTogetherWithItsChain(t *testing.T) {
	s, heads := told(t)
	if got, why := standings(t, s.dir, heads); got != "holds holds holds" {
		t.Fatalf("while the host runs: %s\n%s", got, why)
	}
	s.stop()
	for _, tt := range []struct {
		name       string
		change     func(t *testing.T, dir string)
		want, says string
		unnoticed  bool // by all that a host has itself
	}{
		{"nothing", func(*testing.T, string) {}, "holds holds holds", "", true},
		{"before the first head", func(t *testing.T, dir string) { forge(t, dir, "Alice", "Mallo", 0) }, "departs departs departs", "was rewritten", true},
		{"between two heads", func(t *testing.T, dir string) { forge(t, dir, "Clara", "Mallo", heads[1].Size) }, "holds holds departs", "was rewritten", true},
		{"after the last head", func(t *testing.T, dir string) { forge(t, dir, "Donna", "Mallo", heads[2].Size) }, "holds holds holds", "", true},
		{"the tail is cut off", func(t *testing.T, dir string) { cut(t, dir, heads[1].Size) }, "holds holds departs", "cut at its end", true},
		{"the last record is edited", func(t *testing.T, dir string) {
			path := segments(t, dir)[0]
			b, err := os.ReadFile(path)
			must(t, err)
			at := bytes.LastIndex(b, []byte("Donna"))
			copy(b[at:], "Mallo")
			must(t, os.WriteFile(path, b, 0o600))
		}, "holds holds holds wrong", "checksum does not match", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := copied(t, s.dir)
			tt.change(t, dir)
			if got, _ := standings(t, dir, nil); (got == "") != tt.unnoticed {
				t.Errorf("by its own checksums: %q", got)
			}
			if tt.unnoticed {
				_, err := runtime.ReadSnapshots(t.Context(), dir)
				must(t, err)
				must(t, runtime.ReadHistory(t.Context(), dir, "", func(e runtime.HistoryEntry) error {
					if e.Gap != nil {
						t.Errorf("its own host finds a gap: %+v", e.Gap)
					}
					return nil
				}))
			}
			if got, why := standings(t, dir, heads); got != tt.want || !strings.Contains(why, tt.says) {
				t.Errorf("it %s, not %s\n%s", got, tt.want, why)
			}
		})
	}
}

// H76: an older copy that was put back, and the journal of another host, are found.
func TestH76AnOlderCopyAndAnotherHostsJournal(t *testing.T) {
	s := newSite(t, "")
	s.by("Alice")
	heads := []evidence.Signed{s.head()}
	s.stop()
	older := copied(t, s.dir)
	s = newSite(t, s.dir)
	s.by("Bruno")
	heads = append(heads, s.head())
	s.stop()
	if got, why := standings(t, older, heads); got != "holds departs" || !strings.Contains(why, "an older copy") {
		t.Errorf("an older copy %s\n%s", got, why)
	}
	// Its host goes on from there, and signs what it has: the head that others have is not among it.
	back := newSite(t, older)
	back.by("Mallo")
	heads = append(heads, back.head())
	back.stop()
	if got, why := standings(t, older, heads); got != "holds departs holds" {
		t.Errorf("an older copy that was gone on from %s\n%s", got, why)
	}
	other, _ := told(t)
	other.stop()
	if got, why := standings(t, other.dir, heads[:1]); got != "departs" || !strings.Contains(why, "another one") {
		t.Errorf("another host's journal %s\n%s", got, why)
	}
}

// H76: heads go through segments, and what retention dropped is too old, not wrong.
func TestH76SegmentsAndRetention(t *testing.T) {
	dir := t.TempDir() + "/journal"
	j := open(t, dir)
	var heads []journal.Head
	for range 6 {
		for range 40 {
			add(t, j, bytes.Repeat([]byte("x"), 500))
		}
		h, err := j.Head(t.Context(), func(journal.Entry) error { return nil })
		must(t, err)
		heads = append(heads, h)
	}
	must(t, j.Close())
	c, err := journal.Check(t.Context(), dir, heads)
	must(t, err)
	var got []string
	for _, h := range c.Heads {
		got = append(got, string(h.Standing))
	}
	text := strings.Join(got, " ")
	if !strings.HasPrefix(text, "too_old ") || !strings.HasSuffix(text, " holds holds") || strings.Contains(text, "departs") || len(c.Wrong) > 0 {
		t.Errorf("%s %v; segments %d to %d", text, c.Wrong, c.First, c.Last)
	}
}

// dropsMeanwhile is a context that has a log drop its oldest segment when it is asked for the first time.
type dropsMeanwhile struct {
	context.Context
	drop func()
}

// Err implements context.Context.
func (c *dropsMeanwhile) Err() error {
	c.drop()
	return c.Context.Err()
}

// H76: the journal of a host that runs is checked while it drops what is old.
func TestH76RetentionWhileAJournalIsChecked(t *testing.T) {
	dir := t.TempDir() + "/journal"
	j := open(t, dir)
	var heads []journal.Head
	more := func() {
		for range 40 {
			add(t, j, bytes.Repeat([]byte("x"), 500))
		}
	}
	for range 4 {
		more()
		h, err := j.Head(t.Context(), func(journal.Entry) error { return nil })
		must(t, err)
		heads = append(heads, h)
	}
	drop := sync.OnceFunc(func() {
		kept, err := filepath.Glob(dir + "/seg-*.log")
		must(t, err)
		for slices.Sort(kept); exists(kept[0]); {
			more()
		}
	})
	c, err := journal.Check(&dropsMeanwhile{t.Context(), drop}, dir, heads)
	must(t, err)
	if n := len(c.Heads); len(c.Wrong) > 0 || n != 4 || c.Heads[0].Standing != journal.TooOld || c.Heads[n-1].Standing != journal.Holds {
		t.Errorf("%+v", c)
	}
	must(t, j.Close())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// slowKey signs when it may.
type slowKey struct {
	*identity.Key
	begun, may chan struct{}
}

// Sign implements evidence.Signer.
func (k slowKey) Sign(message []byte) []byte {
	close(k.begun)
	<-k.may
	return k.Key.Sign(message)
}

// H76: heads are kept in the order of the journal, and who waits for another's waits no longer than its context says.
func TestH76HeadsAreKeptOneAfterAnother(t *testing.T) {
	s := newSite(t, "")
	s.by("Alice")
	slow, signed := slowKey{s.key, make(chan struct{}), make(chan struct{})}, make(chan error, 1)
	go func() {
		_, err := s.host.SignHead(t.Context(), "n1.example", slow)
		signed <- err
	}()
	<-slow.begun
	s.by("Bruno")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.host.SignHead(ctx, "n1.example", s.key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another: %v", err)
	}
	close(slow.may)
	must(t, <-signed)
	s.head()
	text, err := os.ReadFile(runtime.HeadsFile(s.dir))
	must(t, err)
	var sizes []int64
	for line := range bytes.Lines(text) {
		h, err := evidence.Open(bytes.TrimSpace(line))
		must(t, err)
		sizes = append(sizes, h.Size)
	}
	if len(sizes) != 2 || !slices.IsSorted(sizes) {
		t.Errorf("heads of %v bytes are kept", sizes)
	}
}

// H76: a trace is held against heads that others have.
func TestH76ATraceRewrittenOrCut(t *testing.T) {
	s, heads := told(t)
	last := s.head()
	good := s.trace()
	s.stop()
	forged := copied(t, s.dir)
	forge(t, forged, "Bruno", "Mallo", 0)
	lines := bytes.SplitAfter(good, []byte("\n"))
	isHead := func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"head"`)) }
	only := func(lines [][]byte, keep func([]byte) bool) (out []byte) {
		for _, l := range lines {
			if keep(l) {
				out = append(out, l...)
			}
		}
		return out
	}
	rewritten := traceOf(t, forged)
	notHead := func(l []byte) bool { return !isHead(l) }
	records := func(text []byte, but int) []byte { // without the last ones
		l := bytes.SplitAfter(only(bytes.SplitAfter(text, []byte("\n")), notHead), []byte("\n"))
		return bytes.Join(l[:len(l)-1-but], nil)
	}
	proofs := only(lines, isHead)
	of := bytes.SplitAfter(records(good, 0), []byte("\n")) // the header, then record after record
	// around is the trace with what is given in the place of a record, and a gap behind it up to another, whose digest is the true one.
	around := func(instead []byte, record, missing int) []byte {
		snapshot := fmt.Sprintf(`{"snapshot":{"state":"open","seq":%d,"epoch":1,"entered":"2026-01-01T00:00:00Z","digest":"","head":"%s"}}`+"\n",
			missing, hash(bytes.TrimSpace(of[missing])))
		gap := `{"gap":{"reason":"retention","first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","records":1}}` + "\n"
		return slices.Concat(bytes.Join(of[:record], nil), instead, []byte(gap+snapshot), bytes.Join(of[missing+1:], nil), proofs)
	}
	for _, tt := range []traceCase{
		{"as it was exported", "holds holds holds", "", good, true, nil},
		{"rewritten with its chain", "holds unproven unproven", "hold the journal itself", rewritten, true, nil},
		{"rewritten, with the lines of the true one", "holds departs departs", "is not the one that was there", append(records(rewritten, 0), proofs...), true, nil},
		{"cut at its end", "holds holds departs", "cut at its end", append(records(good, 2), proofs...), true, nil},
		{"the last record edited", "holds holds holds", "", bytes.ReplaceAll(good, []byte("Donna"), []byte("Mallo")), true, nil},
		{"its last record edited, which a head is of", "holds holds departs", "is not the one that was there",
			append(bytes.ReplaceAll(records(good, 1), []byte("Clara"), []byte("Mallo")), proofs...), true, nil},
		{"a record edited", "holds departs holds@4 3-3 wrong", "does not continue the chain", bytes.ReplaceAll(good, []byte("Bruno"), []byte("Mallo")), false, nil},
		{"without the lines", "unproven unproven unproven 1-5", "taken out", only(lines, notHead), true, nil},
		{"a record forged, and a gap with the digest of the true one behind it", "holds departs holds@4 3-3 wrong", "the snapshot is not of the record before it",
			around(bytes.ReplaceAll(of[3], []byte("Bruno"), []byte("Mallo")), 3, 3), false, nil},
		{"a record forged, and one less behind it", "too_old holds@3 holds@3 1-1", "",
			around(bytes.Replace(of[1], []byte(`"to":"shut"`), []byte(`"to":"open"`), 1), 1, 2), true, nil},
		{"records forged between the last head before a gap and the gap", "holds holds@5 3-3", "",
			around(bytes.Replace(of[3], []byte("Bruno"), []byte("Mallo"), 1), 3, 4), true, []evidence.Signed{heads[0], last}},
		{"another machine's, by its header", "holds holds holds wrong", `of the machine "front", not of "back"`,
			bytes.Replace(good, []byte(`"machine":"front"`), []byte(`"machine":"back"`), 1), false, nil},
		{"records of another machine behind a gap", "holds@2 holds@2 holds@2 1-1 wrong", `of the machine "back", not of "front"`,
			around(bytes.ReplaceAll(of[1], []byte(`"machine":"front"`), []byte(`"machine":"back"`)), 1, 1), false, nil},
		{"another host's, by its header", "holds holds holds wrong", "of the host n2.example, and the head of",
			bytes.Replace(good, []byte(`"exported"`), []byte(`"host":"n2.example","exported"`), 1), false, nil},
		{"the lines made anew for other records", "holds departs departs", "not what the head was made of", append(records(rewritten, 0), remade(t, proofs, rewritten)...), true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.check(t, heads) })
	}
}

// traceCase is a trace, and what it is to heads.
type traceCase struct {
	name string
	// want is a word a head, with the first record that it vouches for where that is not 1, then the records that none vouches for, and "wrong".
	want, says string
	trace      []byte
	unnoticed  bool              // by its own chain
	heads      []evidence.Signed // nil are those given to check
}

func (tt traceCase) check(t *testing.T, heads []evidence.Signed) {
	t.Helper()
	if tt.heads != nil {
		heads = tt.heads
	}
	c, err := evidence.CheckTrace("front.trace", bytes.NewReader(tt.trace), heads)
	must(t, err)
	if (len(c.Wrong) == 0) != tt.unnoticed {
		t.Errorf("by its own chain: %q", c.Wrong)
	}
	var got, why []string
	for _, h := range c.Heads {
		text := string(h.Standing)
		if h.From > 1 {
			text += fmt.Sprintf("@%d", h.From)
		}
		got, why = append(got, text), append(why, h.Reason)
	}
	for _, r := range c.Unproven {
		got = append(got, fmt.Sprintf("%d-%d", r.First, r.Last))
	}
	if len(c.Wrong) > 0 {
		got, why = append(got, "wrong"), append(why, c.Wrong...)
	}
	if text := strings.Join(got, " "); text != tt.want || !strings.Contains(strings.Join(why, "\n"), tt.says) {
		t.Errorf("it %s, not %s\n%s", text, tt.want, strings.Join(why, "\n"))
	}
}

// endsAt is a context that ends when what reads a journal has asked it for the last time but one: before the head at the end.
type endsAt struct {
	context.Context
	asked, last int
	done        chan struct{}
}

// Done implements context.Context.
func (c *endsAt) Done() <-chan struct{} { return c.done }

// Err implements context.Context. Who was told that the context has ended asks it from a second goroutine, and finds it closed.
func (c *endsAt) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
	}
	if c.asked++; c.asked == c.last {
		close(c.done)
	}
	return nil
}

// H76: whose context ends while a trace is made shares nothing with what reads on. The race detector finds it where that is not so.
func TestH76WhatReadsOnSharesNothing(t *testing.T) {
	s, heads := told(t)
	s.stop()
	dir, last := filepath.Join(s.dir, "journal"), heads[2:]
	whole := &endsAt{Context: t.Context(), done: make(chan struct{})}
	if lines, err := evidence.Prove(whole, dir, "front", last); err != nil || len(lines) != 1 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for range 50 {
		// Whole was asked twice behind the last entry: by what reads at its end, and by who waited for it.
		ctx := &endsAt{Context: t.Context(), last: whole.asked - 2, done: make(chan struct{})}
		if lines, err := evidence.Prove(ctx, dir, "front", last); !errors.Is(err, context.Canceled) {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
	}
}

// remade are the lines of heads with the digests of other records.
func remade(t *testing.T, lines, trace []byte) (out []byte) {
	t.Helper()
	digests := map[uint64]string{}
	for line := range bytes.Lines(trace) {
		var r struct {
			Seq uint64 `json:"seq"`
		}
		if json.Unmarshal(line, &r) == nil && r.Seq > 0 {
			digests[r.Seq] = hash(bytes.TrimSpace(line))
		}
	}
	for line := range bytes.Lines(lines) {
		var h map[string]map[string]any
		must(t, json.Unmarshal(line, &h))
		h["head"]["digest"] = digests[uint64(h["head"]["seq"].(float64))]
		text, err := json.Marshal(h)
		must(t, err)
		out = append(append(out, text...), '\n')
	}
	return out
}

// TestOnlyAHeadIsOpened: another document, another key's signature, and a head that was changed are refused.
func TestOnlyAHeadIsOpened(t *testing.T) {
	s, heads := told(t)
	s.stop()
	good := string(heads[0].Envelope)
	for name, text := range map[string]string{
		"no JSON":       "x",
		"another type":  strings.Replace(good, "journal-head", "spec", 1),
		"changed":       strings.Replace(good, `"payload":"ey`, `"payload":"ez`, 1),
		"no signature":  strings.Replace(good, `"sig":"`, `"sig":"AAAA`, 1),
		"another key":   strings.Replace(good, heads[0].Key.String(), strings.Repeat("ab", 32), 1),
		"long":          good + strings.Repeat(" ", evidence.MaxHead),
		"two documents": good + good,
	} {
		if _, err := evidence.Open([]byte(text)); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
	if n := len(good); n > 800 {
		t.Errorf("a head has %d bytes; docs/operations.md counts with less", n)
	}
}
