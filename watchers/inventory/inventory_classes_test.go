package inventory

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestClassesAreReadFromFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		file, text string
		want       []string
		wrong      string
	}{
		"lines":                 {"classes.txt", "settings\n\n# a comment\r\n profile::web \r\n", []string{"settings", "profile::web"}, ""},
		"JSON":                  {"tags.json", `["a", "b c"]`, []string{"a", "b c"}, ""},
		"YAML":                  {"tags.yaml", "- a\n- b\n", []string{"a", "b"}, ""},
		"nothing":               {"classes.txt", "", nil, ""},
		"no list":               {"tags.json", `{"a": 1}`, nil, "cannot unmarshal object"},
		"no texts":              {"tags.yml", "- {a: 1}\n", nil, "expected a string"},
		"aliases without end":   {"tags.yaml", "- &a [x]\n- *a\n", nil, "alias *a is not allowed"},
		"a control character":   {"classes.txt", "a\x1b[2J\n", nil, "is no class"},
		"no UTF-8":              {"classes.txt", "a\xff\n", nil, "is no class"},
		"an empty name":         {"tags.json", `[""]`, nil, "name 1,"},
		"a name without end":    {"classes.txt", strings.Repeat("x", 257), nil, "is no class"},
		"names without end":     {"classes.txt", strings.Repeat("x\n", maxClasses+1), nil, "more than 4096 names"},
		"a file without an end": {"classes.txt", strings.Repeat("\n", maxClassFile+1), nil, "more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tt.file)
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readClasses(path)
			if (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
				t.Fatalf("the error is %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, err := readClasses(t.TempDir()); err == nil {
		t.Errorf("a folder has the classes %v", got)
	}
}

// TestClassesThatCannotBeReadStay changes files behind the watcher's back, and makes them unreadable.
func TestClassesThatCannotBeReadStay(t *testing.T) {
	dir := t.TempDir()
	s := &surveyor{spec: &inventorySpec{FactLimit: 1000, Classes: []string{"own"}, ClassesFiles: []string{"classes.txt", filepath.Join(dir, "tags.json")}}, documents: &archive{}}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := &watchers.Look{Directory: dir, Facts: facts(t, map[string]any{"os": "a"}), Log: slog.New(slog.DiscardHandler)}
	step := func(outcome, text string, want ...any) {
		t.Helper()
		r := s.Check(t.Context(), look)
		if r.Outcome != outcome || !strings.Contains(r.Message, text) {
			t.Fatalf("outcome %s: %s", r.Outcome, r.Message)
		}
		if diff := cmp.Diff(want, unpack(t, r.Payload["document"].(string))["classes"]); diff != "" {
			t.Error(diff)
		}
	}
	step(outcomeChanged, "an inventory", "own")
	write("classes.txt", "web\nown\n")
	write("tags.json", `["web", "x"]`)
	step(outcomeChanged, "an inventory", "own", "web", "x")
	write("tags.json", `["web", `)
	step(outcomeUnchanged, "with classes as they were: reading classes of "+filepath.Join(dir, "tags.json"), "own", "web", "x")
	if err := os.Remove(filepath.Join(dir, "tags.json")); err != nil {
		t.Fatal(err)
	}
	step(outcomeChanged, "an inventory", "own", "web")
}

func TestInventoryPropertiesThatCannotBe(t *testing.T) {
	for properties, want := range map[string]string{
		`classes: [a, "b\nc"]`:           `SC450 classes: "b\nc" is no name`,
		`agents: [a, b, a]`:              "SC450 agents: a is there twice",
		`collectives: [""]`:              `SC450 collectives: "" is no name`,
		`classes_files: [a, ../classes]`: `SC451 classes_files: "../classes" leaves the machine's directory`,
	} {
		n, list := strict.Parse("test.yaml", []byte(properties))
		if list.HasErrors() {
			t.Fatal(list)
		}
		_, list = inventoryType(Services{}).Prepare(&machine.WatcherSpec{Name: "w", Type: "inventory", Strict: true, Properties: n})
		if len(list) != 1 || string(list[0].Code)+" "+list[0].Message != want || list[0].Line != 1 || list[0].Hint == "" {
			t.Errorf("%s: %+v", properties, list)
		}
	}
}

// TestWhatIsKnownIsNotSaid looks again and again with a digest that is known.
func TestWhatIsKnownIsNotSaid(t *testing.T) {
	known, err := watchers.CompileText("${ data.digest ?? '' }")
	if err != nil {
		t.Fatal(err)
	}
	s := &surveyor{spec: &inventorySpec{FactLimit: 1000, Known: known}, documents: &archive{}}
	look := &watchers.Look{Facts: facts(t, map[string]any{"os": "a"}), Log: slog.New(slog.DiscardHandler), Data: map[string]any{"digest": ""}}
	for _, tt := range []struct{ os, outcome string }{{"a", outcomeChanged}, {"a", ""}, {"b", outcomeChanged}, {"b", ""}, {"a", outcomeChanged}} {
		look.Facts = facts(t, map[string]any{"os": tt.os})
		r := s.Check(t.Context(), look)
		if r.Outcome != tt.outcome {
			t.Errorf("%s: outcome %q", tt.os, r.Outcome)
		}
		if r.Outcome != "" {
			look.Data = map[string]any{"digest": r.Payload["digest"]}
		}
	}
	look.Data = map[string]any{"digest": ""} // it was not published
	if r := s.Check(t.Context(), look); r.Outcome != outcomeUnchanged {
		t.Errorf("outcome %q", r.Outcome)
	}
}

func FuzzClasses(f *testing.F) {
	for _, seed := range []string{"a\nb", `["a"]`, "- a\n- &x b\n- *x\n", "\x00", "[[["} {
		for _, ending := range []string{".txt", ".json", ".yaml"} {
			f.Add(ending, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, ending string, text []byte) {
		names, err := parseClasses(ending, text)
		if err != nil && names != nil || len(names) > maxClasses {
			t.Errorf("%d names and %v", len(names), err)
		}
		for _, name := range names {
			if !className(name) {
				t.Errorf("%q is a class", name)
			}
		}
	})
}
