package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"time"
)

// Bundle is a machine's directory as a deterministic tar.gz. All entries are below a folder of the machine's name, as Choria's are.
type Bundle struct {
	Name, Version string
	Data          []byte
	Digest        string // sha256 of Data, hex
	SumsDigest    string // sha256 of its SHA256SUMS, hex
	Sums          []byte // its SHA256SUMS
}

// Pack makes the bundle of a folder that holds a machine.yaml. The same files give the same bytes, wherever and whenever. Files that begin with a
// dot, an old SHA256SUMS, and folders without a file are left out. Links and special files are refused, and what Unpack would not take.
func Pack(dir string) (*Bundle, error) {
	b, err := pack(dir, DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", dir, err)
	}
	return b, nil
}

func pack(dir string, l Limits) (*Bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name, version, err := readManifest(root)
	if err != nil {
		return nil, err
	}
	files, err := collect(root, l)
	if err != nil {
		return nil, err
	}
	sums := writeSums(files)
	b := &Bundle{Name: name, Version: version, SumsDigest: digestOf(sums), Sums: sums}
	files = append([]packed{{path: SumsFile, content: sums}}, files...)
	if b.Data, err = writeArchive(name, files); err != nil {
		return nil, err
	}
	if int64(len(b.Data)) > l.Compressed {
		return nil, fmt.Errorf("it has %d bytes when packed, %d are allowed: %w", len(b.Data), l.Compressed, ErrLimit)
	}
	b.Digest = digestOf(b.Data)
	return b, nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// writeArchive writes everything that could differ from one day or host to another as nothing.
func writeArchive(name string, files []packed) ([]byte, error) {
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zipped)
	if err := writeEntries(w, name, files); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeEntries(w *tar.Writer, name string, files []packed) error {
	folders := map[string]bool{}
	for _, f := range files {
		if err := writeFolders(w, path.Join(name, path.Dir(f.path)), folders); err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(name, f.path), Mode: 0o644, Size: int64(len(f.content)), ModTime: time.Unix(0, 0)}
		if f.executable {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(f.content); err != nil {
			return err
		}
	}
	return nil
}

// writeFolders writes a folder after those above it, each once.
func writeFolders(w *tar.Writer, folder string, written map[string]bool) error {
	if folder == "." || written[folder] {
		return nil
	}
	if err := writeFolders(w, path.Dir(folder), written); err != nil {
		return err
	}
	written[folder] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
}
