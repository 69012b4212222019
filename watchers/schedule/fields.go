package schedule

import (
	"fmt"
	"strconv"
	"strings"
)

// field is one of the five of a cron expression.
type field struct {
	name    string
	size    int    // values that there are
	within  string // what it is part of
	divides bool   // whether a step over all of them is meant to be even
}

func cronFields() [5]field {
	return [5]field{
		{"minute", 60, "hour", true}, {"hour", 24, "day", true}, {"day", 31, "month", false}, {"month", 12, "year", false}, {"day", 7, "week", false},
	}
}

// oddities says what of five cron fields the library takes and means otherwise than it looks: faults, which nobody can have meant, and
// notes. Other texts have none.
func oddities(text string) (faults, notes []string) {
	fields := strings.Fields(text)
	if len(fields) > 0 && strings.Contains(fields[0], "TZ=") {
		fields = fields[1:]
	}
	known := cronFields()
	if len(fields) != len(known) {
		return nil, nil
	}
	for i, f := range known {
		for item := range strings.SplitSeq(fields[i], ",") {
			of, step, stepped := strings.Cut(item, "/")
			n, err := strconv.Atoi(step)
			switch {
			case item == "":
				faults = append(faults, fmt.Sprintf("%q has a comma with nothing beside it", fields[i]))
			case !stepped || err != nil || of != "*" && of != "?":
			case n >= f.size:
				faults = append(faults, fmt.Sprintf("a step of %d is not shorter than the %s, which has %d: it comes at its first %s only", n, f.within, f.size, f.name))
			case n > 0 && f.divides && f.size%n != 0:
				notes = append(notes, uneven(f, n))
			}
		}
	}
	return faults, notes
}

// uneven says when a step comes that does not divide its field.
func uneven(f field, n int) string {
	var at []string
	for v := 0; v < f.size; v += n {
		at = append(at, strconv.Itoa(v))
	}
	return fmt.Sprintf("a step of %d does not divide the %s: it comes at %s %s, each %s anew", n, f.within, f.name, strings.Join(at, ", "), f.within)
}
