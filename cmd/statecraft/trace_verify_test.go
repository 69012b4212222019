package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// emptyJournal is one with a head and no machines.
type emptyJournal struct{}

// Head implements evidence.Journal.
func (emptyJournal) Head(context.Context, func(journal.Entry) error) (journal.Head, error) {
	return journal.Head{Log: "ab", Segment: 1, Size: 128, Sum: "cd"}, nil
}

// H76: after a node was given another key, the heads of each are held against by themselves; what the cell has of the other is left out and said.
func TestH76HeadsOfANodesOtherKeyAreLeftOut(t *testing.T) {
	var keys []identity.PublicKey
	var heads []evidence.Signed
	for i := range 2 {
		key, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		h, err := evidence.Sign(t.Context(), emptyJournal{}, "n1.example", time.Unix(int64(i), 0), key)
		if err != nil {
			t.Fatal(err)
		}
		keys, heads = append(keys, key.Public()), append(heads, h)
	}
	for _, tt := range []struct {
		name  string
		heads []evidence.Signed
		want  identity.PublicKey
		kept  []evidence.Signed
		says  string
		fails bool
	}{
		{"the new key", heads, keys[1], heads[1:], "1 head left out, signed by another key than " + keys[1].String() + ": --key " + keys[0].String(), false},
		{"the old key", heads, keys[0], heads[:1], "--key " + keys[1].String(), false},
		{"none of its heads is left", heads[:1], keys[1], nil, "signed by " + keys[0].String() + ", not by " + keys[1].String(), true},
		{"nobody knows the key", heads, identity.PublicKey{}, heads, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said strings.Builder
			kept, err := testInvocation(t.Context(), nil, &said, false).signedBy(tt.heads, tt.want)
			text := said.String()
			if err != nil {
				text += err.Error()
			}
			if (err != nil) != tt.fails || len(kept) != len(tt.kept) || !strings.Contains(text, tt.says) || tt.says == "" && text != "" {
				t.Errorf("%d heads kept, %v\n%s", len(kept), err, text)
			}
			for i := range kept {
				if kept[i].Key != tt.kept[i].Key {
					t.Errorf("kept the head of %s", kept[i].Key)
				}
			}
		})
	}
}

// H76: records that a gap cuts off from what heads vouch for are a partial result.
func TestH76RecordsThatNoHeadVouchesForAreSaid(t *testing.T) {
	r := traceVerifyResult{
		Path: "web.trace", Machine: "web", Records: 4, Holds: 1, UnprovenRecords: []evidence.TraceRecords{{First: 1, Last: 2}},
		Heads: []headStanding{{Standing: journal.Holds, Name: "web", From: 4, Seq: 5}},
	}
	var out, errs strings.Builder
	inv := testInvocation(t.Context(), &out, &errs, false)
	if code := inv.report(inv.ended(inv.verified(&r))); code != exitPartial {
		t.Errorf("it ended with %d", code)
	}
	if text := out.String(); !strings.Contains(text, "web, records 4 to 5") || !strings.Contains(text, "unproven  records 1 to 2") {
		t.Errorf("it printed %q", text)
	}
	if text := errs.String(); !strings.Contains(text, "no head vouches for the records 1 to 2 of web.trace") {
		t.Errorf("it said %q", text)
	}
}

// H76: a journal that does not have what a head was of is a partial result, whatever later heads say; --since leaves such heads out.
func TestH76WhatIsNotKeptIsNotVerified(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{
		Dir: filepath.Join(dir, "journal"), Now: time.Now, SegmentBytes: 16 << 10, KeepBytes: 40 << 10,
		Checkpoint: func(put func(string, []byte) error) error { return put("a", []byte("{}")) },
	}, func(journal.Entry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var heads []byte
	began := time.Now().Add(-time.Hour)
	for i := range 6 {
		for range 40 {
			done := make(chan error, 1)
			j.Append("a", []byte(`{"seq":1,"text":"`+strings.Repeat("x", 500)+`"}`), func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		h, err := evidence.Sign(t.Context(), j, "n1.example", began.Add(time.Duration(i)*time.Minute), key)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(append(heads, h.Envelope...), '\n')
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "heads")
	if err := os.WriteFile(file, heads, 0o600); err != nil {
		t.Fatal(err)
	}
	// What is said to ask for instead is asked for, and ends well.
	var out, said strings.Builder
	verify := []string{"trace", "verify", "--heads", file, "--key", key.Public().String(), dir}
	if code := run(verify, strings.NewReader(""), &out, &said); code != exitPartial {
		t.Errorf("all of them: %d, %s", code, said.String())
	}
	_, since, _ := strings.Cut(said.String(), "--since ")
	since, _, _ = strings.Cut(since, " ")
	if code := run(append(verify, "--since", since), strings.NewReader(""), &out, &said); code != exitOK {
		t.Errorf("since %s, as it says: %d, %s", since, code, said.String())
	}
	for _, tt := range []struct {
		since time.Time
		code  int
		says  string
	}{
		{time.Time{}, exitPartial, "were of is not in " + dir + " any more"},
		{began.Add(time.Minute), exitPartial, "were of is not in " + dir + " any more"}, // it begins later than asked
		{began.Add(270 * time.Second), exitOK, "as it was up to the head of"},
		{began.Add(time.Hour), exitUsage, "no head was signed since"},
	} {
		var out, errs strings.Builder
		args := []string{"trace", "verify", "--heads", file, "--key", key.Public().String(), dir}
		if !tt.since.IsZero() {
			args = append(args, "--since", tt.since.Format(time.RFC3339))
		}
		if code := run(args, strings.NewReader(""), &out, &errs); code != tt.code || !strings.Contains(errs.String(), tt.says) {
			t.Errorf("since %s it ended with %d\n%s%s", tt.since, code, out.String(), errs.String())
		}
	}
}
