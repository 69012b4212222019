package evidence_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// doors is a machine whose records tell who did it.
const doors = `format: 1
name: NAME
version: 0.1.0
description: A door
initial_state: shut
data: {who: {type: string, default: ""}}
states: {shut: {home: true}, open: {home: true}}
transitions:
  - {name: opened, from: [shut], destination: open, set: {who: event.payload.who}}
  - {name: shut, from: [open], destination: shut, set: {who: event.payload.who}}
`

// site is a host with a journal.
type site struct {
	t    *testing.T
	dir  string
	key  *identity.Key
	host *runtime.Host
	stop func()
	n    int
}

// newSite runs a host with the machines front and back. Its folder is a new one where dir is "".
func newSite(t *testing.T, dir string) *site {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	key, err := identity.NewKey()
	must(t, err)
	s := &site{t: t, dir: dir, key: key}
	catalogue := all.New(all.Services{})
	real, err := clock.NewReal()
	must(t, err)
	s.host, err = runtime.New(runtime.Config{
		Identity: "n1.example", Catalogue: catalogue, Clock: real, Log: slog.New(slog.DiscardHandler), StateDir: dir,
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.host.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-ended)
		_ = real.Close()
	})
	t.Cleanup(s.stop)
	for _, name := range []string{"front", "back"} {
		d, list := machine.Load(name+".yaml", []byte(strings.ReplaceAll(doors, "NAME", name)), catalogue)
		must(t, list.Err())
		must(t, s.host.Deploy(t.Context(), runtime.Deployment{Definition: d}))
	}
	return s
}

// by has both doors opened or shut by somebody.
func (s *site) by(who string) {
	s.t.Helper()
	event := []string{"opened", "shut"}[s.n%2]
	s.n++
	for _, name := range []string{"front", "back"} {
		if _, err := s.host.Fire(s.t.Context(), name, event, map[string]any{"who": who}, "test"); err != nil {
			s.t.Fatal(err)
		}
	}
}

// head is a signed head of the journal as it is.
func (s *site) head() evidence.Signed {
	s.t.Helper()
	h, err := s.host.SignHead(s.t.Context(), "n1.example", s.key)
	must(s.t, err)
	signed, err := evidence.Open([]byte(h.Text))
	must(s.t, err)
	return signed
}

// trace is the trace of front.
func (s *site) trace() []byte { return traceOf(s.t, s.dir) }

func traceOf(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	x := runtime.Export{StateDir: dir, Machine: "front", Catalogue: all.New(all.Services{}), At: time.Now()}
	_, err := x.Write(t.Context(), &b)
	must(t, err)
	return b.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copied is a copy of a folder.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// segments are the files of a journal, the oldest first.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "journal", "seg-*.log"))
	must(t, err)
	if len(found) == 0 {
		t.Fatal("no segment")
	}
	slices.Sort(found)
	return found
}

// The layout of a segment, as the journal's frame.go and header.go have it.
const (
	headerSize  = 128
	numberAt    = 32
	prevChainAt = 64
	prevSumAt   = 68
	ledgerKind  = 0x81
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// forge replaces a text by one of the same length in all records of a journal, as somebody does who can write its files, and makes checksums, the
// records' own chain and the digests of segments anew. From the segment on whose first bytes are kept it changes what lies behind those only.
func forge(t *testing.T, dir, old, with string, keep int64) {
	t.Helper()
	if len(old) != len(with) {
		t.Fatal("texts of two lengths")
	}
	digests := map[string]string{} // of records that have another one now
	var end int64
	var chain uint32
	var sum [sha256.Size]byte
	for i, path := range segments(t, dir) {
		b, err := os.ReadFile(path)
		must(t, err)
		if i > 0 {
			binary.LittleEndian.PutUint32(b[prevChainAt:], chain)
			copy(b[prevSumAt:], sum[:])
			binary.LittleEndian.PutUint32(b[headerSize-4:], crc32.Checksum(b[:headerSize-4], castagnoli))
		}
		chain, end = binary.LittleEndian.Uint32(b[headerSize-4:]), headerSize
		for end+8 < int64(len(b)) {
			length := int64(binary.LittleEndian.Uint32(b[end:]))
			if length == 0 {
				break
			}
			body := b[end+8 : end+8+length]
			if end >= keep {
				change(body, old, with, digests)
			}
			chain = crc32.Update(crc32.Update(chain, castagnoli, b[end:end+4]), castagnoli, body)
			binary.LittleEndian.PutUint32(b[end+4:], chain)
			end += 8 + length
		}
		sum = sha256.Sum256(b[:end])
		must(t, os.WriteFile(path, b, 0o600))
	}
	if len(digests) == 0 {
		t.Fatalf("no record has %q", old)
	}
	indexes, _ := filepath.Glob(filepath.Join(dir, "journal", "*.idx*"))
	for _, index := range indexes {
		must(t, os.Remove(index))
	}
}

// change changes the body of a frame.
func change(body []byte, old, with string, digests map[string]string) {
	at := 2 + int(body[1]) // kind, length of the key, key
	data := body[at:]
	before := sha256.Sum256(data)
	next := bytes.ReplaceAll(data, []byte(old), []byte(with))
	for _, from := range slices.Sorted(maps.Keys(digests)) {
		next = bytes.ReplaceAll(next, []byte(from), []byte(digests[from]))
	}
	if bytes.Equal(data, next) {
		return
	}
	after := sha256.Sum256(next)
	copy(data, next)
	digests[hex.EncodeToString(before[:])] = hex.EncodeToString(after[:])
}

// cut removes the last records of a journal, and leaves the zeros that a segment has behind its end.
func cut(t *testing.T, dir string, at int64) {
	t.Helper()
	all := segments(t, dir)
	b, err := os.ReadFile(all[len(all)-1])
	must(t, err)
	clear(b[at:])
	must(t, os.WriteFile(all[len(all)-1], b, 0o600))
	must(t, os.Remove(filepath.Join(dir, "journal.mark")))
}

// renumber gives the only segment of a journal another number, as if retention had dropped those before it, and removes what its host has kept of heads.
func renumber(t *testing.T, dir string, number uint64, created time.Time) {
	t.Helper()
	path := segments(t, dir)[0]
	b, err := os.ReadFile(path)
	must(t, err)
	out := slices.Clone(b[:headerSize])
	binary.LittleEndian.PutUint64(out[numberAt:], number)
	binary.LittleEndian.PutUint64(out[numberAt+16:], number-1) // of the segment before
	binary.LittleEndian.PutUint64(out[numberAt+8:], uint64(created.UnixNano()))
	chain := crc32.Checksum(out[:headerSize-4], castagnoli)
	binary.LittleEndian.PutUint32(out[headerSize-4:], chain)
	for at := headerSize; at+8 < len(b); {
		length := int(binary.LittleEndian.Uint32(b[at:]))
		if length == 0 {
			break
		}
		body := b[at+8 : at+8+length]
		if body[0] == ledgerKind {
			body = fmt.Appendf(bytes.Clone(body[:2]), `{"through":%d}`, number-1)
		}
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
		chain = crc32.Update(crc32.Update(chain, castagnoli, head), castagnoli, body)
		out = append(binary.LittleEndian.AppendUint32(append(out, head...), chain), body...)
		at += 8 + length
	}
	must(t, os.Remove(path))
	must(t, os.WriteFile(filepath.Join(dir, "journal", fmt.Sprintf("seg-%016x.log", number)), out, 0o600))
	for _, name := range []string{"journal.mark", "heads"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
