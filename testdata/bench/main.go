// Command bench measures the whole system on this machine: an agent as a process, a host of 100,000 machines, commands
// and their time-outs, stopping while machines flap, and synced transitions, each beside a reference of the same run
// where there is one. It takes about two minutes and prints a table; with -json one object a row.
//
//	go run ./testdata/bench
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
)

// row is one measurement.
type row struct {
	What      string `json:"what"`
	Reached   string `json:"reached"`
	Reference string `json:"reference,omitempty"` // measured in the same run
	ToReach   string `json:"to_reach"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == idleChild {
		idleMachines()
		return
	}
	asJSON := flag.Bool("json", false, "print one JSON object a row")
	flag.Parse()
	if err := run(*asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(asJSON bool) (err error) {
	dir, err := os.MkdirTemp("", "statecraft-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "statecraft")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/statecraft")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the program: %w", err)
	}
	var rows []row
	for _, part := range []func(dir, binary string) ([]row, error){
		durable, agent, idle, commands, timeouts, stopping,
	} {
		fmt.Fprint(os.Stderr, ".")
		got, err := part(dir, binary)
		if err != nil {
			return err
		}
		rows = append(rows, got...)
	}
	fmt.Fprintln(os.Stderr)
	return show(rows, asJSON)
}

func show(rows []row, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\treached\treference\tto reach")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.What, r.Reached, r.Reference, r.ToReach)
	}
	return w.Flush()
}
