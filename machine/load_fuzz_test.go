package machine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// FuzzLoad holds that no document makes Load panic, and that what it admits can run: every state that a
// machine comes into is one of its definition, and every record can be applied.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(everyKey))
	for _, pattern := range []string{"../testdata/choria/*.yaml", "../testdata/check/*.txtar", "../testdata/corpus/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("find seeds %s: %v", pattern, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, list := Load("m.yaml", src, checkTypes())
		if (d == nil) != list.HasErrors() {
			t.Fatalf("definition %v with findings\n%v", d, list)
		}
		if d != nil {
			CheckSet([]*Definition{d, d})
			walk(t, d)
		}
	})
}

// walk fires every event of a machine a few times over.
func walk(t *testing.T, d *Definition) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := d.Start(Origin{}, at)
	s := Snapshot{}.Apply(&record, "head")
	events := d.events()
	events = events[:min(len(events), 50)]
	for range 3 {
		for _, event := range append(events, "no such event", "") {
			record = d.Step(&s, Event{Name: event}, at)
			if !slices.Contains(d.States(), record.To) {
				t.Fatalf("%q leads from %q to %q, which is no state", event, record.From, record.To)
			}
			if record.Seq != s.Seq+1 {
				t.Fatalf("record %d follows %d", record.Seq, s.Seq)
			}
			s = s.Apply(&record, "head")
		}
	}
}
