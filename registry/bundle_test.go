package registry

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const webManifest = "format: 1\nname: web\nversion: 1.2.3\n"

// write makes a folder of files; those that end in .sh can be run.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path, mode := filepath.Join(dir, name), os.FileMode(0o640)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o750
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func webFiles() map[string]string {
	return map[string]string{
		"machine.yaml": webManifest, "check.sh": "#!/bin/sh\nexit 0\n", "lib/a": "a", "lib/b/c.sh": "c", "names, and such": "n",
	}
}

func packed1(t testing.TB, files map[string]string) *Bundle {
	t.Helper()
	b, err := Pack(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPackIsDeterministic pins the bytes: a bundle that is packed again must have the digest that was signed.
func TestPackIsDeterministic(t *testing.T) {
	one := packed1(t, webFiles())
	dir := write(t, webFiles())
	for _, name := range []string{"machine.yaml", "lib/a", "lib"} {
		at := time.Unix(rand.Int64N(2e9), 0)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, left := range []string{".git/config", ".hidden", "lib/.swp", SumsFile} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, left)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, left), []byte("left out"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	two, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("the same files in another folder (-one +two):\n%s", diff)
	}
	if one.Name != "web" || one.Version != "1.2.3" || !bytes.Equal(one.Data[:10], []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff")) {
		t.Errorf("%s %s with the head %x", one.Name, one.Version, one.Data[:10])
	}
	const sums = "c99557c1bc064ffa8acf8954f547f62f60bad992079b0da022570c9cc505056a"
	const whole = "a629847e028c1ffc86225f4457edefc87115862fa977d4d8df787a4934219415"
	if one.SumsDigest != sums || one.Digest != whole {
		t.Errorf("digests %s and %s, want %s and %s", one.SumsDigest, one.Digest, sums, whole)
	}
}

func TestPackedIsUnpackedAndVerified(t *testing.T) {
	b := packed1(t, webFiles())
	into := filepath.Join(t.TempDir(), "into")
	if err := Unpack(bytes.NewReader(b.Data), int64(len(b.Data)), b.Digest, into, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if err := Verify(filepath.Join(into, "web"), SumsFile, b.SumsDigest); err != nil {
		t.Error(err)
	}
	got := tree(t, into)
	for name, want := range map[string]string{
		"web": "drwxr-xr-x", "web/lib": "drwxr-xr-x", "web/lib/a": "-rw-r--r-- a", "web/lib/b/c.sh": "-rwxr-xr-x c", "web/machine.yaml": "-rw-r--r-- " + webManifest,
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 10 {
		t.Errorf("unpacks %d files and folders, want 10: %v", len(got), got)
	}
}

func TestPackRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string) error
		want   string
	}{
		{"no manifest", func(_ *testing.T, dir string) error { return os.Remove(dir + "/machine.yaml") }, "reading the manifest"},
		{"no name", func(_ *testing.T, dir string) error {
			return os.WriteFile(dir+"/machine.yaml", []byte("version: 1.0.0"), 0o600)
		}, "name"},
		{"no machine's name", func(_ *testing.T, dir string) error {
			return os.WriteFile(dir+"/machine.yaml", []byte("name: ../x\nversion: 1.0.0"), 0o600)
		}, "start with a letter"},
		{"no YAML", func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/machine.yaml", []byte("a: [b"), 0o600) }, "reading the manifest"},
		{"key twice", func(_ *testing.T, dir string) error {
			return os.WriteFile(dir+"/machine.yaml", []byte(webManifest+"name: other\n"), 0o600)
		}, "reading the manifest"},
		{"link", func(_ *testing.T, dir string) error { return os.Symlink("check.sh", dir+"/link") }, "only files and folders"},
		{"linked manifest", func(_ *testing.T, dir string) error {
			return errors.Join(os.Rename(dir+"/machine.yaml", dir+"/.m"), os.Symlink(".m", dir+"/machine.yaml"))
		}, "only files and folders"},
		{"pipe", func(_ *testing.T, dir string) error { return syscall.Mkfifo(dir+"/pipe", 0o600) }, "only files and folders"},
		{"socket", func(t *testing.T, dir string) error {
			l, err := net.Listen("unix", dir+"/s")
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}, "only files and folders"},
		{"case", func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/CHECK.sh", nil, 0o600) }, "case does not count"},
		{"case of the checksum file", func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/sha256sums", nil, 0o600) }, "case does not count"},
		{"line break", func(_ *testing.T, dir string) error { return os.WriteFile(dir+"/a\nb", nil, 0o600) }, "printable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := write(t, webFiles())
			if err := tt.change(t, dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Pack(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
	for name, l := range map[string]Limits{
		"files": {Compressed: 1 << 20, Unpacked: 1 << 20, Entries: 4}, "content": {Compressed: 1 << 20, Unpacked: 30, Entries: 9},
		"packed": {Compressed: 100, Unpacked: 1 << 20, Entries: 9},
	} {
		if _, err := pack(write(t, webFiles()), l); !errors.Is(err, ErrLimit) {
			t.Errorf("too much of %s: %v, want ErrLimit", name, err)
		}
	}
}

func TestPathsOfBundles(t *testing.T) {
	p := &paths{}
	steps := []struct {
		name   string
		folder bool
		above  []string
		err    error
	}{
		{"a/b/c", false, []string{"a", "a/b"}, nil}, {"a/b", true, nil, nil}, {"a/b", true, nil, errDuplicate}, {"a/d", false, nil, nil},
		{"a/B/d", false, nil, errCollision}, {"a/d/e", false, nil, errBothKinds}, {"K", false, nil, nil}, {"\u212a", false, nil, errCollision},
	}
	for _, s := range steps {
		above, err := p.add(s.name, s.folder)
		if diff := cmp.Diff(s.above, above); diff != "" || !errors.Is(err, s.err) {
			t.Errorf("%q: %v, %v, want %v, %v", s.name, above, err, s.above, s.err)
		}
	}
}
