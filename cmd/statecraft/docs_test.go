package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

const root = "../.."

// TestDocumentsAreCurrent holds docs/ against what the program would write; "make docs" writes it anew.
func TestDocumentsAreCurrent(t *testing.T) {
	for _, d := range documents() {
		made := filepath.Join(t.TempDir(), "made")
		if err := d.writeTo(made); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(read(t, filepath.Join(root, "docs", d.path)), read(t, made)); diff != "" {
			t.Errorf("docs/%s is stale, run make docs: -is +should be\n%s", d.path, diff)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestExamplesInDocumentsAreRight checks every manifest in the documents that people copy from. The examples of
// docs/diagnostics.md, which are meant to be wrong, have their own test beside the codes.
func TestExamplesInDocumentsAreRight(t *testing.T) {
	block := regexp.MustCompile("(?s)```yaml\n(format: [12]\n.*?)```")
	seen := 0
	for _, path := range markdown(t) {
		for _, example := range block.FindAllStringSubmatch(read(t, path), -1) {
			seen++
			if _, list := machine.Load(path, []byte(example[1]), catalogue()); list.HasErrors() {
				t.Errorf("an example in %s:\n%s\n%s", path, list.Error(), example[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no document has an example")
	}
}

// TestLinksInDocumentsLead follows the links between documents.
func TestLinksInDocumentsLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, path := range markdown(t) {
		for _, l := range link.FindAllStringSubmatch(read(t, path), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), l[1])); err != nil {
				t.Errorf("%s links to %s: %v", path, l[1], err)
			}
		}
	}
}

func markdown(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") && d.Name() != "diagnostics.md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(paths, filepath.Join(root, "README.md"))
}

func TestSchemaAdmitsWhatCheckAdmits(t *testing.T) {
	s := manifestSchema(t)
	manifests, err := filepath.Glob(filepath.Join(root, "testdata", "choria", "*.yaml"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no manifests to try: %v", err)
	}
	for _, template := range []string{"service", "schedule"} {
		manifests = append(manifests, filepath.Join("templates", template, "machine.yaml"))
	}
	for _, path := range manifests {
		src := read(t, path)
		// Types of later releases, and habits of Choria's that are warned about, are not the schema's.
		if _, list := machine.Load(path, []byte("format: 1\n"+strings.Replace(src, "format: 1\n", "", 1)), catalogue()); list.HasErrors() {
			continue
		}
		if err := s.Validate(parsed(t, path, src)); err != nil {
			t.Errorf("%s passes the check, the schema says: %v", path, err)
		}
	}
}

func TestSchemaRefusesMisspelledKeys(t *testing.T) {
	s := manifestSchema(t)
	const right = `{name: a, version: 1.0.0, initial_state: b, transitions: [{name: c, from: [b], destination: b}],
watchers: [{name: d, type: exec, interval: 1m, success_transition: c, properties: {command: e}}]}`
	if err := s.Validate(parsed(t, "right", right)); err != nil {
		t.Fatalf("the manifest that is right: %v", err)
	}
	for _, key := range []string{"name", "destination", "interval", "command"} {
		if s.Validate(parsed(t, key, strings.ReplaceAll(right, key+":", key+"x:"))) == nil {
			t.Errorf("the schema admits %sx", key)
		}
	}
}

func manifestSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var b strings.Builder
	if err := writeManifestSchema(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("manifest.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parsed reads YAML as the JSON that a schema is about.
func parsed(t *testing.T, path, src string) any {
	t.Helper()
	n, list := strict.Parse(path, []byte(src))
	if n == nil || list.HasErrors() {
		t.Fatal(list.Error())
	}
	b, err := json.Marshal(n.Any())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
