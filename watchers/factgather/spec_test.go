package factgather

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// decodeSpec reads properties as Type does.
func decodeSpec(t *testing.T, text string) (spec *Spec, list diag.List) {
	t.Helper()
	kind := watchers.Define(watchers.Type{}, func(s *Spec, _ *machine.WatcherSpec) *watchers.Prepared {
		spec = s
		return nil
	})
	_, list = kind.Prepare(&machine.WatcherSpec{Properties: node(t, text), Pos: diag.Position{Line: 1}, Strict: true})
	return spec, list
}

func mustSpec(t *testing.T, text string) *Spec {
	t.Helper()
	spec, list := decodeSpec(t, text)
	if len(list) > 0 {
		t.Fatal(list)
	}
	return spec
}

func TestSpecDefaults(t *testing.T) {
	spec := mustSpec(t, "sources: [{command: facter -y, key: facter}, {file: site.yaml, output_limit: 2MiB, timeout: 1m, interval: 1h}]\n")
	want := &Spec{Builtin: true, MaxBytes: "512KiB", maxBytes: 512 << 10, Sources: []Source{
		{Command: "facter -y", argv: []string{"facter", "-y"}, Key: "facter", Timeout: strict.Duration(30 * time.Second),
			OutputLimit: "1MiB", outputLimit: 1 << 20},
		{File: "site.yaml", Timeout: strict.Duration(time.Minute), OutputLimit: "2MiB", outputLimit: 2 << 20,
			Interval: strict.Duration(time.Hour)},
	}}
	if diff := cmp.Diff(want, spec, cmp.AllowUnexported(Spec{}, Source{})); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if got := spec.patience(); got != 70*time.Second {
		t.Errorf("patience = %s", got)
	}
	if diff := cmp.Diff([]string{"facter", "site_yaml"}, named(spec.Sources)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestNamesAreUnique(t *testing.T) {
	got := named([]Source{{File: "a/site.yaml"}, {File: "b/site.yaml"}, {Key: "builtin", File: "x"}, {argv: []string{"/usr/bin/facter", "-y"}}, {Directory: "/etc/facts.d"}})
	want := []string{"site_yaml", "site_yaml-2", "builtin-2", "facter", "facts_d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestSpecRefuses(t *testing.T) {
	tests := map[string]struct {
		text string
		code diag.Code
	}{
		"two in one source":  {"sources: [{file: a, command: b}]", CodeSource},
		"none in a source":   {"sources: [{key: a}]", CodeSource},
		"nothing to gather":  {"builtin: false", CodeSource},
		"escaping file":      {"file: ../facts.json", CodePath},
		"escaping source":    {"sources: [{file: a/../../b}]", CodePath},
		"escaping directory": {"sources: [{directory: ..}]", CodePath},
		"reserved key":       {"sources: [{file: a, key: statecraft.x}]", CodeKey},
		"empty name in key":  {"sources: [{file: a, key: a..b}]", CodeKey},
		"no size":            {"max_bytes: lots", CodeSize},
		"tiny size":          {"max_bytes: 10", CodeSize},
		"huge size":          {"sources: [{file: a, output_limit: 4000MiB}]", CodeSize},
		"open quote":         {"sources: [{command: \"facter 'x\"}]", CodeCommand},
		"empty command":      {"sources: [{command: \"''\"}]", CodeCommand},
		"unknown key":        {"fille: a", strict.CodeUnknownKey},
		"unknown source key": {"sources: [{file: a, keys: b}]", strict.CodeUnknownKey},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, list := decodeSpec(t, tt.text+"\n")
			if len(list) != 1 || list[0].Code != tt.code || list[0].Line != 1 {
				t.Fatalf("diagnostics = %v, want one %s with its place", list, tt.code)
			}
			if tt.code != strict.CodeUnknownKey && !strings.Contains(list[0].Hint, " ") {
				t.Errorf("hint = %q", list[0].Hint)
			}
		})
	}
}
