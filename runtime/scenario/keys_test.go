package scenario

import (
	"os"
	"regexp"
	"testing"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// TestEveryKeyIsDocumented holds that the reference names every key of a file.
func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []any{document{}, test{}, stepKeys{}, given{}, fireKeys{}, expectation{}, deadlineKeys{}} {
		for _, f := range strict.Fields(keys) {
			if !regexp.MustCompile("`[^`\n]*\\b" + f.Name + "\\b[^`\n]*`").Match(doc) {
				t.Errorf("docs/scenarios.md does not mention the key %s of %T", f.Name, keys)
			}
		}
	}
}
