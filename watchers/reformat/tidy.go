package reformat

import (
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// tidy takes the blanks off the ends of lines, and has a text end in one newline, wherever that does not change what is read.
func tidy(text, file string) []byte {
	was, list := strict.Parse(file, []byte(text))
	if list.HasErrors() {
		return []byte(text)
	}
	means := func(changed string) bool {
		is, list := strict.Parse(file, []byte(changed))
		return !list.HasErrors() && reflect.DeepEqual(was.Any(), is.Any())
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t")
	}
	if all := strings.Join(lines, "\n"); all != text && means(all) {
		text = all
	}
	if ended := strings.TrimRight(text, "\n") + "\n"; ended != text && means(ended) {
		text = ended
	}
	return []byte(text)
}
