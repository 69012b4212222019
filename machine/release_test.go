package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine/diag"
)

func TestRequirements(t *testing.T) {
	for text, tt := range map[string]struct{ met, not []string }{
		">=0.2":         {[]string{"0.2", "0.2.0", "v0.2.1", "0.10", "1", "999999.0.0"}, []string{"0.1.9", "0", "", "(devel)", "0.2.0-rc.1", "0.2.0.1", " 0.2", "v0.0.0-20260101000000-abcdef"}},
		">= 1.2.3":      {[]string{"1.2.3", "1.3", "2"}, []string{"1.2.2", "1.2", "0.9"}},
		">=0.2, <1":     {[]string{"0.2", "0.99.99"}, []string{"1", "1.0.0", "0.1", "2.0"}},
		">=0.2,< 0.3.1": {[]string{"0.3", "0.2.9"}, []string{"0.3.1"}},
	} {
		r, err := ParseRequirement(text)
		if err != nil || r.String() != text {
			t.Errorf("%q: %q, %v", text, r, err)
		}
		for _, release := range slices.Concat(tt.met, tt.not) {
			if got := r.Met(release); got != slices.Contains(tt.met, release) {
				t.Errorf("%s is met by %q: %t", text, release, got)
			}
		}
	}
	for _, text := range []string{
		"", "0.2", "=0.2", ">0.2", "<1", "^0.2", "~1", ">=", ">=v1", ">=1.2.3.4", ">=1 <2", ">=2, <1", ">=1, <1", ">=0.2-rc.1", ">=1000000", ">=0.2, <1, <2", " >=1", "latest",
	} {
		if r, err := ParseRequirement(text); err == nil {
			t.Errorf("%q is read as %v", text, r)
		}
	}
	if none := (Requirement{}); !none.Met("") || !none.Met("(devel)") {
		t.Error("what is not required is not met")
	}
	if r, err := ParseRequirement(">=" + Release); err != nil || !r.Met(Release) {
		t.Errorf("the release %s: %v", Release, err)
	}
}

// TestH74AFormatRequiresWhatReadsIt holds that the format counts, whatever a manifest says itself.
func TestH74AFormatRequiresWhatReadsIt(t *testing.T) {
	for head, want := range map[string]string{
		"format: 1\n": "", "": "", "format: 2\n": ">=0.2", "format: 2\nrequires: '>=0.1, <999'\n": ">=0.2, <999", "format: 2\nrequires: '>= 0.2.0'\n": ">= 0.2.0",
		"format: 1\nrequires: '>=0.1'\n": ">=0.1",
	} {
		d, list := Load("web.yaml", []byte(head+"name: web\nversion: 1.0.0\ninitial_state: idle\ntransitions: [{name: done, from: [idle], destination: idle}]\n"+
			"watchers: [{name: check, type: exec, interval: 10s, success_transition: done, properties: {command: ./x}}]\n"), checkTypes())
		if d == nil || d.Manifest.Requires.String() != want || d.Manifest.Requires.Met("0.1.0") != (want == "" || want == ">=0.1") || !d.Manifest.Requires.Met(Release) {
			t.Errorf("%q: %v", head, list)
		}
	}
}

// A manifest that requires a later release is refused for that alone, with both versions, whatever else it says that is not known.
func TestH74AManifestThatRequiresALaterReleaseIsTooOldFirst(t *testing.T) {
	const body = `name: web
version: 1.0.0
initial_state: idle
sample: {every: 1h}
always: [{when: data.x > 1, event: done}]
transitions: [{name: done, from: [idle], destination: idle, unless: later}]
watchers: [{name: check, type: census, interval: 10s, success_transition: done}]
`
	for head, code := range map[string]string{
		"format: 1\nrequires: '>=0.9'\n": "SC119", "requires: '>=0.9'\n": "SC119", "format: 3\nrequires: '>=1.0, <2'\n": "SC119", "format: 1\nrequires: '>=0.0.1, <0.1'\n": "SC119",
	} {
		d, list := Load("web.yaml", []byte(head+body), checkTypes())
		if d != nil || len(list) != 1 || string(list[0].Code) != code || !TooOld(list) {
			t.Errorf("%q: %v", head, list)
			continue
		}
		required := strings.Split(head, "'")[1]
		missed, next := "too_old", "upgrade statecraft"
		if required == ">=0.0.1, <0.1" {
			missed, next = "too_new", "below 0.1"
		}
		for _, text := range []string{missed, Release, required} {
			if !strings.Contains(list[0].Message, text) {
				t.Errorf("it does not say %q: %s", text, list[0].Message)
			}
		}
		if !strings.Contains(list[0].Hint, next) {
			t.Errorf("the hint for %s is %q", required, list[0].Hint)
		}
	}
	for _, head := range []string{"format: 1\n", "format: 1\nrequires: '>=0.1'\n"} {
		if d, list := Load("web.yaml", []byte(head+body), checkTypes()); d != nil || len(list) < 4 || TooOld(list) {
			t.Errorf("what nobody requires a later release for is an error of the author: %v", list)
		}
	}
	for _, value := range []string{"'^0.2'", "[1]", "{a: 1}", "''", "0.2"} {
		d, list := Load("web.yaml", []byte(strings.Replace(everyKey, `requires: ">=0.1, <999"`, "requires: "+value, 1)), checkTypes())
		if d != nil || !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == "SC111" }) {
			t.Errorf("requires: %s: %v", value, list)
		}
	}
}
