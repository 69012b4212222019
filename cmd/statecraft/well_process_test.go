package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/scenario"
)

// kinds are what new can start from, as its flag says.
func kinds(t *testing.T) []string {
	t.Helper()
	field, found := reflect.TypeFor[newVerb]().FieldByName("Template")
	if !found {
		t.Fatal("new has no flag for what it starts from")
	}
	return strings.Split(field.Tag.Get("enum"), ",")
}

// offered makes the folders of all machines that the project offers to begin with: what new makes, the examples, and the manifests of the documents.
func offered(t *testing.T) (folders []string) {
	t.Helper()
	dir := t.TempDir()
	for _, kind := range kinds(t) {
		v := newVerb{Template: kind, Name: "first_" + kind}
		files, err := v.render()
		if err == nil {
			err = writeNew(filepath.Join(dir, v.Name), files)
		}
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, filepath.Join(dir, v.Name))
	}
	examples, err := filepath.Glob(root + "/manifests/examples/*")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples", err)
	}
	for _, example := range examples {
		folder := filepath.Join(dir, filepath.Base(example))
		if err := os.CopyFS(folder, os.DirFS(example)); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	return append(folders, inDocuments(t, dir)...)
}

// inDocuments writes each manifest of the documents into a folder, under a name of its own, with the scripts that it names.
func inDocuments(t *testing.T, dir string) (folders []string) {
	t.Helper()
	files, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	name, script := regexp.MustCompile(`(?m)^name: (\S+)$`), regexp.MustCompile(`command: \./([\w-]+)`)
	for _, file := range append(files, root+"/README.md") {
		if filepath.Base(file) == "diagnostics.md" {
			continue // shows what is wrong on purpose
		}
		for i, block := range strings.Split(read(t, file), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(block, "\ninitial_state:") || strings.Contains(block, "type: machines") {
				continue // no machine, or one that follows the lists of a Choria network
			}
			called := fmt.Sprintf("%s_%s_%d", name.FindStringSubmatch(block)[1], strings.ToLower(strings.TrimSuffix(filepath.Base(file), ".md")), i)
			folder := filepath.Join(dir, called)
			files := []newFile{{runtime.ManifestName, name.ReplaceAllString(block, "name: "+called), 0o644}}
			for _, s := range script.FindAllStringSubmatch(block, -1) {
				files = append(files, idle(s[1]))
			}
			if err := writeNew(folder, files); err != nil {
				t.Fatal(err)
			}
			folders = append(folders, folder)
		}
	}
	return folders
}

// idle is a script that does nothing, well.
func idle(name string) newFile { return newFile{name, "#!/bin/sh\nexit 0\n", 0o755} }

// guided makes a folder of each step of the guide to the language, and of the machine that two of them know.
func guided(t *testing.T) (folders []string) {
	t.Helper()
	steps, err := filepath.Glob(root + "/docs/language/*.yaml")
	if err != nil || len(steps) == 0 {
		t.Fatal("no steps", err)
	}
	dir := t.TempDir()
	for _, step := range steps {
		if strings.HasSuffix(step, scenario.Suffix) {
			continue
		}
		called, text := strings.TrimSuffix(filepath.Base(step), ".yaml"), read(t, step)
		if called != "backup" { // the others are one machine
			called = "step_" + called
			text = strings.Replace(text, "\nname: cache\n", "\nname: "+called+"\n", 1)
		}
		if err := writeNew(filepath.Join(dir, called), []newFile{{runtime.ManifestName, text, 0o644}, idle("below"), idle("clean-up")}); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, filepath.Join(dir, called))
	}
	return folders
}

// TestWhatIsOfferedPassesTheStrictestCheck, for a host and for a node, finds nothing in any machine that is there to begin with, but which events are an operator's, and runs
// the scenarios beside it.
func TestWhatIsOfferedPassesTheStrictestCheck(t *testing.T) {
	for _, folder := range offered(t) {
		name := filepath.Base(folder)
		for _, on := range []machine.Place{machine.OnHost, machine.OnNode} {
			findings, err := checkFiles([]string{filepath.Join(folder, runtime.ManifestName)}, on)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range findings {
				if d.Severity != diag.Note || d.Code != "SC412" {
					t.Errorf("%s on a %s: %s", name, on, d)
				}
			}
		}
		tests := filepath.Join(folder, "machine_test.yaml")
		if _, err := os.Stat(tests); err != nil {
			continue // of the documents
		}
		report, list, err := scenario.Run(t.Context(), tests, catalogue())
		if err != nil || len(list) > 0 {
			t.Errorf("%s: %v %v", name, err, list)
			continue
		}
		for _, r := range report.Tests {
			for _, f := range r.Failures {
				t.Errorf("%s: %s\n%s", name, f, strings.Join(r.Transcript, "\n"))
			}
		}
	}
}

// TestWhatIsOfferedIsWellWhenPublished publishes every machine that is there to begin with to a node of a live cell, and then its next version,
// which goes on in the state of the one before: all are well both times.
func TestWhatIsOfferedIsWellWhenPublished(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: what is offered, in a live cell; it takes half a minute, run it without -short")
	}
	c := newCell(t, 1)
	c.start(hostName(0))
	c.watched = c.operator()
	c.replicated(1)
	n := c.node("n1.example")
	folders := append(offered(t), guided(t)...)
	n.publish(folders)
	n.well(folders, "")
	for _, folder := range folders {
		raiseVersion(t, folder)
	}
	n.publish(folders)
	n.well(folders, ".1")
	// What a machine does writes nothing into its folder: that is signed, and would be taken for changed behind its back.
	before := n.files()
	eventually(t, clusterWithin, func(context.Context) error {
		r, err := n.shows("disk-report")
		if reports, _ := r.Data["reports"].(float64); reports < 1 {
			fired := exec.Command("statecraft", "fire", "disk-report", "morning", "--state", n.state).Run() // refused while it is at it by itself
			return errors.Join(err, fired, fmt.Errorf("it has %v reports", reports))
		}
		return n.is("disk-report", "waiting", "full")
	})
	if diff := cmp.Diff(before, n.files()); diff != "" {
		t.Errorf("the machines wrote into their folders: (-before +after)\n%s", diff)
	}
	statecraft(t, "fire", "service-keeper", "maintain", "--state", n.state) // stops its service
	eventually(t, clusterWithin, func(context.Context) error { return n.is("service-keeper", "maintenance") })
	n.end(syscall.SIGTERM)
}

// liveNode is a node whose agent is a process of its own.
type liveNode struct {
	*process
	c     *cluster
	state string
}

// node starts one that joins the cell. Where a service is asked for, it is well.
func (c *cluster) node(name string) *liveNode {
	c.t.Helper()
	programs, state := c.t.TempDir(), filepath.Join(c.t.TempDir(), "n")
	if err := os.WriteFile(filepath.Join(programs, "systemctl"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	path, err := exec.LookPath("statecraft")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { // the service of service-keeper, where it was not stopped
		pids, _ := filepath.Glob(filepath.Join(state, "state", "scratch", "service-keeper", "run", "pid"))
		for _, file := range pids {
			if pid, err := strconv.Atoi(strings.TrimSpace(read(c.t, file))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	c.t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	return &liveNode{c.processOf(path, "node", "run", "--join", filepath.Join(c.dir, "join.jwt"), "--identity", name, "--state", state), c, state}
}

func (n *liveNode) publish(folders []string) {
	n.c.t.Helper()
	eventually(n.c.t, clusterWithin, func(context.Context) error {
		_, err := n.c.ask(append([]string{"publish"}, folders...)...)
		return err
	})
}

// well waits until the node has decided on every machine, and fails where one is not well in a version that ends so.
func (n *liveNode) well(folders []string, version string) {
	n.c.t.Helper()
	for _, folder := range folders {
		name := filepath.Base(folder)
		eventually(n.c.t, clusterWithin, func(context.Context) error {
			bundle, err := n.shows("bundle:" + name)
			if err != nil {
				return err
			}
			good, _ := bundle.Data["good"].(map[string]any)
			switch {
			case bundle.State == "running" && strings.HasSuffix(fmt.Sprint(good["version"]), version):
				return nil
			case bundle.State == "held" || bundle.State == "stopped":
				n.c.t.Errorf("%s is %s: %v", name, bundle.State, bundle.Data["reason"])
				return nil
			}
			return fmt.Errorf("%s is %s: %v", name, bundle.State, bundle.Data["reason"])
		})
	}
}

func (n *liveNode) shows(machine string) (stateResult, error) {
	var r stateResult
	out, err := exec.Command("statecraft", "states", machine, "--state", n.state, "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	return r, err
}

// is reports an error unless a machine is in one of the states.
func (n *liveNode) is(machine string, states ...string) error {
	r, err := n.shows(machine)
	for _, s := range states {
		if r.State == s {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("%s is in %s", machine, r.State))
}

// files are the paths of all files of the machines that the node was given.
func (n *liveNode) files() (paths []string) {
	n.c.t.Helper()
	err := filepath.WalkDir(filepath.Join(n.state, "machines"), func(path string, e fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
	return paths
}

// raiseVersion makes the next version of a machine, which differs in its last number.
func raiseVersion(t *testing.T, folder string) {
	t.Helper()
	file := filepath.Join(folder, runtime.ManifestName)
	text := regexp.MustCompile(`(?m)^(version: \d+\.\d+)\.\d+$`).ReplaceAllString(read(t, file), "$1.1")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, list := machine.Load(file, []byte(text), catalogue()); d == nil || !strings.HasSuffix(d.Manifest.Version, ".1") {
		t.Fatalf("%s has no next version: %v", folder, list)
	}
}
