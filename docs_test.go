package statecraft_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestDocumentedManifestsLoad loads every YAML block of the documents that is a manifest of its own.
func TestDocumentedManifestsLoad(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for _, file := range append(files, "README.md") {
		if file == "docs/diagnostics.md" {
			continue // shows what is wrong on purpose; machine/diag tests its examples
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(block, "\ninitial_state:") {
				continue
			}
			loaded++
			if _, problems := machine.Load(file, []byte(block), all.New(all.Services{})); problems.HasErrors() {
				t.Errorf("%s has a manifest that does not load:\n%v\n%s", file, problems, block)
			}
		}
	}
	if loaded == 0 {
		t.Error("no manifest found in the documents")
	}
}

// TestManifestKeysAreDocumented wants every key of a manifest in docs/manifest.md.
func TestManifestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	var want func(path string, keys []strict.FieldInfo)
	want = func(path string, keys []strict.FieldInfo) {
		for _, k := range keys {
			if !strings.Contains(string(text), "`"+k.Name+"`") {
				t.Errorf("docs/manifest.md does not name %s%s", path, k.Name)
			}
			want(path+k.Name+".", k.Fields)
		}
	}
	want("", machine.Keys())
}

// TestDocumentedVerbsExist wants every verb that a command in the documents names to be one of the command line reference.
func TestDocumentedVerbsExist(t *testing.T) {
	reference, err := os.ReadFile("docs/cli-reference.md")
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## ([a-z]+)( [a-z]+)?$`).FindAllStringSubmatch(string(reference), -1) {
		verbs[heading[1]] = true
	}
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	code, command := regexp.MustCompile("(?m)`[^`\n]+`|^    .*$"), regexp.MustCompile(`(?:^|[ /.(`+"`"+`])statecraft ([a-z]+)`)
	seen := 0
	for _, file := range append(files, "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range code.FindAllString(string(text), -1) {
			for _, verb := range command.FindAllStringSubmatch(span, -1) {
				if seen++; !verbs[verb[1]] {
					t.Errorf("%s: %q: there is no verb %q", file, strings.TrimSpace(span), verb[1])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d commands were found in the documents", seen)
	}
}

// TestDocumentedLinksLead wants every link of the documents to a file, or to a heading of one, to lead there.
func TestDocumentedLinksLead(t *testing.T) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob("docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	heading, link := regexp.MustCompile(`(?m)^#+ +(.*)$`), regexp.MustCompile(`\]\(([^()\s]*)\)`)
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	anchors := func(text string) map[string]bool {
		all := map[string]bool{}
		for _, h := range heading.FindAllStringSubmatch(text, -1) {
			all[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")] = true
		}
		return all
	}
	seen := 0
	for _, file := range append(append(files, records...), "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target, anchor, hasAnchor := strings.Cut(found[1], "#")
			if strings.Contains(target, ":") {
				continue // elsewhere
			}
			seen++
			there := string(text)
			if target != "" {
				path := filepath.Join(filepath.Dir(file), target)
				content, err := os.ReadFile(path)
				if info, failed := os.Stat(path); failed == nil && info.IsDir() {
					err = nil
				}
				if err != nil {
					t.Errorf("%s: the link to %s: %v", file, found[1], err)
					continue
				}
				there = string(content)
			}
			if hasAnchor && !anchors(there)[anchor] {
				t.Errorf("%s: %s has no heading for the link to %s", file, target, found[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d links were found in the documents", seen)
	}
}

// TestRecordsHaveNumbersOfTheirOwn wants each decision record to have another number, in its name and its heading.
func TestRecordsHaveNumbersOfTheirOwn(t *testing.T) {
	records, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil || len(records) == 0 {
		t.Fatal(len(records), err)
	}
	seen := map[string]string{}
	for _, file := range records {
		number, _, _ := strings.Cut(filepath.Base(file), "-")
		if other := seen[number]; other != "" {
			t.Errorf("%s and %s have the same number", other, file)
		}
		seen[number] = file
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "# " + strings.TrimLeft(number, "0") + ". "; !strings.HasPrefix(string(text), want) {
			t.Errorf("%s does not begin with %q", file, want)
		}
	}
}
