package statefile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// TestA03OnlyRegularFilesAreOpened tries what may be in the place of a file, for reading and for writing. Nothing waits.
func TestA03OnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("content"), 0o600), os.Symlink("file", at("link")), os.Symlink("pipe", at("link to a pipe")),
		syscall.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("folder"), 0o700), os.Symlink("/dev/zero", at("device")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var disk statefile.Disk
	for _, name := range []string{"file", "link"} {
		if content, err := disk.Read(at(name)); err != nil || string(content) != "content" {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	for _, name := range []string{"pipe", "link to a pipe", "folder", "device"} {
		if _, err := disk.Read(at(name)); !errors.Is(err, statefile.ErrNotRegular) {
			t.Errorf("reading a %s: %v", name, err)
		}
		if _, err := disk.Stream(at(name)); !errors.Is(err, statefile.ErrNotRegular) {
			t.Errorf("streaming a %s: %v", name, err)
		}
		if _, err := statefile.Open(at(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); !errors.Is(err, statefile.ErrNotRegular) {
			t.Errorf("writing a %s: %v", name, err)
		}
	}
	if _, err := disk.Read(at("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if err := os.Truncate(at("file"), statefile.MaxBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Read(at("file")); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a file that is too long: %v", err)
	}
	in, err := disk.Stream(at("file"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, unbounded := in.(io.WriterTo); unbounded {
		t.Error("io.Copy reads it by the file's WriteTo, which nothing bounds")
	}
	if n, err := io.Copy(io.Discard, in); err != nil || n != statefile.MaxBytes+1 {
		t.Errorf("streamed %d bytes: %v", n, err)
	}
}

// TestA03ADiskThatHangsIsGivenUp waits for the first operation only, and asks the disk again when that has returned.
func TestA03ADiskThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk statefile.Disk
		release := make(chan struct{})
		begun := time.Now()
		if err := disk.Do("read", func() error { <-release; return nil }); !errors.Is(err, statefile.ErrHangs) {
			t.Errorf("the first: %v", err)
		}
		if took := time.Since(begun); took != statefile.Patience {
			t.Errorf("it took %s", took)
		}
		asked := false
		if err := disk.Do("read", func() error { asked = true; return nil }); !errors.Is(err, statefile.ErrHangs) || asked {
			t.Errorf("the second: %v, asked %t", err, asked)
		}
		close(release)
		synctest.Wait()
		if err := disk.Do("read", func() error { return fs.ErrPermission }); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("after it has returned: %v", err)
		}
	})
}
