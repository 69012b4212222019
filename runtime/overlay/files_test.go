package overlay

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// TestA03APipeInPlaceOfAHostsFile puts a pipe where each file is that a host reads at its start. No start waits for it: what a host cannot do without
// ends the start with the file's name, and what it can is said.
func TestA03APipeInPlaceOfAHostsFile(t *testing.T) {
	var said, ends []string
	for _, name := range []string{
		configFile, keyFile, rootsFile, caFile, certFile, certKeyFile, "issuers/enrollment.key", "issuers/enrollment.jwt", "issuers/service.key", "issuers/service.jwt",
		revokedFile, TrustDir + "/roots.json", TrustDir + "/seen", "state/journal.mark", "state/journal/LOCK", "state/secrets.key",
	} {
		started := make(chan error, 1)
		go func() { started <- startWith(t, name) }()
		select {
		case err := <-started:
			switch {
			case err == nil:
				said = append(said, name)
			case errors.Is(err, statefile.ErrNotRegular) && strings.Contains(err.Error(), filepath.Base(name)):
				ends = append(ends, name)
			default:
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: the start waits for the other end of a pipe", name)
		}
	}
	if len(said) != 5 || len(ends) != 11 {
		t.Errorf("a start is ended by %q, and goes on without %q", ends, said)
	}
}

// startWith reads all that a host reads at its start, with a pipe in place of one file. Where the host can do without it must say so.
func startWith(t *testing.T, name string) error {
	dir := t.TempDir()
	_, err := Init(InitOptions{Dir: dir, Cell: "c1", Now: time.Now(), Hosts: []HostOptions{{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222}}})
	path := filepath.Join(dir, "hosts", "o1", name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = syscall.Mkfifo(path, 0o600)
	}
	if err != nil {
		return err
	}
	folder, cfg, err := Open(dir)
	if err != nil {
		return err
	}
	real, err := clock.NewReal()
	if err != nil {
		return err
	}
	defer real.Close()
	var log strings.Builder
	h, err := NewHost(HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return err
	}
	_, err = h.brokerConfig()
	if words := strings.Join(append(h.Host().Health().Degraded, log.String()), "\n"); err == nil && !strings.Contains(words, filepath.Base(name)) {
		t.Errorf("nothing is said of %s:\n%s", name, words)
	}
	return errors.Join(err, h.Host().Close())
}
