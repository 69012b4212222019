package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one measurement. All of its numbers but the ratio are of Unit.
type row struct {
	What        string   `json:"what"`
	Value       float64  `json:"value"`
	Unit        string   `json:"unit"`
	Reference   *float64 `json:"reference,omitempty"` // what the machine does at its best, measured in the same run
	ReferenceTo string   `json:"reference_to,omitempty"`
	Ratio       *float64 `json:"ratio,omitempty"` // Value by Reference
	ToReach     *float64 `json:"to_reach,omitempty"`
	Reached     *bool    `json:"reached,omitempty"`
}

func (r row) beside(what string, value float64) row {
	ratio := r.Value / value
	r.Reference, r.ReferenceTo, r.Ratio = &value, what, &ratio
	return r
}

func (r row) atMost(most float64) row   { return r.goal(most, r.Value <= most) }
func (r row) atLeast(least float64) row { return r.goal(least, r.Value >= least) }

func (r row) goal(value float64, reached bool) row {
	r.ToReach, r.Reached = &value, &reached
	return r
}

// around measures between two halves of its reference, whose mean is returned.
func around(reference, measure func() ([]float64, error)) (values, references []float64, err error) {
	before, err := reference()
	if err != nil {
		return nil, nil, err
	}
	if values, err = measure(); err != nil {
		return nil, nil, err
	}
	after, err := reference()
	for i := range after {
		references = append(references, (before[i]+after[i])/2)
	}
	return values, references, err
}

// results is one run.
type results struct {
	Machine surroundings `json:"machine"`
	Rows    []row        `json:"rows"`
}

// show prints the table and writes the same as JSON.
func (r *results) show(w io.Writer, file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("a figure is no number: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the numbers: %w", err)
	}
	fmt.Fprintf(w, "%s\nnumbers: %s\n\n", r.Machine, file)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "what\tmeasured\treference in the same run\tratio\tto reach")
	for _, one := range r.Rows {
		reference, ratio, goal := "-", "-", "-"
		if one.Reference != nil {
			reference, ratio = one.ReferenceTo+": "+number(*one.Reference, one.Unit), number(*one.Ratio, "")
		}
		if one.ToReach != nil {
			goal = number(*one.ToReach, one.Unit) + map[bool]string{false: " (missed)"}[*one.Reached]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", one.What, number(one.Value, one.Unit), reference, ratio, goal)
	}
	return table.Flush()
}

// number shows three digits, and all of those before the point.
func number(v float64, unit string) string {
	digits := 3
	for most := 1.0; digits > 0 && v >= most; most *= 10 {
		digits--
	}
	return fmt.Sprintf("%.*f %s", digits, v, unit)
}

// quantile returns the milliseconds below which percent of all lie.
func quantile(all []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return float64(sorted[len(sorted)*percent/100].Nanoseconds()) / 1e6
}
