// Command bench measures the whole system on this machine, each thing beside a reference of the same run where there is one. It
// takes about three minutes, prints a table and writes the numbers as JSON.
//
// What was done is counted by the hosts, not by what drives them, and anything that cannot be read or does not add up ends
// the run without figures.
//
//	go run ./testdata/bench
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// bench is one run.
type bench struct {
	dir    string // on a disk, removed at the end
	binary string // the program, built for the run
}

// part measures one thing.
type part struct {
	name    string
	measure func(*bench) ([]row, error)
}

func parts() []part {
	return []part{
		{"synced", (*bench).synced}, {"turn", (*bench).turn}, {"rest", (*bench).rest}, {"agent", (*bench).agent},
		{"exec", (*bench).commands}, {"timeout", (*bench).timeouts}, {"stop", (*bench).stopping},
	}
}

func main() {
	only := flag.String("only", "", "measure this part only: synced, turn, rest, agent, exec, timeout or stop")
	file := flag.String("json", filepath.Join(os.TempDir(), "statecraft-bench.json"), "write the numbers to this file")
	child := flag.String("at-rest", "", "for the program itself: be the host of machines at rest, bare or watcher")
	dir := flag.String("state", "", "with -at-rest: the host's state folder; none keeps it in memory")
	flag.Parse()
	err := error(nil)
	if *child != "" {
		err = hostAtRest(*child, *dir)
	} else {
		err = run(*only, *file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(only, file string) (err error) {
	result := results{}
	if result.Machine, err = describe(); err != nil {
		return err
	}
	b := &bench{}
	if b.dir, err = os.MkdirTemp("", "statecraft-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := errors.Join(onDisk(b.dir), b.build()); err != nil {
		return err
	}
	for _, p := range parts() {
		if only != "" && p.name != only {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", p.name)
		rows, err := p.measure(b)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		result.Rows = append(result.Rows, rows...)
	}
	if len(result.Rows) == 0 {
		return fmt.Errorf("there is no part %q; see -help", only)
	}
	if result.Machine.LoadAfter, err = first("/proc/loadavg"); err != nil {
		return err
	}
	return result.show(os.Stdout, file)
}

func (b *bench) build() error {
	b.binary = filepath.Join(b.dir, "statecraft")
	build := exec.Command("go", "build", "-trimpath", "-o", b.binary, "./cmd/statecraft")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the program (run this in the project's folder): %w", err)
	}
	return nil
}
