package registry

import (
	"bytes"
	"path/filepath"
	"strconv"
	"testing"
)

// BenchmarkInstall is what a new machine's payload costs: unpacked, verified, and pointed to; not synced.
func BenchmarkInstall(b *testing.B) {
	bundle, dir, n := packed1(b, map[string]string{"machine.yaml": webFiles()["machine.yaml"]}), b.TempDir(), 0
	for b.Loop() {
		n++
		s := &Slots{Target: filepath.Join(dir, strconv.Itoa(n))}
		_, err := s.Install("web", bundle.Digest, bytes.NewReader(bundle.Data), int64(len(bundle.Data)), bundle.verify, DefaultLimits())
		if err != nil {
			b.Fatal(err)
		}
	}
}
