package watchers

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
)

// managed is the properties of a watcher that keeps a file, owned by whoever runs the test.
func managed(path, contents string, mode fs.FileMode) fileSpec {
	return fileSpec{
		Path: templateOf(path), Contents: templateOf(contents), mode: mode,
		Owner: strconv.Itoa(os.Geteuid()), Group: strconv.Itoa(os.Getegid()),
	}
}

func (b *fileBench) holds(name, text string, mode fs.FileMode) {
	b.Helper()
	got, err := os.ReadFile(b.path(name))
	b.do(err)
	info, err := os.Lstat(b.path(name))
	b.do(err)
	if string(got) != text || info.Mode() != mode {
		b.Errorf("%s holds %q with mode %s, want %q with %s", name, got, info.Mode(), text, mode)
	}
}

func TestFileContentIsKept(t *testing.T) {
	b := newFileBench(t, managed("sub/f", "port={{ lookup \"data.port\" }}\n", 0o640))
	b.data = map[string]any{"port": 80}
	b.do(os.Mkdir(b.path("sub"), 0o755))
	report := b.expect("no file yet", "changed", "created")
	b.holds("sub/f", "port=80\n", 0o640)
	want := map[string]any{
		"path": b.path("sub/f"), "change": "created", "size": 8, "mode": "0640", "sha256": report.Payload["sha256"],
	}
	if diff := cmp.Diff(want, report.Payload); diff != "" || len(want["sha256"].(string)) != 64 {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	report = b.expect("as it was left", "unchanged", "")
	if report.State["previous_outcome"] != "unchanged" || !report.Quiet {
		t.Errorf("state = %v, quiet %v", report.State, report.Quiet)
	}
	b.write("sub/f", "port=81\n")
	b.expect("someone else's content", "changed", "content")
	b.holds("sub/f", "port=80\n", 0o640)
	b.do(os.Chmod(b.path("sub/f"), 0o666))
	b.expect("another mode", "changed", "metadata")
	b.holds("sub/f", "port=80\n", 0o640)
	b.data = map[string]any{"port": 8080}
	b.expect("the template gives another text", "changed", "content")
	b.holds("sub/f", "port=8080\n", 0o640)
	b.do(os.Remove(b.path("sub/f")))
	b.expect("removed", "changed", "created")
	b.expect("nothing left to do", "unchanged", "")
	entries, err := os.ReadDir(b.path("sub"))
	b.do(err)
	if len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestFileContentBehindARestoredTime(t *testing.T) {
	b := newFileBench(t, managed("f", "aaaa", 0o644))
	b.check()
	info, err := os.Stat(b.path("f"))
	b.do(err)
	b.now = time.Now().Add(time.Minute)
	b.expect("settled", "unchanged", "")
	b.write("f", "bbbb")
	b.do(os.Chtimes(b.path("f"), info.ModTime(), info.ModTime()))
	b.now = time.Now().Add(2 * time.Minute)
	b.expect("changed behind the same time", "changed", "content")
	b.holds("f", "aaaa", 0o644)
}

func TestFileContentSetsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files away; run the tests as root to see that owner and group are set")
	}
	spec := managed("f", "x", 0o755|fs.ModeSetuid)
	spec.Owner, spec.Group = "nobody", "4242"
	b := newFileBench(t, spec)
	b.expect("no file yet", "changed", "created")
	owned := func() (uint32, uint32) {
		info, err := os.Stat(b.path("f"))
		b.do(err)
		stat := info.Sys().(*syscall.Stat_t)
		return stat.Uid, stat.Gid
	}
	nobody, err := userNumber("nobody")
	b.do(err)
	if uid, gid := owned(); uid != uint32(nobody) || gid != 4242 {
		t.Errorf("owner %d:%d", uid, gid)
	}
	b.holds("f", "x", 0o755|fs.ModeSetuid)
	b.expect("as it was left", "unchanged", "")
	b.do(os.Chown(b.path("f"), 0, 0))
	b.expect("given to another", "changed", "metadata")
	if uid, gid := owned(); uid != uint32(nobody) || gid != 4242 {
		t.Errorf("owner %d:%d after mending", uid, gid)
	}
	b.holds("f", "x", 0o755|fs.ModeSetuid)
}

func TestFileContentRefuses(t *testing.T) {
	tests := map[string]struct {
		prepare func(b *fileBench)
		want    string
	}{
		"a link":      {func(b *fileBench) { b.write("real", "x"); b.do(os.Symlink("real", b.path("f"))) }, "symbolic link"},
		"a dead link": {func(b *fileBench) { b.do(os.Symlink("real", b.path("f"))) }, "symbolic link"},
		"a folder":    {func(b *fileBench) { b.do(os.Mkdir(b.path("f"), 0o755)) }, "folder"},
		"a pipe":      {func(b *fileBench) { b.do(syscall.Mkfifo(b.path("f"), 0o644)) }, "named pipe"},
		"no folder":   {func(b *fileBench) { b.w.spec.Path = PlainText("none/f") }, "make the folder"},
		"no user":     {func(b *fileBench) { b.w.spec.Owner = "no-such-user" }, `no user "no-such-user"`},
		"no group":    {func(b *fileBench) { b.w.spec.Group = "no-such-group" }, `no group "no-such-group"`},
		"a value":     {func(b *fileBench) { b.w.spec.Contents = filled(t, `${ facts.nowhere.at }`) }, "expanding contents"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newFileBench(t, managed("f", "mine", 0o644))
			tt.prepare(b)
			report := b.check()
			if report.Outcome != machine.OutcomeFail || !strings.Contains(report.Message, tt.want) {
				t.Errorf("report = %s %q, want %q", report.Outcome, report.Message, tt.want)
			}
			if text, err := os.ReadFile(b.path("real")); err == nil && string(text) != "x" {
				t.Errorf("the link's target holds %q", text)
			}
		})
	}
}

// A hard link in a folder that others may write to must not become a way to change the file it names.
func TestFileContentLeavesHardLinksAlone(t *testing.T) {
	b := newFileBench(t, managed("f", "mine", 0o644))
	b.write("other", "mine")
	b.do(os.Chmod(b.path("other"), 0o600))
	b.do(os.Link(b.path("other"), b.path("f")))
	b.expect("a second name", "changed", "metadata")
	b.holds("other", "mine", 0o600)
	b.holds("f", "mine", 0o644)
}

// Two writers and a reader: whoever reads sees one text or the other as a whole.
func TestFileContentIsNeverTorn(t *testing.T) {
	dir := t.TempDir()
	texts := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 70_000)}
	look := &Look{Directory: dir}
	if err := look.WriteFile("f", []byte(texts[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, text := range texts {
		writers.Go(func() {
			for range 20 {
				if err := look.WriteFile("f", []byte(text), 0o644); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for reads := 0; ; reads++ {
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil || (string(got) != texts[0] && string(got) != texts[1]) {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestLookReadFile(t *testing.T) {
	dir := t.TempDir()
	look := &Look{Directory: dir}
	if err := look.WriteFile("f", []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := look.ReadFile("f", 10); err != nil || !bytes.Equal(got, []byte("0123456789")) {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
	for path, want := range map[string]string{"f": "limit of 9", "pipe": "regular", "../f": "leaves", "none": "no such file"} {
		if _, err := look.ReadFile(path, 9); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadFile(%s) = %v, want %q", path, err, want)
		}
	}
}
