package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers"
)

// signed has a folder held against its checksum file before every look of the machine. For its start the digests of the manifest and of
// what is read with it are enough, whatever happens to the folder the moment after.
func signed(o *watchers.DeployOrder, verify, sum string) error {
	sum, verify = strings.ToLower(sum), cmp.Or(verify, registry.SumsFile)
	intact := registry.NewIntact(o.Directory, verify, sum)
	o.Intact = func() error { return intact.Check(context.Background()) }
	var err error
	o.Files, err = sumsIn(filepath.Join(o.Directory, verify), sum)
	if o.Manifest = o.Files["machine.yaml"]; err == nil && o.Manifest == "" {
		err = fmt.Errorf("%s: %w", filepath.Join(o.Directory, verify), errNoManifest)
	}
	return err
}

// maxSums bounds a checksum file in bytes.
const maxSums = 4 << 20

// sumsIn reads a checksum file of which the own sha256 is known: the sha256 of each file, by its path.
func sumsIn(file, sum string) (map[string]string, error) {
	f, err := statefile.Open(file, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSums))
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(text); hex.EncodeToString(got[:]) != sum {
		return nil, &registry.Tampered{Changed: []string{filepath.Base(file)}}
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			sums[strings.TrimPrefix(strings.TrimLeft(name, " *"), "./")] = digest
		}
	}
	return sums, nil
}
