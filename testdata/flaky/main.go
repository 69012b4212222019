// Command flaky runs tests again and again while every core is kept busy beside them, and says which failed how often. A test that is right only
// on a machine that has nothing else to do fails here.
//
//	go run ./testdata/flaky -n 20 ./...
//
// It ends with 1 where any test has failed. What a failing test has printed follows below its name, of its first failure.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// name is the test, or the package where it is none of its tests.
func (e event) name() string { return strings.TrimSuffix(e.Package+" "+e.Test, " ") }

// tally is what failed in all runs.
type tally struct {
	failed map[string]int    // runs, by the name of an event
	said   map[string]string // what the first failure printed
}

func main() {
	times := flag.Int("n", 20, "how often the tests run")
	busy := flag.Int("busy", runtime.NumCPU(), "how many cores are kept busy beside them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	packages := flag.Args()
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	err := repeat(ctx, os.Stdout, *times, *busy, packages)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flaky:", err)
		os.Exit(1)
	}
}

// repeat runs the tests and prints what failed.
func repeat(ctx context.Context, out io.Writer, times, busy int, packages []string) error {
	load, enough := context.WithCancel(ctx)
	var spinning sync.WaitGroup
	defer spinning.Wait()
	defer enough()
	for range busy {
		spinning.Go(func() {
			for load.Err() == nil { // asking costs next to nothing, so that this is a busy core
			}
		})
	}
	all := tally{failed: map[string]int{}, said: map[string]string{}}
	for i := range times {
		began := time.Now()
		failed, err := all.run(ctx, packages)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "run %d of %d: %d failed, %s\n", i+1, times, failed, time.Since(began).Round(time.Second))
	}
	for _, name := range slices.Sorted(maps.Keys(all.failed)) {
		fmt.Fprintf(out, "\n%s failed %d times of %d\n%s", name, all.failed[name], times, all.said[name])
	}
	if len(all.failed) > 0 {
		return fmt.Errorf("%d tests failed in %d runs", len(all.failed), times)
	}
	fmt.Fprintf(out, "nothing failed in %d runs\n", times)
	return nil
}

// run runs the tests once and returns how many failed.
func (t *tally) run(ctx context.Context, packages []string) (int, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-count=1", "-timeout", "40m"}, packages...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 0, err
	}
	failed, err := t.read(stdout)
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return failed, context.Cause(ctx)
	case err != nil:
		return failed, err
	case ended != nil && failed == 0:
		return 0, fmt.Errorf("go test ended with %w, and no test failed", ended)
	}
	return failed, nil
}

// read counts the failures of one run.
func (t *tally) read(stdout io.Reader) (failed int, err error) {
	printed := map[string]*strings.Builder{}
	inside := map[string]bool{} // packages with a test that failed: their own failure says nothing more
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return failed, fmt.Errorf("reading what go test says: %w: %s", err, lines.Text())
		}
		name := e.name()
		switch {
		case e.Action == "output":
			if printed[name] == nil {
				printed[name] = &strings.Builder{}
			}
			printed[name].WriteString(e.Output)
		case e.Action == "fail" && (e.Test != "" || !inside[e.Package]):
			inside[e.Package] = true
			failed++
			t.failed[name]++
			if _, known := t.said[name]; !known && printed[name] != nil {
				t.said[name] = printed[name].String()
			}
		case e.Action == "pass" || e.Action == "skip":
			delete(printed, name)
		}
	}
	return failed, lines.Err()
}
