package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/registry/archivetest"
)

// tree is what is below a folder: paths with their modes, and what files hold.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(content)
		}
		name, err := filepath.Rel(dir, path)
		found[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func unpackBytes(data []byte, into string) error {
	return Unpack(bytes.NewReader(data), int64(len(data)), archivetest.Digest(data), into, DefaultLimits())
}

func TestC19ArchivesThatAttackAreNotUnpacked(t *testing.T) {
	for _, a := range archivetest.Attacks() {
		t.Run(a.Name, func(t *testing.T) {
			dir := t.TempDir()
			err := unpackBytes(a.Archive, filepath.Join(dir, "a", "b"))
			if err == nil {
				t.Fatal("unpacks into a folder that is not there")
			}
			err = unpackBytes(a.Archive, filepath.Join(dir, "into"))
			if err == nil || !strings.Contains(err.Error(), a.Because) {
				t.Errorf("error %v, want one that says %q", err, a.Because)
			}
			if left := tree(t, dir); len(left) != 1 {
				t.Errorf("leaves %v", left)
			}
		})
	}
}

func TestUnpack(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	long := strings.Repeat("long", 40)
	data := archivetest.TarGz(
		archivetest.Entry{Type: tar.TypeXGlobalHeader, PAX: map[string]string{"comment": "0123"}},
		archivetest.Entry{Name: "./", Type: tar.TypeDir, Mode: 0o755},
		archivetest.Entry{Name: "./web/", Type: tar.TypeDir, Mode: 0o2777},
		archivetest.Entry{Name: "./web/run.sh", Mode: 0o777, Body: "#!/bin/sh\n"},
		archivetest.Entry{Name: "./web/read", Mode: 0o666, Body: "hello"},
		archivetest.Entry{Name: "./web/none", Mode: 0o1, Body: "secret", PAX: map[string]string{"mtime": "12.5"}},
		archivetest.Entry{Name: "./web/deep/er/" + long, Body: "x"},
		archivetest.Entry{Name: "./web/deep", Type: tar.TypeDir, Mode: 0o700},
	)
	into := filepath.Join(t.TempDir(), "into")
	if err := unpackBytes(data, into); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "drwxr-xr-x", "web": "drwxr-xr-x", "web/run.sh": "-rwxr-xr-x #!/bin/sh\n", "web/read": "-rw-r--r-- hello", "web/none": "-r-------x secret",
		"web/deep": "drwx------", "web/deep/er": "drwxr-xr-x", "web/deep/er/" + long: "-rw-r--r-- x",
	}
	if diff := cmp.Diff(want, tree(t, into)); diff != "" {
		t.Errorf("unpacked (-want +got):\n%s", diff)
	}
	if err := unpackBytes(data, into); !errors.Is(err, fs.ErrExist) {
		t.Errorf("unpacking into what is there: %v, want ErrExist", err)
	}
	if len(tree(t, into)) != len(want) {
		t.Error("what is there was touched")
	}
}

// TestC19WrongLengthAndDigest holds that nothing is made before the digest of the whole is right.
func TestC19WrongLengthAndDigest(t *testing.T) {
	data := archivetest.TarGz(archivetest.Entry{Name: "web/a", Body: "x"})
	good := archivetest.Digest(data)
	small := DefaultLimits()
	small.Compressed = int64(len(data)) - 1
	tests := []struct {
		name   string
		size   int64
		digest string
		limits Limits
		want   string
	}{
		{"shorter", int64(len(data)) - 1, good, DefaultLimits(), "the digest is another"},
		{"longer", int64(len(data)) + 1, good, DefaultLimits(), "unexpected EOF"},
		{"other digest", int64(len(data)), archivetest.Digest(nil), DefaultLimits(), "the digest is another"},
		{"too large", int64(len(data)), good, small, "beyond the limit"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		err := Unpack(bytes.NewReader(data), tt.size, tt.digest, filepath.Join(dir, "into"), tt.limits)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(tree(t, dir)) != 1 {
			t.Errorf("%s: error %v, want one that says %q; left %v", tt.name, err, tt.want, tree(t, dir))
		}
	}
	if err := Unpack(bytes.NewReader(data), int64(len(data)), strings.ToUpper(good), filepath.Join(t.TempDir(), "into"), DefaultLimits()); err != nil {
		t.Errorf("the digest in capitals: %v", err)
	}
	if err := Unpack(bytes.NewReader(data), int64(len(data)), "", filepath.Join(t.TempDir(), "into"), DefaultLimits()); err != nil {
		t.Errorf("without a digest: %v", err)
	}
}

func TestLimits(t *testing.T) {
	l := Limits{Unpacked: 10 << 20, Ratio: 10}
	for size, want := range map[int64]int64{0: 1 << 20, 1000: 1<<20 + 10_000, 9 << 20: 10 << 20, 1 << 62: 10 << 20} {
		if got := l.unpacked(size); got != want {
			t.Errorf("%d bytes unpack to %d, want %d", size, got, want)
		}
	}
}

// FuzzUnpack takes archives as they come, and what is in them: behind the checksum of gzip little would be found otherwise.
func FuzzUnpack(f *testing.F) {
	for _, a := range archivetest.Small() {
		f.Add(a.Archive, false)
		if plain, err := plainTar(a.Archive); err == nil {
			f.Add(plain, true)
		}
	}
	f.Add(archivetest.TarGz(archivetest.Entry{Name: "web/a", Body: "x"}), false)
	limits := Limits{Compressed: 1 << 20, Unpacked: 1 << 20, Entries: 50, Ratio: 10}
	kinds := regexp.MustCompile(`^[d-][r-][w-][x-]([r-]-[x-]){2}( |$)`)
	f.Fuzz(func(t *testing.T, data []byte, plain bool) {
		if plain {
			data = archivetest.Gzip(data)
		}
		dir := t.TempDir()
		err := Unpack(bytes.NewReader(data), int64(len(data)), "", filepath.Join(dir, "into"), limits)
		for name, text := range tree(t, dir) {
			if err != nil && name != "." || !kinds.MatchString(text) {
				t.Errorf("error %v, and there is %s %q", err, text, name)
			}
		}
	})
}

func plainTar(data []byte) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zipped)
}
