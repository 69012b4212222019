package registry

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/registry/archivetest"
)

// webBundle is a version of the payload web.
func webBundle(t testing.TB, version string) *Bundle {
	t.Helper()
	files := webFiles()
	files["machine.yaml"] = "name: web\nversion: " + version + "\n"
	return packed1(t, files)
}

func (b *Bundle) verify(dir string) error { return Verify(dir, SumsFile, b.SumsDigest) }

func install(s *Slots, b *Bundle) (string, error) {
	return s.Install("web", b.Digest, bytes.NewReader(b.Data), int64(len(b.Data)), b.verify, DefaultLimits())
}

func installed(t testing.TB, s *Slots, b *Bundle) string {
	t.Helper()
	dir, err := install(s, b)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// runs holds that the target has a version and that it is intact, by the link as by the slot.
func runs(t testing.TB, s *Slots, b *Bundle) {
	t.Helper()
	dir, digest, ok := s.Current("web")
	if !ok || digest != b.Digest || dir != filepath.Join(s.Target, ".slots", "web-"+b.Digest) {
		t.Fatalf("the present one is %s in %s, %t; want %s", digest, dir, ok, b.Version)
	}
	root, err := os.OpenRoot(filepath.Join(s.Target, "web"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, version, err := readManifest(root); version != b.Version || b.verify(dir) != nil {
		t.Errorf("it has version %s: %v, %v; want %s", version, err, b.verify(dir), b.Version)
	}
}

func TestSlots(t *testing.T) {
	s := &Slots{Target: filepath.Join(t.TempDir(), "machines"), Sync: true}
	a, b, c := webBundle(t, "1.0.0"), webBundle(t, "2.0.0"), webBundle(t, "3.0.0")
	if _, _, ok := s.Current("web"); ok {
		t.Error("something is there")
	}
	if names, err := s.Names(); len(names) > 0 || err != nil {
		t.Errorf("names %v, %v", names, err)
	}
	for i, bundle := range []*Bundle{a, a, b, c} {
		if dir := installed(t, s, bundle); dir != s.slot("web", bundle.Digest) {
			t.Errorf("step %d installs to %s", i, dir)
		}
		runs(t, s, bundle)
	}
	prepared := map[*Bundle]bool{a: false, b: true, c: true}
	for bundle, want := range prepared {
		if _, ok := s.Prepared("web", bundle.Digest, bundle.verify); ok != want {
			t.Errorf("%s is prepared: %t", bundle.Version, ok)
		}
	}
	if _, err := s.Install("web", b.Digest, nil, 0, b.verify, DefaultLimits()); err != nil {
		t.Errorf("going back: %v", err)
	}
	runs(t, s, b)
	if _, err := s.Install("web", a.Digest, nil, 0, a.verify, DefaultLimits()); !errors.Is(err, errNoArchive) {
		t.Errorf("going back to what is gone: %v", err)
	}
	runs(t, s, b)
	if names, err := s.Names(); !slices.Equal(names, []string{"web"}) || err != nil {
		t.Errorf("names %v, %v", names, err)
	}
	for range 2 {
		if err := s.Remove("web"); err != nil {
			t.Error(err)
		}
	}
	if left := tree(t, s.Target); len(left) != 2 {
		t.Errorf("removing leaves %v", left)
	}
}

// TestSlotsLeaveAlone holds that what Slots has not made is not lost.
func TestSlotsLeaveAlone(t *testing.T) {
	s := &Slots{Target: t.TempDir()}
	for _, name := range []string{"web", "other"} {
		if err := os.Mkdir(filepath.Join(s.Target, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.Target, name, "mine"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := s.Current("web"); ok {
		t.Error("a folder counts as a link")
	}
	if err := s.Remove("web"); err != nil {
		t.Error(err)
	}
	bundle := webBundle(t, "1.0.0")
	installed(t, s, bundle)
	if err := os.Remove(filepath.Join(s.Target, "web")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(s.Target, "web")); err != nil {
		t.Fatal(err)
	}
	installed(t, s, bundle)
	runs(t, s, bundle)
	if err := errors.Join(s.Remove("web"), s.Remove("other")); err != nil {
		t.Error(err)
	}
	want := map[string]string{
		"other/mine": "-rw------- other", ".replaced/web-1/mine": "-rw------- web", ".replaced/web-2": "Lrwxrwxrwx",
	}
	for name, text := range tree(t, s.Target) {
		if want[name] == text {
			delete(want, name)
		}
	}
	if len(want) > 0 {
		t.Errorf("without %v: %v", want, tree(t, s.Target))
	}
}

func TestSlotsRefuse(t *testing.T) {
	s := &Slots{Target: t.TempDir()}
	b := webBundle(t, "1.0.0")
	limits := DefaultLimits()
	for _, name := range []string{"", ".", "..", ".slots", "a/b", "-a", "a\n", strings.Repeat("a", 129)} {
		_, err := s.Install(name, b.Digest, bytes.NewReader(b.Data), int64(len(b.Data)), nil, limits)
		_, _, current := s.Current(name)
		_, prepared := s.Prepared(name, b.Digest, nil)
		if err == nil || current || prepared || s.Remove(name) == nil {
			t.Errorf("takes the name %q", name)
		}
	}
	for _, digest := range []string{"", "..", strings.ToUpper(b.Digest), b.Digest + "0"} {
		if _, err := s.Install("web", digest, bytes.NewReader(b.Data), int64(len(b.Data)), nil, limits); !errors.Is(err, errSlotDigest) {
			t.Errorf("takes the digest %q: %v", digest, err)
		}
	}
	if _, err := (&Slots{Target: "here"}).Install("web", b.Digest, bytes.NewReader(b.Data), int64(len(b.Data)), nil, limits); err == nil {
		t.Error("takes a relative target")
	}
	if _, err := s.Install("api", b.Digest, bytes.NewReader(b.Data), int64(len(b.Data)), nil, limits); !errors.Is(err, errContent) {
		t.Errorf("takes the archive of another: %v", err)
	}
	data := archivetest.TarGz(archivetest.Entry{Name: "web/a"}, archivetest.Entry{Name: "api/a"})
	if _, err := s.Install("web", archivetest.Digest(data), bytes.NewReader(data), int64(len(data)), nil, limits); !errors.Is(err, errContent) {
		t.Errorf("takes an archive with another folder: %v", err)
	}
	if got := tree(t, s.Target); len(got) != 2 {
		t.Errorf("leaves %v", got)
	}
}

// TestC19AttacksLeaveTheOld installs each attack over a version that runs.
func TestC19AttacksLeaveTheOld(t *testing.T) {
	s, old := &Slots{Target: filepath.Join(t.TempDir(), "in", "it")}, webBundle(t, "1.0.0")
	installed(t, s, old)
	before := tree(t, filepath.Dir(filepath.Dir(s.Target)))
	attacks := archivetest.Small()
	wrong := archivetest.TarGz(archivetest.Entry{Name: "web/machine.yaml", Body: "name: evil"}, archivetest.Entry{Name: "web/" + SumsFile})
	attacks = append(attacks, archivetest.Attack{Name: "files that are not as listed", Archive: wrong, Because: "not as it was signed"})
	for _, a := range attacks {
		_, err := s.Install("web", archivetest.Digest(a.Archive), bytes.NewReader(a.Archive), int64(len(a.Archive)), old.verify, DefaultLimits())
		if err == nil || !strings.Contains(err.Error(), a.Because) {
			t.Errorf("%s: error %v, want one that says %q", a.Name, err, a.Because)
		}
		if diff := cmp.Diff(before, tree(t, filepath.Dir(filepath.Dir(s.Target)))); diff != "" {
			t.Fatalf("%s (-before +after):\n%s", a.Name, diff)
		}
	}
	runs(t, s, old)
}

// TestC21SlotsAreMended damages what runs and its pointer.
func TestC21SlotsAreMended(t *testing.T) {
	evil := write(t, map[string]string{"machine.yaml": "name: evil\nversion: 6.6.6\n"})
	damages := map[string]func(s *Slots, dir string) error{
		"script":  func(_ *Slots, dir string) error { return os.WriteFile(dir+"/check.sh", []byte("evil"), 0o600) },
		"added":   func(_ *Slots, dir string) error { return os.WriteFile(dir+"/evil", nil, 0o600) },
		"gone":    func(_ *Slots, dir string) error { return os.RemoveAll(dir) },
		"a link":  func(_ *Slots, dir string) error { return errors.Join(os.RemoveAll(dir), os.Symlink(evil, dir)) },
		"a file":  func(_ *Slots, dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
		"pointer": func(s *Slots, _ string) error { return repoint(s, evil) },
		"pointer beside": func(s *Slots, dir string) error {
			return errors.Join(os.Rename(dir, s.Target+"/.slots/web-evil"), repoint(s, ".slots/web-evil"))
		},
		"pointer gone": func(s *Slots, _ string) error { return os.Remove(s.Target + "/web") },
	}
	for name, damage := range damages {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %t", name, plain), func(t *testing.T) {
				s, b := &Slots{Target: t.TempDir(), plain: plain}, webBundle(t, "1.0.0")
				if err := damage(s, installed(t, s, b)); err != nil {
					t.Fatal(err)
				}
				if dir, digest, ok := s.Current("web"); ok && digest == b.Digest && b.verify(dir) == nil && !strings.HasPrefix(name, "pointer") {
					t.Error("the damage is not seen")
				} else if _, ok := s.pointer("web"); ok && strings.HasPrefix(name, "pointer") {
					t.Error("the pointer is taken")
				}
				installed(t, s, b)
				runs(t, s, b)
				entries, err := os.ReadDir(s.Target + "/.slots")
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), ".") || err != nil {
						t.Errorf("%s is left over, %v", e.Name(), err)
					}
				}
			})
		}
	}
}

func repoint(s *Slots, to string) error {
	return errors.Join(os.Remove(s.Target+"/web"), os.Symlink(to, s.Target+"/web"))
}

// crashed is what a step of Slots panics with.
type crashed struct{ step string }

// upTo runs f until the n-th step and returns the step's name, "" where there are fewer.
func upTo(s *Slots, n int, f func()) (step string) {
	defer func() {
		s.crash = nil
		switch v := recover().(type) {
		case nil:
		case crashed:
			step = v.step
		default:
			panic(v)
		}
	}()
	s.crash = func(name string) {
		if n--; n == 0 {
			panic(crashed{name})
		}
	}
	f()
	return ""
}

// TestC21CrashBetweenAnyTwoSteps stops at every step of every kind of change: the old or the new is there, and going on ends where going
// through without a crash does.
func TestC21CrashBetweenAnyTwoSteps(t *testing.T) {
	a, b, c := webBundle(t, "1.0.0"), webBundle(t, "2.0.0"), webBundle(t, "3.0.0")
	change := func(next *Bundle) func(s *Slots) error {
		return func(s *Slots) error { _, err := install(s, next); return err }
	}
	foreign := func(s *Slots) error {
		return errors.Join(os.MkdirAll(s.Target+"/web", 0o700), os.WriteFile(s.Target+"/web/machine.yaml", []byte("name: web\nversion: 0.0.1\n"), 0o600))
	}
	tests := []struct {
		name   string
		before []func(s *Slots) error
		do     func(s *Slots) error
		old    *Bundle // nil is none that Slots has made
		new    *Bundle // nil is none
	}{
		{"first", nil, change(a), nil, a},
		{"second", []func(*Slots) error{change(a)}, change(b), a, b},
		{"third", []func(*Slots) error{change(a), change(b)}, change(c), b, c},
		{"back", []func(*Slots) error{change(a), change(b)}, change(a), b, a},
		{"foreign", []func(*Slots) error{foreign}, change(a), nil, a},
		{"remove", []func(*Slots) error{change(a), change(b)}, func(s *Slots) error { return s.Remove("web") }, b, nil},
	}
	for _, tt := range tests {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %t", tt.name, plain), func(t *testing.T) {
				start := func() *Slots {
					s := &Slots{Target: t.TempDir(), plain: plain}
					for _, f := range tt.before {
						if err := f(s); err != nil {
							t.Fatal(err)
						}
					}
					return s
				}
				through := start()
				if err := tt.do(through); err != nil {
					t.Fatal(err)
				}
				want, steps := tree(t, through.Target), 0
				for n := 1; ; n++ {
					s := start()
					step := upTo(s, n, func() { _ = tt.do(s) })
					if step == "" {
						break
					}
					steps++
					oldOrNew(t, s, step, tt.old, tt.new)
					if err := tt.do(s); err != nil {
						t.Fatalf("after %q: %v", step, err)
					}
					if diff := cmp.Diff(want, tree(t, s.Target)); diff != "" {
						t.Errorf("going on after %q (-want +got):\n%s", step, diff)
					}
				}
				if steps < 2 {
					t.Errorf("%d steps", steps)
				}
			})
		}
	}
}

func oldOrNew(t *testing.T, s *Slots, step string, before, after *Bundle) {
	t.Helper()
	dir, digest, ok := s.Current("web")
	if !ok {
		if before != nil && after != nil {
			t.Errorf("after %q there is neither the old nor the new", step)
		}
		return
	}
	for _, b := range []*Bundle{before, after} {
		if b != nil && b.Digest == digest {
			if err := b.verify(dir); err != nil {
				t.Errorf("after %q: %v", step, err)
			}
			return
		}
	}
	t.Errorf("after %q there is %s", step, digest)
}

// TestCrashWhileMending damages the present slot first: at any step the name is there, with the damaged or the mended one.
func TestCrashWhileMending(t *testing.T) {
	b := webBundle(t, "1.0.0")
	seen := map[bool]bool{}
	for n := 1; ; n++ {
		s := &Slots{Target: t.TempDir()}
		if err := os.WriteFile(installed(t, s, b)+"/check.sh", []byte("evil"), 0o600); err != nil {
			t.Fatal(err)
		}
		step := upTo(s, n, func() { _, _ = install(s, b) })
		dir, _, ok := s.Current("web")
		if !ok {
			t.Errorf("after %q nothing is there", step)
		}
		seen[b.verify(dir) == nil] = true
		installed(t, s, b)
		runs(t, s, b)
		if step == "" {
			break
		}
	}
	if !maps.Equal(seen, map[bool]bool{false: true, true: true}) {
		t.Errorf("mended or not at some step: %v", seen)
	}
}

// TestSlotsAtOnce has several install the same and others into one target.
func TestSlotsAtOnce(t *testing.T) {
	target := t.TempDir()
	bundles := []*Bundle{webBundle(t, "1.0.0"), webBundle(t, "2.0.0")}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			s := &Slots{Target: target}
			for range 5 {
				if _, err := install(s, bundles[i%2]); err != nil {
					t.Error(err)
				}
				if f, err := s.Temporary(); err != nil || f.Close() != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := &Slots{Target: target}
	_, digest, ok := s.Current("web")
	for _, b := range bundles {
		if b.Digest == digest {
			runs(t, s, b)
		}
	}
	if names, err := s.Names(); !ok || !slices.Equal(names, []string{"web"}) || err != nil {
		t.Errorf("%t, %v, %v", ok, names, err)
	}
}

func TestTemporaryHasNoName(t *testing.T) {
	s := &Slots{Target: t.TempDir()}
	f, err := s.Temporary()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 2<<20); err != nil {
		t.Error(err)
	}
	if got := tree(t, s.Target); len(got) != 2 {
		t.Errorf("there is %v", got)
	}
}
