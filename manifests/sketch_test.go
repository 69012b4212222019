package manifests_test

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
)

var (
	arrow = regexp.MustCompile(`(?m)^  "(\w+)" -> "(\w+)" \[label="(.*?)"[,\]]`)
	box   = regexp.MustCompile(`(?m)^  "(\w+)" \[label="(.*?)", tooltip`)
	said  = regexp.MustCompile(`^(?:from (.*): )?(\w+)`)
)

// move is one event that leads from one state to another.
type move struct{ from, event, to string }

// sketched reads the moves of a machine from its sketch.
func sketched(d *machine.Definition) (moves []move, arrows int) {
	text := machine.DOT(d, machine.Graph{Sketch: true})
	for _, a := range arrow.FindAllStringSubmatch(text, -1) {
		arrows++
		for label := range strings.SplitSeq(a[3], `\n`) {
			moves = append(moves, move{a[1], said.FindStringSubmatch(label)[2], a[2]})
		}
	}
	for _, b := range box.FindAllStringSubmatch(text, -1) {
		for _, tag := range strings.Split(b[2], `\n`)[1:] {
			words := said.FindStringSubmatch(tag)
			if words[1] == "" {
				moves = append(moves, move{b[1], words[2], b[1]})
				continue
			}
			for _, from := range namedStates(d, words[1]) {
				moves = append(moves, move{from, words[2], b[1]})
			}
		}
	}
	return moves, arrows
}

// namedStates are the states that a tag names, by themselves or by a group.
func namedStates(d *machine.Definition, names string) (states []string) {
	for name := range strings.SplitSeq(names, ", ") {
		if g := slices.IndexFunc(d.Manifest.Groups, func(g machine.Group) bool { return g.Name == name }); g >= 0 {
			states = append(states, d.Manifest.Groups[g].States...)
			continue
		}
		if name == "every state" {
			for _, s := range d.States() {
				if spec, _ := d.State(s); spec.Final == "" {
					states = append(states, s)
				}
			}
			continue
		}
		states = append(states, name)
	}
	return states
}

// TestSketchesSayEveryMove reads the moves of every shipped machine from its sketch: none is left out, and none is made up.
func TestSketchesSayEveryMove(t *testing.T) {
	err := fs.WalkDir(manifests.Files, ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(file) != ".yaml" || strings.HasSuffix(file, "_test.yaml") {
			return err
		}
		src, err := fs.ReadFile(manifests.Files, file)
		if err != nil {
			return err
		}
		d := loadText(t, file, src)
		got, _ := sketched(d)
		var want []move
		for _, tr := range d.Manifest.Transitions {
			from := tr.From
			if slices.Contains(from, "*") {
				from = namedStates(d, "every state")
			}
			for _, state := range from {
				to := tr.Destination
				if tr.Stays {
					to = state
				}
				want = append(want, move{state, tr.Name, to})
			}
		}
		for _, m := range want {
			if !slices.Contains(got, m) {
				t.Errorf("%s: its sketch does not say %+v", file, m)
			}
		}
		for _, m := range got {
			if !slices.Contains(want, m) {
				t.Errorf("%s: its sketch says %+v", file, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSketchOfTheEnrollmentCanBeRead bounds its arrows: all that are drawn without are 196.
func TestSketchOfTheEnrollmentCanBeRead(t *testing.T) {
	src, err := manifests.Files.ReadFile("node/enrollment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := loadText(t, "node/enrollment.yaml", src)
	_, few := sketched(d)
	all := strings.Count(machine.DOT(d, machine.Graph{}), " -> ") - 1
	if few > 55 || all < 3*few {
		t.Errorf("its sketch has %d arrows in place of %d", few, all)
	}
	t.Logf("%d arrows in place of %d", few, all)
}
