package builtin_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// site is a folder with machines of a site: a built-in one with changes, each a text and what takes its place.
func site(t *testing.T, name string, changes ...string) string {
	t.Helper()
	src, err := manifests.Files.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.NewReplacer(changes...).Replace(string(src))
	if text == string(src) && len(changes) > 0 {
		t.Fatalf("%s has none of %q", name, changes)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)+".yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func loaded(t *testing.T, folder, own string) builtin.Machines {
	t.Helper()
	m, err := builtin.Load(builtin.Set{Folder: folder, Overrides: own, Vouch: runtime.Unsigned}, all.New(all.Services{}))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// own is the folder that a machine comes from, "" for one that came with the program.
func own(t *testing.T, m builtin.Machines, name string) string {
	t.Helper()
	i := slices.IndexFunc(m.Deployments, func(d runtime.Deployment) bool { return d.Definition.Manifest.Name == name })
	if i < 0 {
		t.Fatalf("%s does not run", name)
	}
	return m.Deployments[i].Directory
}

func TestASitesMachineThatBreaksTheSetIsNotDeployed(t *testing.T) {
	dir := site(t, "node/health", "failing", "failed_badly")
	if err := os.WriteFile(filepath.Join(dir, "beside.yaml"), []byte("name: beside\nversion: 1.0.0\nformat: 1\ninitial_state: on\n"+
		"states: {on: {home: true}}\ntransitions: [{name: go, from: [on], destination: on}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := loaded(t, "node", dir)
	if from := own(t, m, "health"); from != "" {
		t.Errorf("the health of %s runs, which has no event that enrollment asks for", from)
	}
	if from := own(t, m, "beside"); from != dir {
		t.Errorf("the site's other machine runs from %q", from)
	}
	if len(m.Refused) != 1 || !m.Findings.HasErrors() {
		t.Fatalf("refused: %+v, found: %v", m.Refused, m.Findings)
	}
	var list diag.List
	if !errors.As(m.Refused[0].Err, &list) || list[0].Code != "SC502" || !strings.HasSuffix(list[0].File, "enrollment.yaml") {
		t.Errorf("refused for %v", m.Refused[0].Err)
	}
	why := m.Degraded()
	if len(why) != 1 || !strings.Contains(why[0], "the site's machine health ("+filepath.Join(dir, "health.yaml")+") is not deployed: ") ||
		!strings.Contains(why[0], `SC502 the machine health has no event "failing"`) {
		t.Errorf("the host says %q", why)
	}
	var log bytes.Buffer
	m.Report(slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "msg=machine_refused machine=health") {
		t.Errorf("the log says %s", &log)
	}
}

func TestASitesMachineThatFitsTakesThePlaceOfItsNamesake(t *testing.T) {
	dir := site(t, "node/health", "a disk is nearly full", "no room")
	m := loaded(t, "node", dir)
	if from := own(t, m, "health"); from != dir || len(m.Refused) > 0 || len(m.Deployments) != len(loaded(t, "node", "").Deployments) {
		t.Errorf("health runs from %q; refused: %+v", from, m.Refused)
	}
}

func TestDeploymentHasOneOrder(t *testing.T) {
	dir := site(t, "node/health", "a disk is nearly full", "no room")
	for _, folder := range []string{"node", "overlay"} {
		var names []string
		templates := 0
		for _, d := range loaded(t, folder, dir).Deployments {
			if d.Definition.Manifest.Kind == machine.KindTemplate {
				templates++
			}
			names = append(names, d.Definition.Manifest.Name)
		}
		if !slices.IsSorted(names[:templates]) || !slices.IsSorted(names[templates:]) {
			t.Errorf("%s is deployed as %q, of which %d are templates", folder, names, templates)
		}
	}
}

func TestASitesInvalidMachineKeepsAllFromStarting(t *testing.T) {
	dir := site(t, "node/health", "initial_state: healthy", "initial_state: well")
	_, err := builtin.Load(builtin.Set{Folder: "node", Overrides: dir, Vouch: runtime.Unsigned}, all.New(all.Services{}))
	var list diag.List
	if !errors.As(err, &list) {
		t.Errorf("got %v", err)
	}
}
