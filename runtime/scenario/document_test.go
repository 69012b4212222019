package scenario_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/scenario"
)

// TestTheDocumentationHolds runs the example of docs/scenarios.md and holds its numbers against the run.
func TestTheDocumentationHolds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	archive := ""
	for _, block := range regexp.MustCompile("(?s)```yaml\n# (\\S+)\n(.*?)```").FindAllStringSubmatch(string(doc), -1) {
		archive += "-- " + block[1] + " --\n" + block[2]
	}
	report, list := runIn(t, write(t, archive))
	if report == nil || len(list) > 0 {
		t.Fatal(list)
	}
	for _, result := range report.Tests {
		for _, f := range result.Failures {
			t.Errorf("%s: %s\n%s", result.Name, f, strings.Join(result.Transcript, "\n"))
		}
	}
	if c := report.Coverage; !c.Full() || !c.Guards.Full() || !c.Outcomes.Full() {
		t.Errorf("the example is not covered: %+v", c)
	}
	if line := coverageLine(report); !strings.Contains(string(doc), line) {
		t.Errorf("the document does not show %q", line)
	}
}

func coverageLine(r *scenario.Report) string {
	c := r.Coverage
	return fmt.Sprintf("%s %s: %d tests, states %d/%d, transitions %d/%d, guards %d/%d, outcomes %d/%d", r.Machine, r.Version, len(r.Tests),
		c.States.Seen, c.States.Total, c.Transitions.Seen, c.Transitions.Total, c.Guards.Seen, c.Guards.Total, c.Outcomes.Seen, c.Outcomes.Total)
}
