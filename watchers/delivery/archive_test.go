package delivery

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

func TestArchive(t *testing.T) {
	a, one, two := newArchiveTest(t), bundleOf(t, "1.0.0"), bundleOf(t, "2.0.0")
	asked := 0
	w := a.web(one, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(one.Data)
	})
	dir := filepath.Join(a.slots.Target, ".slots", "web-"+one.Digest)
	want := map[string]any{"directory": dir, "digest": one.Digest}
	for _, outcome := range []string{outcomeDeployed, watchers.OutcomeUnchanged, watchers.OutcomeUnchanged} {
		r := a.check(w, watchers.Interval, outcome)
		if diff := cmp.Diff(want, r.Payload); diff != "" {
			t.Errorf("%s (-want +got):\n%s", outcome, diff)
		}
		if r.Quiet != (outcome == watchers.OutcomeUnchanged) || r.State["previous_outcome"] != outcome {
			t.Errorf("%s is announced as %v, quiet %t", outcome, r.State, r.Quiet)
		}
	}
	if asked != 1 {
		t.Errorf("the source is asked %d times", asked)
	}
	a.runs(one)
	a.check(a.web(two, sends(two.Data)), watchers.Entered, outcomeDeployed)
	a.runs(two)
	gone := a.watcher(a.spec(one, "https://127.0.0.1:1/gone"))
	a.check(gone, watchers.Entered, outcomeDeployed) // the way back needs no source
	a.runs(one)
}

// TestArchiveFollowsItsProperties has one watcher whose templates come to something else.
func TestArchiveFollowsItsProperties(t *testing.T) {
	a, one, two := newArchiveTest(t), bundleOf(t, "1.0.0"), bundleOf(t, "2.0.0")
	s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(map[string][]byte{"/" + one.Digest: one.Data, "/" + two.Digest: two.Data}[r.URL.Path])
	})
	w := a.watcher(&archiveSpec{
		Source: filled(t, `${ data.server }/${ input.machine.checksum }`), Checksum: filled(t, `${ upper(input.machine.checksum) }`),
		Creates: filled(t, `${ input.machine.name }`), Verify: filled(t, `${ input.machine.verify }`), CA: filled(t, `${ data.ca }`),
		VerifyChecksum: filled(t, `${ input.machine.verify_checksum }`), Target: filled(t, `${ data.target }`), Timeout: strict.Duration(archivePatience),
	})
	look := a.look(watchers.Poked)
	look.Data = map[string]any{"server": s.URL, "ca": ca, "target": a.slots.Target}
	for i, b := range []*registry.Bundle{one, one, two} {
		look.Input = map[string]any{"machine": map[string]any{
			"name": "web", "checksum": b.Digest, "verify": registry.SumsFile, "verify_checksum": b.SumsDigest,
		}}
		want := outcomeDeployed
		if i == 1 {
			want = watchers.OutcomeUnchanged
		}
		if r := w.Check(t.Context(), look); r.Outcome != want {
			t.Fatalf("step %d reports %s: %s, want %s", i, r.Outcome, r.Message, want)
		}
		a.runs(b)
	}
	for key, bad := range map[string]any{"name": "../web", "checksum": "abc", "verify": "../x", "verify_checksum": ""} {
		entry := map[string]any{"name": "web", "checksum": two.Digest, "verify": registry.SumsFile, "verify_checksum": two.SumsDigest}
		entry[key] = bad
		look.Input = map[string]any{"machine": entry}
		if r := w.Check(t.Context(), look); r.Outcome != "fail" {
			t.Errorf("%s %q reports %s: %s", key, bad, r.Outcome, r.Message)
		}
		a.runs(two)
	}
}

// archiveDamages are what somebody does to a payload at rest.
func archiveDamages() map[string]func(target, dir string) error {
	evil := func(path string) error { return os.WriteFile(path, []byte("evil"), 0o600) }
	return map[string]func(target, dir string) error{
		"script":        func(_, dir string) error { return evil(dir + "/check.sh") },
		"manifest":      func(_, dir string) error { return evil(dir + "/machine.yaml") },
		"checksum file": func(_, dir string) error { return evil(dir + "/SHA256SUMS") },
		"added file":    func(_, dir string) error { return evil(dir + "/lib/new") },
		"missing file":  func(_, dir string) error { return os.Remove(dir + "/lib/a") },
		"slot gone":     func(_, dir string) error { return os.RemoveAll(dir) },
		"pointer": func(target, _ string) error {
			return errors.Join(os.Remove(target+"/web"), os.Symlink("/etc", target+"/web"))
		},
		"pointer gone": func(target, _ string) error { return os.Remove(target + "/web") },
		"folder in its place": func(target, _ string) error {
			return errors.Join(os.Remove(target+"/web"), os.Mkdir(target+"/web", 0o700))
		},
		"pointer to other slot": func(target, _ string) error { return otherSlot(target) },
	}
}

func otherSlot(target string) error {
	slot := ".slots/web-" + strings.Repeat("0", 64)
	return errors.Join(os.Mkdir(filepath.Join(target, slot), 0o700), os.Remove(target+"/web"), os.Symlink(slot, target+"/web"))
}

// TestC21PayloadsAreDeployedAnew holds that tampering is reported once, and mended by the look that follows at once.
func TestC21PayloadsAreDeployedAnew(t *testing.T) {
	b := bundleOf(t, "1.0.0")
	for name, damage := range archiveDamages() {
		t.Run(name, func(t *testing.T) {
			a := newArchiveTest(t)
			w := a.web(b, sends(b.Data))
			dir := a.check(w, watchers.Started, outcomeDeployed).Payload["directory"].(string)
			a.check(w, watchers.Interval, watchers.OutcomeUnchanged)
			if len(w.Paths(nil)) < 5 {
				t.Errorf("watches %v", w.Paths(nil))
			}
			if err := damage(a.slots.Target, dir); err != nil {
				t.Fatal(err)
			}
			r := a.check(w, watchers.Poked, outcomeTampered)
			if r.Payload["digest"] != b.Digest {
				t.Errorf("tampered with payload %v", r.Payload)
			}
			if due := w.Plan(watchers.Planning{Moment: watchers.Looked, Elapsed: time.Hour, Interval: time.Hour}); due.After != 1 {
				t.Errorf("the next look is due in %v", due)
			}
			a.check(w, watchers.Interval, outcomeDeployed)
			a.runs(b)
			a.check(w, watchers.Interval, watchers.OutcomeUnchanged)
			if due := w.Plan(watchers.Planning{Moment: watchers.Looked, Elapsed: time.Hour, Interval: time.Hour}); due.After != time.Hour {
				t.Errorf("the next look is due in %v", due)
			}
		})
	}
}

// TestC21WhatWasDoneMeanwhile has a state that is entered, or a host that starts, after the tampering.
func TestC21WhatWasDoneMeanwhile(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	w := a.web(b, sends(b.Data))
	for _, moment := range []watchers.Moment{watchers.Started, watchers.Entered} {
		dir := a.check(w, moment, outcomeDeployed).Payload["directory"].(string)
		if err := os.WriteFile(dir+"/check.sh", []byte("evil"), 0o600); err != nil {
			t.Fatal(err)
		}
		w = a.watcher(w.spec)
	}
	if r := a.check(w, watchers.Started, outcomeDeployed); !strings.Contains(r.Message, `anew: not as it was signed: changed: "check.sh"`) {
		t.Errorf("says %q", r.Message)
	}
	a.runs(b)
}

// TestArchiveThatCannotBeMended keeps saying why.
func TestArchiveThatCannotBeMended(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	w := a.web(b, sends(b.Data))
	dir := a.check(w, watchers.Started, outcomeDeployed).Payload["directory"].(string)
	w.spec.Source = watchers.PlainText("https://127.0.0.1:1/gone")
	if err := os.WriteFile(dir+"/check.sh", []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.check(w, watchers.Poked, outcomeTampered)
	if r := a.check(w, watchers.Interval, "fail"); !strings.Contains(r.Message, "asking https://127.0.0.1:1/gone") {
		t.Errorf("says %q", r.Message)
	}
	if len(w.Paths(nil)) > 0 {
		t.Errorf("watches %v", w.Paths(nil))
	}
	a.check(w, watchers.Interval, outcomeTampered)
}

// TestArchiveTakesOver deploys where Choria has, without a checksum file.
func TestArchiveTakesOver(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	if err := os.MkdirAll(a.slots.Target+"/web", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.slots.Target+"/web/data", []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := a.web(b, sends(b.Data))
	w.spec.VerifyChecksum = watchers.PlainText("")
	dir := a.check(w, watchers.Started, outcomeDeployed).Payload["directory"].(string)
	if kept, err := os.ReadFile(a.slots.Target + "/.replaced/web-1/data"); string(kept) != "keep me" {
		t.Errorf("what was there is lost: %v", err)
	}
	if err := os.WriteFile(dir+"/check.sh", []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.check(w, watchers.Interval, watchers.OutcomeUnchanged) // nothing to verify it by
}

func TestArchivePlan(t *testing.T) {
	for _, tt := range []struct {
		moment   watchers.Moment
		told     bool
		interval time.Duration
		want     time.Duration
	}{
		{watchers.Started, false, time.Minute, 1}, {watchers.Entered, false, 0, 1}, {watchers.Looked, false, time.Minute, time.Minute},
		{watchers.Looked, false, 0, 0}, {watchers.Looked, true, 0, 1}, {watchers.Looked, true, time.Minute, 1}, {watchers.Jumped, true, 0, 1},
		{watchers.Jumped, false, time.Minute, 0},
	} {
		a := &archive{told: tt.told}
		if got := a.Plan(watchers.Planning{Moment: tt.moment, Elapsed: time.Hour, Interval: tt.interval}); got != (watchers.Due{After: tt.want}) {
			t.Errorf("%s, told %t, interval %s: %v, want %v", tt.moment, tt.told, tt.interval, got, tt.want)
		}
	}
	a := &archive{}
	a.Plan(watchers.Planning{Moment: watchers.Looked, Elapsed: time.Hour, Interval: time.Minute})
	if got := a.Plan(watchers.Planning{Moment: watchers.Jumped, Elapsed: time.Hour + 20*time.Second, Interval: time.Minute}); got.After != 40*time.Second {
		t.Errorf("after the clock was set it is due in %v", got)
	}
}

func TestArchiveWithoutServices(t *testing.T) {
	b := bundleOf(t, "1.0.0")
	a := &archiveTest{t: t, outside: t.TempDir()}
	a.fails(a.watcher(a.spec(b, "https://127.0.0.1:1/x")), "give target")
	a.services.Slots = func(string) (*registry.Slots, error) { return nil, errors.New("who are you") }
	a.fails(a.watcher(a.spec(b, "https://127.0.0.1:1/x")), "who are you")
}

// prepareArchive reads properties as a manifest has them.
func prepareArchive(t *testing.T, properties string) (*watchers.Prepared, diag.List) {
	t.Helper()
	n, list := strict.Parse("machine.yaml", []byte(properties))
	if list.HasErrors() {
		t.Fatal(list)
	}
	return archiveType(Services{}).Prepare(&machine.WatcherSpec{Name: "w", Type: "archive", Properties: n, Strict: true, Interval: time.Minute})
}

func TestArchiveProperties(t *testing.T) {
	sum := strings.Repeat("0", 64)
	head := "source: https://h/x.tgz\ncreates: web\nchecksum: " + sum + "\n"
	object := "source: object://BUNDLES/" + sum + "\ncreates: web\nchecksum: " + sum + "\n"
	for properties, want := range map[string][]diag.Code{
		head: nil, object: nil, head + "timeout: 10s\ngovernor: g\ngovernor_timeout: 1m\nusername: u\npassword: p\ninsecure: true\ntarget: /opt": nil,
		strings.Replace(head, "https", "http", 1):                                   {CodeArchiveSource},
		strings.Replace(head, "https", "http", 1) + "insecure: true":                nil,
		strings.Replace(head, "h/x", "u:p@h/x", 1):                                  {CodeArchiveSource},
		strings.Replace(head, "https://h/x.tgz", "'https://[::1'", 1):               {CodeArchiveSource},
		strings.Replace(object, "BUNDLES/", "", 1):                                  {CodeArchiveSource},
		strings.Replace(head, "https://h/x.tgz", `'{{ lookup "data.source" }}'`, 1): nil,
		head + "verify: S": {CodeArchiveTogether},
		head + "verify: ../S\nverify_checksum: " + sum:      {CodeArchivePath},
		head + "verify_checksum: x":                         {CodeArchiveDigest},
		head + "username: u":                                {CodeArchiveTogether},
		head + "target: here":                               {CodeArchivePath},
		head + "ca: here":                                   {CodeArchiveCA},
		object + "insecure: true\nusername: u\npassword: p": {CodeArchiveTogether, CodeArchiveTogether},
		"source: https://h/x\ncreates: web":                 {"SC021"},
	} {
		prepared, list := prepareArchive(t, properties)
		var got []diag.Code
		for _, d := range list {
			got = append(got, d.Code)
			if d.Hint == "" || d.Line == 0 && d.Code != "SC021" {
				t.Errorf("%s: %v has no hint or place", properties, d)
			}
		}
		if !slices.Equal(got, want) || (prepared == nil) != (len(want) > 0) {
			t.Errorf("%s: %v, want %v", properties, list, want)
		}
	}
	prepared, _ := prepareArchive(t, head+"governor: g\ngovernor_timeout: 1m")
	if prepared.Timeout != archiveTimeout || prepared.Governor != "g" || prepared.GovernorTimeout != time.Minute || prepared.Inline {
		t.Errorf("prepared %+v", prepared)
	}
	spec := prepared.New().(*archive).spec
	if spec.Timeout.Std() != 5*time.Second || spec.Connection != "fleet" {
		t.Errorf("defaults %+v", spec)
	}
}

// TestArchiveCodes holds the documented examples against the type.
func TestArchiveCodes(t *testing.T) {
	typ := archiveType(Services{})
	tested := 0
	for _, e := range diag.Entries() {
		if e.Code < "SC430" || e.Code > "SC439" {
			continue
		}
		tested++
		_, list := machine.Load("machine.yaml", []byte(e.Bad), archiveCatalogue{&typ.WatcherType})
		if len(list) != 1 || list[0].Code != e.Code {
			t.Errorf("%s: the bad example gives %v", e.Code, list)
		}
		if _, list := machine.Load("machine.yaml", []byte(e.Good), archiveCatalogue{&typ.WatcherType}); len(list) > 0 {
			t.Errorf("%s: the good example gives %v", e.Code, list)
		}
	}
	if tested != 6 {
		t.Errorf("%d codes are documented, want 6", tested)
	}
}

// archiveCatalogue has one type.
type archiveCatalogue struct{ typ *machine.WatcherType }

func (c archiveCatalogue) Find(name string) (*machine.WatcherType, bool) {
	return c.typ, name == c.typ.Name
}

func (c archiveCatalogue) Names() []string { return []string{c.typ.Name} }

func TestArchiveConforms(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel only, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tail := "/x.tgz\ncreates: web\nchecksum: " + strings.Repeat("0", 64) + "\ntimeout: 1m\n"
	target := t.TempDir()
	services := Services{Slots: func(string) (*registry.Slots, error) { return &registry.Slots{Target: target}, nil }}
	conformance.Run(t, conformance.Case{
		Type: archiveType(services), Properties: "source: https://127.0.0.1:1" + tail, Blocking: "source: https://" + silent.Addr().String() + tail,
	})
}
