package overlay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hostWith is a host whose folder has these folders.
func hostWith(t *testing.T, hosts int, dirs ...string) *Host {
	t.Helper()
	h := &Host{cfg: HostConfig{Folder: t.TempDir(), Config: Config{Replicas: hosts}}}
	for _, dir := range dirs {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func foldersOf(t *testing.T, h *Host) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(h.cfg.Folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return strings.Join(found, " ")
}

const (
	aStream   = "streams/jetstream/FLEET/streams/KV_NODES"
	aCluster  = "streams/jetstream/SYSTEM/_js_"
	noStreams = "streams/jetstream/FLEET/streams"
)

func TestStreamsAreSetAsideOnceAndWhereNoClusterKnowsThem(t *testing.T) {
	for name, c := range map[string]struct {
		dirs  []string
		want  string
		fails bool
	}{
		"a new host":                     {nil, "", false},
		"one that has no streams yet":    {[]string{noStreams}, "streams", false},
		"one that was alone":             {[]string{aStream}, "streams.alone", false},
		"one whose others are there too": {[]string{aStream, "streams.alone"}, "streams streams.alone", true},
		"one that has done so before":    {[]string{aStream, "streams.before-cluster"}, "streams streams.before-cluster", true},
	} {
		h := hostWith(t, 3, c.dirs...)
		if err := h.setAside(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, foldersOf(t, h)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhoIsInAClusterStaysInIt(t *testing.T) {
	for name, c := range map[string]struct {
		hosts int
		dirs  []string
		fails bool
	}{
		"in a cluster":                  {3, []string{aStream, aCluster}, false},
		"alone":                         {1, []string{aStream}, false},
		"alone, with streams of others": {1, []string{aStream, aCluster}, true},
	} {
		h := hostWith(t, c.hosts, c.dirs...)
		if _, err := h.setAsideAlone(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff("streams", foldersOf(t, h)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
