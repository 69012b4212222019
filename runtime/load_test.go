package runtime_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// fitting writes a machine with an event, that may be fired by an event of another machine.
func fitting(name, event, subscribe string) string {
	if subscribe != "" {
		subscribe = ", subscribe: [" + subscribe + "]"
	}
	return fmt.Sprintf("format: 1\nname: %s\nversion: 1.0.0\ninitial_state: on\nstates: {on: {home: true}}\n"+
		"transitions: [{name: %s, from: [on], destination: on%s}]\n", name, event, subscribe)
}

// offers are machines of files m1.yaml, m2.yaml and so on.
func offers(texts ...string) []runtime.Offer {
	var all []runtime.Offer
	for i, text := range texts {
		all = append(all, runtime.Offer{Text: machine.Text{File: fmt.Sprintf("m%d.yaml", i+1), Source: []byte(text)}})
	}
	return all
}

// grave are the findings that are more than notes.
func grave(list diag.List) string {
	return slices.DeleteFunc(slices.Clone(list), func(d diag.Diagnostic) bool { return d.Severity == diag.Note }).Error()
}

func TestLoadHoldsMachinesAgainstEachOther(t *testing.T) {
	health := fitting("health", "failing", "")
	enrollment := fitting("enrollment", "heal", "{machine_name: health, event: failing}")
	for name, test := range map[string]struct {
		running, offers []string
		ready           []string // by file
		refused         []string // by file, with a part of why
		found           string   // a part of all findings
	}{
		"all fit":        {nil, []string{enrollment, health}, []string{"m1.yaml", "m2.yaml"}, nil, ""},
		"order by name":  {nil, []string{fitting("b", "go", ""), fitting("a", "go", "")}, []string{"m2.yaml", "m1.yaml"}, nil, ""},
		"a template":     {nil, []string{fitting("a", "go", ""), strings.Replace(fitting("z", "go", ""), "name: z", "name: z\nkind: template", 1)}, []string{"m2.yaml", "m1.yaml"}, nil, ""},
		"who asks":       {nil, []string{enrollment, fitting("health", "failed", "")}, []string{"m2.yaml"}, []string{"m1.yaml: SC502"}, `no event "failing"`},
		"what runs asks": {[]string{enrollment, health}, []string{fitting("health", "failed", ""), fitting("other", "go", "")}, []string{"m2.yaml"}, []string{"m1.yaml: SC502"}, `no event "failing"`},
		"together": {[]string{enrollment, health}, []string{fitting("health", "failed", ""), fitting("enrollment", "heal", "{machine_name: health, event: failed}")},
			[]string{"m2.yaml", "m1.yaml"}, nil, ""},
		"taken back in": {[]string{enrollment, health}, []string{enrollment, fitting("health", "failed", "")}, []string{"m1.yaml"}, []string{"m2.yaml: SC502"}, ""},
		"a name twice":  {nil, []string{health, health}, []string{"m1.yaml"}, []string{"m2.yaml: SC504"}, "SC504"},
		"broken":        {nil, []string{health, "format: 1\n"}, []string{"m1.yaml"}, []string{"m2.yaml: SC"}, "m2.yaml"},
		"nobody there":  {nil, []string{enrollment}, []string{"m1.yaml"}, nil, "SC501"},
		"its own fault": {[]string{fitting("a", "go", "{machine_name: b, event: none}"), fitting("b", "go", "")}, []string{health}, []string{"m1.yaml"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var running []*machine.Definition
			for _, text := range test.running {
				running = append(running, load(t, newFakes(), text))
			}
			got := runtime.Load(offers(test.offers...), running, newFakes())
			var ready, refused []string
			for _, d := range got.Ready {
				ready = append(ready, d.Definition.Manifest.File)
			}
			for _, r := range got.Refused {
				refused = append(refused, r.File+": "+r.Err.Error())
			}
			if diff := cmp.Diff(test.ready, ready); diff != "" {
				t.Errorf("what may run (-want +got):\n%s", diff)
			}
			fits := func(want, got string) bool {
				file, code, _ := strings.Cut(want, ": ")
				return strings.HasPrefix(got, file+": ") && strings.Contains(got, code)
			}
			if !slices.EqualFunc(test.refused, refused, fits) {
				t.Errorf("refused: %q, want %q", refused, test.refused)
			}
			if found := grave(got.Findings); !strings.Contains(found, test.found) || test.found == "" && len(test.refused) == 0 && found != "" {
				t.Errorf("found: %s", found)
			}
		})
	}
}

func TestLoadAsksWhoVouchesForWhatIsValidOnly(t *testing.T) {
	asked, no := []string{}, errors.New("nobody has signed it")
	given := offers(fitting("a", "go", ""), "format: 1\n", fitting("c", "go", ""))
	for i := range given {
		given[i].Vouch = func(d *runtime.Deployment) error {
			asked = append(asked, d.Definition.Manifest.Name)
			if d.Definition.Manifest.Name == "c" {
				return no
			}
			return runtime.Unsigned(d)
		}
	}
	got := runtime.Load(given, nil, newFakes())
	if diff := cmp.Diff([]string{"a", "c"}, asked); diff != "" {
		t.Error(diff)
	}
	if len(got.Ready) != 1 || got.Ready[0].Origin.Kind != runtime.OriginUnsigned || len(got.Refused) != 2 || !errors.Is(got.Refused[1].Err, no) {
		t.Errorf("%+v", got)
	}
	if got := runtime.Load(given[2:], nil, newFakes()); !errors.Is(got.Err(), no) {
		t.Errorf("as a whole: %v", got.Err())
	}
}

// A machine that does not fit those that run leaves what runs, and comes when the others have changed.
func TestReloadTakesWhatFitsTogether(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) { t.Helper(); writeFile(t, dir+"/"+name+".yaml", text) }
	put("health", fitting("health", "failing", ""))
	put("enrollment", fitting("enrollment", "heal", "{machine_name: health, event: failing}"))
	h := runHost(t, runtime.Config{Catalogue: newFakes()})
	found := ""
	f := runtime.NewFollower(h.Host, []string{dir}, runtime.Unsigned, func(list diag.List) { found = grave(list) })
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := func() string {
		d, _ := h.Definition("health")
		return d.Manifest.Transitions[0].Name
	}
	put("health", fitting("health", "not_well", ""))
	f.Look(t.Context())
	if events() != "failing" || !strings.Contains(found, `SC502 the machine health has no event "failing"`) {
		t.Errorf("health with another event runs: %s; found %s", events(), found)
	}
	put("third", fitting("third", "go", ""))
	f.Look(t.Context())
	if events() != "failing" || found != "" {
		t.Errorf("after another machine came: %s; found again %s", events(), found)
	}
	put("enrollment", fitting("enrollment", "heal", "{machine_name: health, event: not_well}"))
	f.Look(t.Context())
	if events() != "not_well" || found != "" {
		t.Errorf("when the other has changed, too: %s; found %s", events(), found)
	}
}

func TestDeployedMachinesFitThoseOfTheHost(t *testing.T) {
	h, d := deploying(t, newFakes())
	if err := h.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), fitting("health", "failing", ""))}); err != nil {
		t.Fatal(err)
	}
	deploy := func(name, text string) error {
		dir := t.TempDir()
		writeFile(t, dir+"/machine.yaml", text)
		_, err := d.Deploy(t.Context(), watchers.DeployOrder{Identity: "n1.example.net", Directory: dir, Name: name})
		return err
	}
	var findings diag.List
	if err := deploy("web", fitting("web", "go", "{machine_name: health, event: failed}")); !errors.As(err, &findings) || findings[0].Code != "SC502" {
		t.Errorf("it subscribes to what the host's machine does not have: %v", err)
	}
	if _, runs := d.Standing("n1.example.net", "web"); runs {
		t.Error("it runs all the same")
	}
	if err := deploy("web", fitting("web", "go", "{machine_name: health, event: failing}")); err != nil {
		t.Error(err)
	}
	// Of what is published together one comes before the other.
	if err := deploy("first", fitting("first", "go", "{machine_name: web, event: later}")); err != nil {
		t.Error(err)
	}
	if err := deploy("web", fitting("web", "later", "")); err != nil {
		t.Error(err)
	}
}
