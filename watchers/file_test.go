package watchers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// fileBench is a machine's directory and a file watcher in it, with a clock that the test sets.
type fileBench struct {
	*testing.T
	dir  string
	data map[string]any
	now  time.Time
	w    *fileWatcher
}

func newFileBench(t *testing.T, spec fileSpec) *fileBench {
	return &fileBench{T: t, dir: t.TempDir(), now: time.Now(), w: newFileWatcher(&spec)}
}

func (b *fileBench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *fileBench) write(name, text string) {
	b.Helper()
	b.do(os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	b.do(os.WriteFile(b.path(name), []byte(text), 0o644))
}

func (b *fileBench) do(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *fileBench) look() *Look {
	return &Look{Directory: b.dir, At: b.now, Data: b.data, Machine: "m", Watcher: "w"}
}

func (b *fileBench) check() Report { return b.w.Check(b.Context(), b.look()) }

// expect looks and compares outcome and change.
func (b *fileBench) expect(what, outcome, change string) Report {
	b.Helper()
	report := b.check()
	got, _ := report.Payload["change"].(string)
	if report.Outcome != outcome || got != change {
		b.Errorf("%s: %s %q (%s), want %s %q", what, report.Outcome, got, report.Message, outcome, change)
	}
	return report
}

func TestFileWatchSeesEveryChange(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("conf/app.conf")})
	old := time.Now().Add(-time.Hour)
	b.write("conf/app.conf", "port=80\n")
	b.expect("first look", "changed", "created")
	b.expect("nothing happened", "unchanged", "")

	b.write("conf/app.conf", "port=8080\n")
	b.expect("another size", "changed", "content")

	b.write("conf/app.conf", "port=9090\n")
	b.do(os.Chtimes(b.path("conf/app.conf"), old, old))
	b.expect("same size", "changed", "content")

	b.write("conf/app.conf", "port=7070\n")
	b.do(os.Chtimes(b.path("conf/app.conf"), old, old))
	b.expect("same size, time set back", "changed", "content")

	b.do(os.Chtimes(b.path("conf/app.conf"), old.Add(time.Second), old.Add(time.Second)))
	b.expect("touched", "changed", "metadata")

	b.do(os.Chmod(b.path("conf/app.conf"), 0o600))
	b.expect("another mode", "unchanged", "")

	b.write("conf/next", "port=7070\n")
	b.do(os.Chtimes(b.path("conf/next"), old.Add(time.Second), old.Add(time.Second)))
	b.do(os.Rename(b.path("conf/next"), b.path("conf/app.conf")))
	b.expect("another inode", "changed", "metadata")
	b.expect("nothing happened since", "unchanged", "")
}

// Time set back on a file that had settled: only the change time shows that there is something to hash.
func TestFileSettledFileWithRestoredTime(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f"), GatherInitialState: true})
	old := time.Now().Add(-time.Hour)
	b.write("f", "aaaa")
	b.do(os.Chtimes(b.path("f"), old, old))
	b.now = time.Now().Add(time.Minute)
	b.expect("the state at start", "unchanged", "")
	if !b.w.last.settled {
		t.Fatal("a file that nobody touched for a minute is not taken as settled")
	}
	settled := b.w.last
	b.expect("nothing happened", "unchanged", "")
	if b.w.last.sha256 != settled.sha256 || b.w.last.sha256 == "" {
		t.Errorf("hash %q became %q", settled.sha256, b.w.last.sha256)
	}
	b.write("f", "bbbb")
	b.do(os.Chtimes(b.path("f"), old, old))
	b.expect("content changed behind the same time", "changed", "content")
}

// A settled file is not read again: its hash is believed.
func TestFileSettledFileIsNotRead(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f")})
	b.write("f", "aaaa")
	b.now = time.Now().Add(time.Minute)
	b.check()
	b.w.last.sha256 = "planted"
	b.expect("nothing happened", "unchanged", "")
	if b.w.last.sha256 != "planted" {
		t.Error("the file was hashed again")
	}
}

func TestFileMissingIsReportedOnce(t *testing.T) {
	for _, gather := range []bool{false, true} {
		b := newFileBench(t, fileSpec{Path: PlainText("f"), GatherInitialState: gather})
		b.expect("missing at start", "missing", "missing")
		report := b.expect("still missing", "unchanged", "missing")
		if !report.Quiet {
			t.Error("the second look at a missing file is announced")
		}
		b.write("f", "x")
		b.expect("it came", "changed", "created")
		b.do(os.Remove(b.path("f")))
		report = b.expect("it went", "missing", "missing")
		if diff := cmp.Diff(map[string]any{"path": "f", "previous_outcome": "error"}, report.State); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		b.expect("still gone", "unchanged", "missing")
		b.expect("still gone", "unchanged", "missing")
		b.write("f", "x")
		b.expect("it came back as it was", "changed", "created")
	}
}

func TestFileGatherInitialState(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f"), GatherInitialState: true})
	b.write("f", "x")
	report := b.expect("first look", "unchanged", "")
	if !report.Quiet {
		t.Error("the initial state is announced")
	}
	b.write("f", "xy")
	b.expect("a change", "changed", "content")
}

func TestFilePayload(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f")})
	b.write("f", "abc")
	b.do(os.Chmod(b.path("f"), 0o640))
	want := map[string]any{
		"path": b.path("f"), "change": "created", "size": 3, "mode": "0640",
		"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}
	report := b.check()
	if diff := cmp.Diff(want, report.Payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"path": "f", "previous_outcome": "changed"}, report.State); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestFileWatchesWhatIsNoRegularFile(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("it")})
	b.do(syscall.Mkfifo(b.path("it"), 0o600))
	done := make(chan Report, 1)
	go func() { done <- b.check() }()
	select {
	case report := <-done:
		if report.Outcome != "changed" || report.Payload["sha256"] != "" {
			t.Errorf("pipe: %s %v", report.Outcome, report.Payload)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the look waits for the other end of a pipe")
	}
	b.do(os.Remove(b.path("it")))
	b.do(os.Mkdir(b.path("it"), 0o755))
	b.expect("a folder", "changed", "content")
	b.do(os.Chtimes(b.path("it"), b.now, b.now.Add(-time.Minute)))
	b.expect("a folder touched", "changed", "content")
}

// Beyond the limit a file is known by size and times only; it is sparse here.
func TestFileLargeFileIsNotRead(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f")})
	b.write("f", "")
	b.do(os.Truncate(b.path("f"), fileHashLimit+1))
	report := b.expect("first look", "changed", "created")
	if report.Payload["sha256"] != "" || report.Payload["size"] != fileHashLimit+1 {
		t.Errorf("payload = %v", report.Payload)
	}
	b.expect("nothing happened", "unchanged", "")
	b.do(os.Chtimes(b.path("f"), b.now, b.now.Add(-time.Hour)))
	b.expect("touched", "changed", "content")
}

func TestFileLookEndsWithItsContext(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: PlainText("f")})
	b.write("f", strings.Repeat("x", 1<<20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report := b.w.Check(ctx, b.look()); report.Outcome != machine.OutcomeFail || b.w.last != nil {
		t.Errorf("report = %s %q", report.Outcome, report.Message)
	}
	b.expect("the look after", "changed", "created")
}

func TestFileStaysInTheDirectory(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a link": "link", "a folder that is a link": "folder/secret", "dots": "../secret", "dots of a template": `{{ lookup "data.up" }}/secret`} {
		for _, contents := range []string{"", "mine"} {
			b := newFileBench(t, managed(path, contents, 0o600))
			b.data = map[string]any{"up": ".."}
			b.do(os.Symlink(secret, b.path("link")))
			b.do(os.Symlink(outside, b.path("folder")))
			report := b.check()
			if report.Outcome != machine.OutcomeFail || report.Message == "" {
				t.Errorf("%s, contents %q: %s %q", name, contents, report.Outcome, report.Message)
			}
			if diff := cmp.Diff(map[string]any{"path": b.w.path, "previous_outcome": "error"}, report.State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		}
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "x" {
		t.Errorf("the file outside holds %q, %v", text, err)
	}
}

func TestFileFollowsLinksInsideAndOfAbsolutePaths(t *testing.T) {
	outside := t.TempDir()
	b := newFileBench(t, fileSpec{Path: PlainText("link")})
	b.write("real", "x")
	b.do(os.Symlink("real", b.path("link")))
	b.expect("a link inside", "changed", "created")

	b = newFileBench(t, fileSpec{Path: PlainText(filepath.Join(outside, "link"))})
	b.write("real", "x")
	b.do(os.Symlink(b.path("real"), filepath.Join(outside, "link")))
	b.expect("an absolute path", "changed", "created")
	b.write("real", "xy")
	b.expect("its target changed", "changed", "content")
}

func TestFileWithoutADirectory(t *testing.T) {
	w := newFileWatcher(&fileSpec{Path: PlainText("f")})
	report := w.Check(t.Context(), &Look{At: time.Now()})
	if report.Outcome != machine.OutcomeFail || !strings.Contains(report.Message, "absolute") {
		t.Errorf("report = %s %q", report.Outcome, report.Message)
	}
}

func TestFileTemplateChoosesAnotherFile(t *testing.T) {
	b := newFileBench(t, fileSpec{Path: filled(t, `${ data.name }`)})
	b.write("a", "x")
	b.write("b", "x")
	b.data = map[string]any{"name": "a"}
	b.expect("the first file", "changed", "created")
	if diff := cmp.Diff([]string{b.path("a")}, b.w.Paths(b.look())); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	b.data = map[string]any{"name": "b"}
	b.expect("another file", "changed", "created")
	b.expect("still that", "unchanged", "")
}

func TestFileSpec(t *testing.T) {
	tests := map[string]struct {
		text string
		want fileSpec
		code diag.Code
	}{
		"watch":                    {"path: f\ngather_initial_state: 'true'", fileSpec{Path: PlainText("f"), GatherInitialState: true}, ""},
		"plain mode":               {"path: /f\ncontents: x\nowner: root\ngroup: '0'\nmode: 644", managed("/f", "x", 0o644), ""},
		"mode with 0":              {"path: /f\ncontent: x\nowner: root\ngroup: '0'\nmode: '0644'", managed("/f", "x", 0o644), ""},
		"mode with 0o":             {"path: /f\ncontent: x\nowner: root\ngroup: '0'\nmode: 0o4755", managed("/f", "x", 0o755|os.ModeSetuid), ""},
		"empty contents":           {"path: f\ncontents: ''\nmode: ''", fileSpec{Path: PlainText("f")}, ""},
		"absolute":                 {"path: /etc/../etc/motd", fileSpec{Path: PlainText("/etc/../etc/motd")}, ""},
		"template":                 {"path: '{{ lookup \"facts.x\" }}/../../f'", fileSpec{Path: templateOf(`{{ lookup "facts.x" }}/../../f`)}, ""},
		"no path":                  {"gather_initial_state: true", fileSpec{}, strict.CodeMissingKey},
		"escapes":                  {"path: a/../../f", fileSpec{}, CodeFilePath},
		"owner missing":            {"path: f\ncontents: x\ngroup: root\nmode: 644", fileSpec{}, CodeFileOwner},
		"empty mode":               {"path: f\ncontents: x\nowner: root\ngroup: root\nmode: ''", fileSpec{}, CodeFileOwner},
		"others' than its owner's": {"path: f\ncontents: x\nowner: root\ngroup: root\nmode: 420", fileSpec{}, CodeFileOdd},
		"not octal":                {"path: f\ncontents: x\nowner: root\ngroup: root\nmode: 689", fileSpec{}, CodeFileMode},
		"too many bits":            {"path: f\ncontents: x\nowner: root\ngroup: root\nmode: 17777", fileSpec{}, CodeFileMode},
		"symbolic":                 {"path: f\ncontents: x\nowner: root\ngroup: root\nmode: u+x", fileSpec{}, CodeFileMode},
		"both spellings":           {"path: f\ncontents: x\ncontent: y\nowner: root\ngroup: root\nmode: 644", fileSpec{}, strict.CodeTwoNames},
		"an unknown thing":         {"path: f\nowners: root", fileSpec{}, strict.CodeUnknownKey},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got fileSpec
			kind := Define(Type{}, func(s *fileSpec, _ *machine.WatcherSpec) *Prepared {
				got = *s
				return &Prepared{}
			})
			_, list := kind.Prepare(&machine.WatcherSpec{Properties: fileNode(t, tt.text), Pos: diag.Position{Line: 1}, Strict: true})
			if tt.code != "" {
				if len(list) != 1 || list[0].Code != tt.code || list[0].Line == 0 {
					t.Errorf("diagnostics = %v, want one %s", list, tt.code)
				}
				return
			}
			tt.want.Owner, tt.want.Group, tt.want.Mode = got.Owner, got.Group, got.Mode
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(fileSpec{}), cmp.Transformer("text", Text.String)); diff != "" || len(list) > 0 {
				t.Errorf("%v; spec (-want +got):\n%s", list, diff)
			}
		})
	}
}

func TestFileModeText(t *testing.T) {
	for bits, want := range map[uint32]string{0o644: "0644", 0: "0000", 0o7: "0007", 0o4755: "4755", 0o7777: "7777"} {
		if got := modeText(goMode(bits)); got != want {
			t.Errorf("mode %o = %s, want %s", bits, got, want)
		}
	}
}

func TestFileType(t *testing.T) {
	file := File()
	prepared, list := file.Prepare(&machine.WatcherSpec{Name: "w", Type: "file", Properties: fileNode(t, "path: f")})
	if list.HasErrors() {
		t.Fatal(list)
	}
	if prepared.Interval != 5*time.Second {
		t.Errorf("interval = %s", prepared.Interval)
	}
	if _, ok := prepared.New().(PathWatcher); !ok {
		t.Error("not a PathWatcher")
	}
	for text, want := range map[string][]string{
		"path: f": nil,
		"path: f\ncontents: x\nowner: root\ngroup: root\nmode: 644": {"f"},
	} {
		if diff := cmp.Diff(want, file.Writes(&machine.WatcherSpec{Properties: fileNode(t, text)})); diff != "" {
			t.Errorf("writes of %q (-want +got):\n%s", text, diff)
		}
	}
}

func fileNode(t *testing.T, text string) *strict.Node {
	t.Helper()
	node, list := strict.Parse("machine.yaml", []byte(text+"\n"))
	if list.HasErrors() {
		t.Fatal(list)
	}
	return node
}

// filled is a text into which values are filled.
func filled(t testing.TB, text string) Text {
	t.Helper()
	out, err := CompileText(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
