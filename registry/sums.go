package registry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// SumsFile is the checksum file of a bundle, as sha256sum writes it.
const SumsFile = "SHA256SUMS"

// maxSums bounds a checksum file in bytes.
const maxSums = 4 << 20

// errSums is a checksum file that cannot be read.
var errSums = errors.New("a line is a sha256 in hex, two spaces and a path, as sha256sum writes it")

// writeSums writes the checksum file of files, which are in order.
func writeSums(files []packed) []byte {
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", digestOf(f.content), f.path)
	}
	return b.Bytes()
}

// readSums reads a checksum file: digests by path. What sha256sum writes in front of a path, ./ and *, is taken off.
func readSums(text []byte) (map[string]string, error) {
	sums, names, n := map[string]string{}, &paths{}, 0
	for line := range strings.Lines(string(text)) {
		n++
		digest, name, err := readSum(strings.TrimSuffix(line, "\n"))
		if err == nil {
			_, err = names.add(name, false)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		sums[name] = digest
	}
	return sums, nil
}

func readSum(line string) (digest, name string, err error) {
	digest, rest, _ := strings.Cut(line, " ")
	if !isDigest(digest) || rest == "" || rest[0] != ' ' && rest[0] != '*' {
		return "", "", errSums
	}
	return digest, strings.TrimPrefix(rest[1:], "./"), nil
}

// isDigest tells a sha256 in lower-case hex.
func isDigest(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64 && strings.ToLower(s) == s
}
