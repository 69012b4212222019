// Command bench measures the whole system on this machine, each thing beside a reference of the same run where there is one. It
// takes about twenty minutes, prints a table and writes the numbers as JSON.
//
// What was done is counted by the hosts, not by what drives them, and anything that cannot be read or does not add up ends
// the run without figures.
//
//	go run ./testdata/bench
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// bench is one run.
type bench struct {
	ctx    context.Context // ends where the run is interrupted
	dir    string          // on a disk, removed at the end
	binary string          // the program, built for the run
	most   int             // how many nodes a crowd may have; 0 is as many as it should
	rounds int             // of failover
	full   bool            // measure the burst with all of its nodes
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
		{"enrollment", (*bench).enrollment}, {"helper", (*bench).helper}, {"burst", (*bench).burst},
		{"joining", (*bench).joining}, {"revocation", (*bench).revocation}, {"delivery", (*bench).delivery},
		{"inventory", (*bench).inventory}, {"check", (*bench).checks}, {"quiet", (*bench).quiet}, {"machines", (*bench).machines}, {"history", (*bench).history},
		{"failover", (*bench).failover},
		{"hostile", (*bench).hostile}, {"flood", (*bench).flood},
	}
}

func main() {
	b := &bench{}
	only := flag.String("only", "", "measure these parts only, with commas between them: "+names(parts()))
	file := flag.String("json", filepath.Join(os.TempDir(), "statecraft-bench.json"), "write the numbers to this file")
	flag.IntVar(&b.most, "nodes", 0, "let no more nodes than this join at once: a trial, whose figures say nothing")
	flag.BoolVar(&b.full, "full", false, "let 5,000 nodes join in the part burst, instead of 2,000")
	flag.IntVar(&b.rounds, "rounds", 3, "kill, pause and cut off the leader of each stream so often in the part failover")
	child := flag.String("at-rest", "", "for the program itself: be the host of machines at rest, bare or watcher")
	dir := flag.String("state", "", "with -at-rest: the host's state folder; none keeps it in memory")
	flag.Parse()
	err := error(nil)
	switch {
	case flag.NArg() > 0:
		err = fmt.Errorf("%q is no flag; -only NAME measures one part", flag.Arg(0))
	case b.most < 0:
		err = fmt.Errorf("-nodes %d is no number of nodes", b.most)
	case b.rounds < 1:
		err = fmt.Errorf("-rounds %d is no number of rounds", b.rounds)
	case *child != "":
		err = hostAtRest(*child, *dir)
	default:
		err = b.run(*only, *file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// chosen are the parts that were asked for, in their own order.
func chosen(only string) ([]part, error) {
	all := parts()
	if only == "" {
		return all, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(p part) bool { return p.name == name }) {
			return nil, fmt.Errorf("there is no part %q; there are %s", name, names(all))
		}
	}
	return slices.DeleteFunc(all, func(p part) bool { return !slices.Contains(wanted, p.name) }), nil
}

func names(of []part) string {
	var all []string
	for _, p := range of {
		all = append(all, p.name)
	}
	return strings.Join(all, ", ")
}

// run measures. An interrupt ends the processes that run and removes what was made; another one ends the bench at once.
func (b *bench) run(only, file string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	b.ctx = ctx
	wanted, err := chosen(only)
	if err != nil {
		return err
	}
	result := results{}
	if result.Machine, err = describe(); err != nil {
		return err
	}
	result.Rows, err = b.measure(wanted)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if result.Machine.LoadAfter, err = first("/proc/loadavg"); err != nil {
		return err
	}
	return result.show(os.Stdout, file)
}

// measure measures parts in a folder of their own, which is gone when it returns.
func (b *bench) measure(parts []part) (all []row, err error) {
	if b.dir, err = os.MkdirTemp("", "statecraft-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := onDisk(b.dir); err != nil {
		return nil, err
	}
	if err := b.build(); err != nil {
		return nil, err
	}
	for _, p := range parts {
		fmt.Fprintln(os.Stderr, "measuring", p.name)
		rows, err := p.measure(b)
		if err := errors.Join(err, b.ctx.Err()); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all = append(all, rows...)
	}
	return all, nil
}

func (b *bench) build() error {
	b.binary = filepath.Join(b.dir, "statecraft")
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", b.binary, "./cmd/statecraft")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the program (run this in the project's folder): %w", err)
	}
	return nil
}
