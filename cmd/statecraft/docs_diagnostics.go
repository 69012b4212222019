package main

import (
	"fmt"
	"io"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// writeDiagnostics lists every code with its examples.
func writeDiagnostics(w io.Writer) error {
	generated(w, "Diagnostics")
	fmt.Fprint(w, `
What is wrong with a document is said as "file:line:col: code message", with the next step on the line below. An error
keeps a machine from running, a warning does not, and a note is there to be known. Codes keep their meaning.
"statecraft explain CODE" prints the same as this page.
`)
	for _, e := range diag.Entries() {
		fmt.Fprintf(w, "\n## %s: %s\n\n%s\n", e.Code, e.Title, e.Explanation)
		writeExample(w, "Found in", e.Bad)
		writeExample(w, "Mended", e.Good)
	}
	return nil
}

func writeExample(w io.Writer, heading, example string) {
	if example != "" {
		fmt.Fprintf(w, "\n%s:\n\n```yaml\n%s```\n", heading, example)
	}
}
