package registry

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// signed makes a folder with its checksum file, as a bundle has it once it is unpacked.
func signed(t testing.TB, files map[string]string) (dir, sumsDigest string) {
	t.Helper()
	var list []packed
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, packed{path: name, content: []byte(files[name])})
	}
	sums := writeSums(list)
	files[SumsFile] = string(sums)
	return write(t, files), digestOf(sums)
}

// tampering is what somebody does to a payload, and what is found.
type tampering struct {
	name string
	do   func(dir string) error
	want Tampered
}

func tamperings() []tampering {
	overwrite := func(name, content string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600) }
	}
	return []tampering{
		{"script", overwrite("check.sh", "#!/bin/sh\nexit 1\n"), Tampered{Changed: []string{"check.sh"}}},
		{"script of the same size and time", func(dir string) error {
			info, err := os.Stat(dir + "/check.sh")
			return errors.Join(err, overwrite("check.sh", "#!/bin/sh\nexit 9\n")(dir), os.Chtimes(dir+"/check.sh", info.ModTime(), info.ModTime()))
		}, Tampered{Changed: []string{"check.sh"}}},
		{"replaced script", func(dir string) error {
			return errors.Join(overwrite(".new", "other")(dir), os.Rename(dir+"/.new", dir+"/check.sh"))
		}, Tampered{Changed: []string{"check.sh"}}},
		{"manifest", overwrite("machine.yaml", "name: evil\n"), Tampered{Changed: []string{"machine.yaml"}}},
		{"checksum file", overwrite(SumsFile, ""), Tampered{Changed: []string{SumsFile}}},
		{"script and checksum file", func(dir string) error {
			return errors.Join(overwrite("check.sh", "evil")(dir), overwrite(SumsFile, digestOf([]byte("evil"))+"  check.sh\n")(dir))
		}, Tampered{Changed: []string{SumsFile}}},
		{"no checksum file", func(dir string) error { return os.Remove(dir + "/" + SumsFile) }, Tampered{Missing: []string{SumsFile}}},
		{"file gone", func(dir string) error { return os.Remove(dir + "/lib/a") }, Tampered{Missing: []string{"lib/a"}}},
		{"file added", overwrite("lib/new", ""), Tampered{Extra: []string{"lib/new"}}},
		{"hidden file added", overwrite(".bashrc", ""), Tampered{Extra: []string{".bashrc"}}},
		{"file added deep", func(dir string) error { return overwrite("lib/b/new", "")(dir) }, Tampered{Extra: []string{"lib/b/new"}}},
		{"link added", func(dir string) error { return os.Symlink("/etc/passwd", dir+"/link") }, Tampered{Extra: []string{"link"}}},
		{"link in place of a file", func(dir string) error {
			return errors.Join(os.Rename(dir+"/check.sh", dir+"/.c"), os.Symlink(".c", dir+"/check.sh"))
		}, Tampered{Missing: []string{"check.sh"}, Extra: []string{".c", "check.sh"}}},
		{"link in place of a folder", func(dir string) error {
			return errors.Join(os.Rename(dir+"/lib", dir+"/.l"), os.Symlink(".l", dir+"/lib"))
		}, Tampered{Missing: []string{"lib/a", "lib/b/c.sh"}, Extra: []string{".l/a", ".l/b/c.sh", "lib"}}},
		{"pipe added", func(dir string) error { return syscall.Mkfifo(dir+"/pipe", 0o600) }, Tampered{Extra: []string{"pipe"}}},
		{"folder in place of a file", func(dir string) error {
			return errors.Join(os.Remove(dir+"/check.sh"), os.Mkdir(dir+"/check.sh", 0o700))
		}, Tampered{Missing: []string{"check.sh"}}},
		{"setuid", func(dir string) error { return os.Chmod(dir+"/check.sh", 0o755|os.ModeSetuid) }, Tampered{Changed: []string{"check.sh"}}},
		{"all gone", os.RemoveAll, Tampered{Missing: []string{"."}}},
	}
}

func TestC21TamperingIsFound(t *testing.T) {
	for _, tt := range tamperings() {
		t.Run(tt.name, func(t *testing.T) {
			dir, sums := signed(t, webFiles())
			if err := Verify(dir, SumsFile, sums); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			var got *Tampered
			if err := Verify(dir, SumsFile, sums); !errors.As(err, &got) {
				t.Fatalf("error %v, want a *Tampered", err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// settled makes a verification that trusts what it has seen, as it does of files that are older than a few seconds.
func settled(t *testing.T, dir, sums string) *Intact {
	t.Helper()
	i := NewIntact(dir, SumsFile, sums)
	if err := i.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	trust(i)
	return i
}

func trust(i *Intact) {
	for name, v := range i.known {
		v.settled = true
		i.known[name] = v
	}
	i.place()
}

// TestC21TamperingIsFoundBeforeTheNextUse holds the same of the verification that remembers.
func TestC21TamperingIsFoundBeforeTheNextUse(t *testing.T) {
	for _, tt := range tamperings() {
		t.Run(tt.name, func(t *testing.T) {
			dir, sums := signed(t, webFiles())
			i := settled(t, dir, sums)
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var got *Tampered
				if err := i.Check(t.Context()); !errors.As(err, &got) {
					t.Fatalf("error %v, want a *Tampered", err)
				}
				if diff := cmp.Diff(&tt.want, got); diff != "" {
					t.Errorf("found (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestIntactReadsWhatHasChanged tells what is read from what is known by giving it a false memory.
func TestIntactReadsWhatHasChanged(t *testing.T) {
	dir, sums := signed(t, webFiles())
	i := settled(t, dir, sums)
	lie := i.known["lib/a"]
	lie.digest = digestOf(nil)
	i.known["lib/a"] = lie
	if err := i.Check(t.Context()); err != nil {
		t.Errorf("reads what has not changed: %v", err)
	}
	if err := os.Chtimes(filepath.Join(dir, "check.sh"), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	var tampered *Tampered
	if err := i.Check(t.Context()); !errors.As(err, &tampered) || len(tampered.Changed) != 1 || tampered.Changed[0] != "lib/a" {
		t.Errorf("a look at one file that changed reads the others: %v", err)
	}
	i = settled(t, dir, sums)
	if err := os.Chtimes(filepath.Join(dir, "lib/a"), time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := i.Check(t.Context()); err != nil {
		t.Errorf("a time alone is tampering: %v", err)
	}
	if got := i.Paths(); len(got) != 9 || got[0] != dir || !slices.Contains(got, filepath.Join(dir, "lib/b/c.sh")) {
		t.Errorf("paths %v", got)
	}
}

// TestIntactReadsWhatIsNew holds that files count by their stamps only when they are old enough for that.
func TestIntactReadsWhatIsNew(t *testing.T) {
	dir, sums := signed(t, webFiles())
	i := NewIntact(dir, SumsFile, sums)
	for range 2 {
		if err := i.Check(t.Context()); err != nil || i.all != nil {
			t.Errorf("%v, and knows %d of them already", err, len(i.all))
		}
		lie := i.known["lib/a"]
		lie.digest = digestOf(nil)
		i.known["lib/a"] = lie
	}
}

func TestStampsSettle(t *testing.T) {
	at := time.Now()
	for _, tt := range []struct {
		mtime, ctime time.Duration // before at
		want         bool
	}{{time.Hour, 3 * time.Second, true}, {time.Hour, time.Second, false}, {time.Second, time.Hour, false}, {-time.Hour, 3 * time.Second, false}} {
		s := stamp{mtime: at.Add(-tt.mtime).UnixNano(), ctime: at.Add(-tt.ctime).UnixNano()}
		if got := s.settled(at); got != tt.want {
			t.Errorf("written %s and changed %s before: %t", tt.mtime, tt.ctime, got)
		}
	}
}

func TestVerifyWithoutWhatItNeeds(t *testing.T) {
	dir, sums := signed(t, webFiles())
	for _, args := range [][2]string{{SumsFile, ""}, {SumsFile, sums[1:]}, {"../" + SumsFile, sums}, {"", sums}, {"/etc/passwd", sums}} {
		if err := Verify(dir, args[0], args[1]); !errors.Is(err, errNoSums) {
			t.Errorf("%q: %v, want errNoSums", args, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewIntact(dir, SumsFile, sums).Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestTamperedIsShort(t *testing.T) {
	text := (&Tampered{Changed: []string{"a\x1b[2J"}, Extra: strings.Split(strings.Repeat("x ", 1000), " ")}).Error()
	if want := `not as it was signed: changed: "a\x1b[2J"; extra: "x", "x", "x", "x", "x" and 996 more`; text != want {
		t.Errorf("%s, want %s", text, want)
	}
}

func TestReadSums(t *testing.T) {
	a := digestOf([]byte("a"))
	got, err := readSums([]byte(a + "  ./lib/a\n" + a + " *b c\n" + a + "  last"))
	if diff := cmp.Diff(map[string]string{"lib/a": a, "b c": a, "last": a}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"\n", a + "\n", a + " a\n", a[1:] + "  a\n", strings.ToUpper(a) + "  a\n", a + "  ../a\n", a + "  a\n" + a + "  a\n", a + "  a\n" + a + "  A\n", "\\" + a + "  a\n"} {
		if got, err := readSums([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func FuzzSums(f *testing.F) {
	f.Add([]byte(digestOf(nil) + "  a/b\n"))
	f.Add([]byte(digestOf(nil) + " *a\n" + digestOf(nil) + "  ./b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := readSums(text)
		if err != nil {
			return
		}
		var again strings.Builder
		for name, digest := range sums {
			if checkPath(name) != nil || !isDigest(digest) {
				t.Errorf("takes %q %q", digest, name)
			}
			again.WriteString(digest + "  " + name + "\n")
		}
		if got, err := readSums([]byte(again.String())); err != nil || !maps.Equal(got, sums) {
			t.Errorf("%q is read as %v, then as %v: %v", text, sums, got, err)
		}
	})
}
