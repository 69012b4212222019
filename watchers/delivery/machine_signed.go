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

// signed has a folder held against its checksum file before every look of the machine. For its start the manifest's own digest is enough,
// whatever happens to the folder the moment after.
func signed(o *watchers.DeployOrder, verify, sum string) error {
	sum, verify = strings.ToLower(sum), cmp.Or(verify, registry.SumsFile)
	intact := registry.NewIntact(o.Directory, verify, sum)
	o.Intact = func() error { return intact.Check(context.Background()) }
	var err error
	o.Manifest, err = manifestSum(filepath.Join(o.Directory, verify), sum)
	return err
}

// maxSums bounds a checksum file in bytes.
const maxSums = 4 << 20

// manifestSum finds the sha256 of machine.yaml in a checksum file of which the own sha256 is known.
func manifestSum(file, sum string) (string, error) {
	f, err := statefile.Open(file, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSums))
	if err != nil {
		return "", err
	}
	if got := sha256.Sum256(text); hex.EncodeToString(got[:]) != sum {
		return "", &registry.Tampered{Changed: []string{filepath.Base(file)}}
	}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && strings.TrimPrefix(strings.TrimLeft(name, " *"), "./") == "machine.yaml" {
			return digest, nil
		}
	}
	return "", fmt.Errorf("%s: %w", file, errNoManifest)
}
