package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestJournalIsItsModel does random things to a journal and compares it with a list and a map.
func TestJournalIsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		m := &modelled{t: t, dir: dir, size: rapid.Int64Range(1, 2000).Draw(rt, "segment bytes"), state: map[string]string{}, disk: newDisk()}
		m.disk.light = true
		m.open()
		defer func() { _ = m.host.j.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"reopen":  m.reopen,
			"break":   func(*rapid.T) { m.disk.set("sync", syscall.EIO) },
			"tear":    m.tear,
			"history": func(rt *rapid.T) { m.check(rt) },
		})
		m.check(rt)
	})
}

type modelled struct {
	t       *testing.T
	dir     string
	size    int64
	disk    *disk
	host    *host
	count   int
	refused bool
	records []string
	state   map[string]string
}

func (m *modelled) open() {
	h, err := openHost(m.dir, segmentBytes(m.size), m.disk.options)
	if err != nil {
		m.t.Fatal(err)
	}
	m.host, m.refused = h, false
}

func (m *modelled) append(rt *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")
	m.count++
	value := fmt.Sprint(m.count, strings.Repeat("x", rapid.IntRange(0, 50).Draw(rt, "size")))
	err := m.host.put(key, value)
	m.state[key] = value
	if err == nil {
		m.records = append(m.records, key+"="+value)
		return
	}
	if m.refused = true; !errors.Is(err, ErrNotDurable) {
		rt.Fatal(err)
	}
}

// reopen mends the disk and closes, so that what could not be written is made up for by a checkpoint.
func (m *modelled) reopen(rt *rapid.T) {
	m.disk.set("sync", nil)
	if err := m.host.j.Close(); err != nil {
		if m.refused {
			rt.Fatal(err)
		}
	}
	m.open()
	if diff := cmp.Diff(m.state, m.host.states()); diff != "" {
		rt.Fatal(diff)
	}
}

// tear leaves half a frame behind the data, as a crash does.
func (m *modelled) tear(rt *rapid.T) {
	m.reopen(rt)
	s := m.host.j.Status()
	m.reopen(rt)
	path := m.dir + "/" + segmentName(s.Segment)
	_ = m.host.j.Close()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		rt.Fatal(err)
	}
	_, err = f.WriteAt([]byte{40, 0, 0, 0, 1, 2, 3, 4, 1}, s.Synced)
	if err := errors.Join(err, f.Close()); err != nil {
		rt.Fatal(err)
	}
	m.open()
	if got := m.host.j.Status(); len(got.Damage) != 1 {
		rt.Fatalf("status of a torn log: %+v", got)
	}
	if diff := cmp.Diff(m.state, m.host.states()); diff != "" {
		rt.Fatal(diff)
	}
}

func (m *modelled) check(rt *rapid.T) {
	if diff := cmp.Diff(m.records, m.host.history(m.t, "").records()); diff != "" && len(m.records) > 0 {
		rt.Fatal(diff)
	}
	if got := m.host.states(); !maps.Equal(got, m.state) {
		rt.Fatalf("state %v, want %v", got, m.state)
	}
}
