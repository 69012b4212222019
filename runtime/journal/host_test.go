package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// host is a journal's owner as a host of machines is one: its state is the newest value of each key, kept in memory
// whether it could be stored or not.
type host struct {
	mu    sync.Mutex
	state map[string]string
	j     *Journal
}

// openHost opens dir for a host that remembers nothing. more changes the options.
func openHost(dir string, more ...func(*Options)) (*host, error) {
	h := &host{state: map[string]string{}}
	opts := Options{Dir: dir, Checkpoint: h.checkpoint, Now: time.Now}
	for _, f := range more {
		f(&opts)
	}
	j, err := Open(opts, h.replay)
	h.j = j
	return h, err
}

func startHost(t testing.TB, dir string, more ...func(*Options)) *host {
	t.Helper()
	h, err := openHost(dir, more...)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = h.j.Close() })
	return h
}

func (h *host) replay(e Entry) error {
	if e.Kind != KindRecord && e.Kind != KindCheckpoint {
		return fmt.Errorf("replay was given kind %d", e.Kind)
	}
	h.set(e.Key, string(e.Data))
	return nil
}

func (h *host) set(key, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state[key] = value
}

func (h *host) checkpoint(put func(string, []byte) error) error {
	state := h.states()
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if err := put(key, []byte(state[key])); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) states() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.state)
}

// send appends without waiting.
func (h *host) send(key, value string, done func(error)) {
	h.j.Append(key, []byte(value), func(err error) {
		h.set(key, value)
		done(err)
	})
}

// put appends and waits.
func (h *host) put(key, value string) error {
	result := make(chan error, 1)
	h.send(key, value, func(err error) { result <- err })
	return <-result
}

func (h *host) mustPut(t testing.TB, key string, values ...string) {
	t.Helper()
	for _, value := range values {
		if err := h.put(key, value); err != nil {
			t.Fatalf("append %s: %v", value, err)
		}
	}
}

func (h *host) close(t testing.TB) {
	t.Helper()
	if err := h.j.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// lines collects entries: "key=value" for a record, "!reason records" for a gap.
type lines []string

func (l *lines) add(e Entry) error {
	if e.Kind == KindRecord {
		*l = append(*l, e.Key+"="+string(e.Data))
		return nil
	}
	var gap Gap
	if err := json.Unmarshal(e.Data, &gap); err != nil {
		return err
	}
	if e.Kind != KindGap || e.Key != "" || gap.Last.Before(gap.First) {
		return fmt.Errorf("bad gap entry %+v %+v", e, gap)
	}
	*l = append(*l, fmt.Sprintf("!%s %d", gap.Reason, gap.Records))
	return nil
}

func (l lines) records() (out []string) {
	return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return strings.HasPrefix(s, "!") })
}

func (l lines) gaps() (out []string) {
	return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return !strings.HasPrefix(s, "!") })
}

func (h *host) history(t testing.TB, key string) lines {
	t.Helper()
	var got lines
	if err := h.j.History(context.Background(), key, got.add); err != nil {
		t.Fatalf("history: %v", err)
	}
	return got
}

func readDir(t testing.TB, dir, key string) lines {
	t.Helper()
	var got lines
	if err := ReadDir(context.Background(), dir, key, got.add); err != nil {
		t.Fatalf("read folder: %v", err)
	}
	return got
}

// numbers are the strings of from to to-1.
func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func segmentBytes(n int64) func(*Options) { return func(o *Options) { o.SegmentBytes = n } }
