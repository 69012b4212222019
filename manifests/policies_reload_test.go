package manifests_test

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
)

const placing = `format: 1
name: placing
version: 1.0.0
initial_state: asking
states: {asking: {home: true}}
transitions:
  - {name: place, from: [asking], destination: asking}
watchers:
  - name: decide
    type: policy
    interval: 1h
    success_transition: place
    properties: {file: rules/allow.rego}
`

const allowing = "package statecraft\n\nallow := true\n"

// placingHost runs the machine placing of a folder and says how its machines were replaced.
func placingHost(t *testing.T, dir string) (h *runtime.Host, look func() []string, f *runtime.Follower) {
	t.Helper()
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	h, err = runtime.New(runtime.Config{Identity: "n1", Catalogue: all.New(all.Services{}), Clock: real, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; _ = real.Close() })
	var problems []string
	f = runtime.NewFollower(h, []string{dir}, runtime.Unsigned, func(found diag.List) {
		for _, d := range found {
			problems = append(problems, d.String())
		}
	})
	return h, func() []string {
		problems = nil
		f.Look(t.Context())
		return problems
	}, f
}

func TestAPolicyInAFileIsPartOfItsMachine(t *testing.T) {
	for _, manifest := range []string{"placing/machine.yaml", "placing.yaml"} {
		t.Run(manifest, func(t *testing.T) {
			dir := t.TempDir()
			place := filepath.Join(dir, filepath.Dir(manifest))
			put := func(name, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(filepath.Join(place, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(place, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			put(filepath.Base(manifest), placing)
			put("rules/allow.rego", allowing)
			h, look, f := placingHost(t, dir)
			if err := f.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			policy := func() string {
				d, _ := h.Definition("placing")
				return d.Files()[0].Digest.String()
			}
			first := policy()
			put("rules/allow_test.rego", "package statecraft\n\ntest_x if allow\n")
			put("rules/notes.rego", "this is no policy")
			if found := look(); len(found) > 0 {
				t.Errorf("files that are not read with it: %v", found)
			}
			put("rules/allow.rego", allowing+"\nbroken if ==\n")
			if found := look(); len(found) != 1 || !strings.Contains(found[0], filepath.Join(place, "rules/allow.rego")+":5:11: SC395 ") {
				t.Errorf("a broken policy: %v", found)
			}
			if policy() != first {
				t.Error("a broken policy runs")
			}
			put("rules/allow.rego", "package statecraft\n\nallow := false\n")
			if found := look(); len(found) > 0 {
				t.Error(found)
			}
			if policy() == first {
				t.Error("the machine of before runs with a policy that is there no more")
			}
		})
	}
}

func TestADeployedPolicyIsTheOneThatWasSigned(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("machine.yaml", strings.Replace(placing, "rules/allow.rego", "allow.rego", 1))
	put("allow.rego", allowing)
	h, _, _ := placingHost(t, dir)
	d := runtime.NewDeployer(runtime.DeployerConfig{Host: func() *runtime.Host { return h }, Reserved: func(string) bool { return false }})
	order := watchers.DeployOrder{Identity: "n1", Directory: dir, Name: "placing", Content: "one"}
	deploy := func(content, text, sum string) (bool, error) {
		put("allow.rego", text)
		order.Content, order.Files = content, map[string]string{"allow.rego": sum}
		done, err := d.Deploy(t.Context(), order)
		return done.Changed, err
	}
	sum := func(text string) string { return machine.Digest(sha256.Sum256([]byte(text))).String() }
	if changed, err := deploy("one", allowing, sum(allowing)); err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	other := "package statecraft\n\nallow := false\n"
	if _, err := deploy("two", other, sum(allowing)); err == nil || !strings.Contains(err.Error(), "allow.rego is not as it was signed") {
		t.Errorf("another policy than was signed: %v", err)
	}
	if changed, err := deploy("three", other, sum(other)); err != nil || !changed {
		t.Errorf("another policy under the same manifest: %v, %v", changed, err)
	}
}
