// Command chaos lets a cell of three hosts work while its hosts are killed, paused, cut off, rolled, and run out of disk, and says what was
// acknowledged and then lost, doubled, out of order or stuck. Hosts and nodes are processes of their own on loopback. Everything that happens
// follows from the seed but for the moments at which processes run.
//
//	go run ./testdata/chaos -seed 7 -for 20m
//
// It ends with 0 where nothing is wrong, and else with 1; then the folder with the hosts' logs is kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// options are what a run is asked for.
type options struct {
	seed   uint64
	length time.Duration // in which things happen
	quiet  time.Duration // after which what has not come any nearer is stuck
	faults []fault
	nodes  int    // real ones
	binary string // the program; "" is built
	dir    string // a folder that is not there yet; "" is one of the system's for temporary files
	out    io.Writer
}

// run is a run.
type run struct {
	options
	cell  *cell
	led   *ledger
	real  []*realNode
	began time.Time
	doing sync.WaitGroup // what was begun and goes on

	publishing sync.Mutex
	mu         sync.Mutex
	bursts     int
	versions   int
	crowds     []*process
	failed     error // of the harness itself
}

func main() {
	o := options{out: os.Stdout}
	names := flag.String("faults", "", "only these faults, with commas between them (default all): "+join(allFaults()))
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "what the schedule follows from")
	flag.DurationVar(&o.length, "for", 20*time.Minute, "how long faults are injected")
	flag.DurationVar(&o.quiet, "quiet", 30*time.Second, "what comes no nearer within this time when all hosts are there is stuck")
	flag.IntVar(&o.nodes, "real", 2, "how many nodes are processes of their own; those of bursts are emulated")
	flag.StringVar(&o.binary, "statecraft", "", "the program (default: it is built)")
	flag.StringVar(&o.dir, "dir", "", "work in this folder, which must not be there (default: a temporary one); it is removed where nothing is wrong")
	flag.Parse()
	o.faults = allFaults()
	if *names != "" {
		o.faults = nil
		for name := range strings.SplitSeq(*names, ",") {
			if !slices.Contains(allFaults(), fault(name)) {
				fmt.Fprintf(os.Stderr, "chaos: there is no fault %q; there are %s\n", name, join(allFaults()))
				os.Exit(2)
			}
			o.faults = append(o.faults, fault(name))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := chaos(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || len(found) > 0 {
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func join(faults []fault) string {
	var names []string
	for _, f := range faults {
		names = append(names, string(f))
	}
	return strings.Join(names, ",")
}

// chaos is a whole run. It returns what is wrong with the cell, and an error where that could not be found out.
func chaos(ctx context.Context, o options) (found []finding, err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "chaos-"); err != nil {
			return nil, err
		}
	} else if err := os.Mkdir(o.dir, 0o700); err != nil {
		return nil, err
	}
	r := &run{options: o, led: newLedger(), began: time.Now()}
	if r.binary == "" {
		r.binary = filepath.Join(o.dir, "statecraft")
		if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", r.binary, "./cmd/statecraft").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the program (run this in the project's folder): %w\n%s", err, out)
		}
	}
	if r.cell, err = newCell(r.binary, o.dir, r.led); err != nil {
		return nil, err
	}
	trying, enough := context.WithCancel(ctx)
	found, err = r.whole(trying)
	enough()
	err = errors.Join(err, r.end(err != nil || len(found) > 0))
	if err == nil && len(found) == 0 {
		return nil, os.RemoveAll(o.dir)
	}
	r.say("logs and data are in %s", o.dir)
	return found, err
}

// say prints a line with the time since the beginning.
func (r *run) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%8.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// fail keeps the first fault of the harness itself.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, err)
}

// whole starts the cell, plays the schedule and judges.
func (r *run) whole(ctx context.Context) ([]finding, error) {
	r.disks()
	steps := schedule(r.seed, r.length, r.faults)
	r.say("seed %d, %s, faults %s", r.seed, r.length, join(r.faults))
	for _, s := range steps {
		fmt.Fprintf(r.out, "  planned %7.1fs  %s\n", s.at.Seconds(), s)
	}
	if err := r.cell.begin(ctx); err != nil {
		return nil, fmt.Errorf("the cell does not start: %w", err)
	}
	if err := r.newReal(ctx, r.nodes); err != nil {
		return nil, err
	}
	if err := errors.Join(r.burst(ctx, 6), r.publish(ctx)); err != nil {
		return nil, err
	}
	r.say("the cell is complete; the schedule begins")
	if err := r.play(ctx, steps); err != nil {
		return nil, err
	}
	r.say("all hosts are there; what is not complete yet has %s to come nearer", r.quiet)
	return r.settle(ctx)
}

// disks gives each host a small disk where one may be filled, and says so where that is not possible.
func (r *run) disks() {
	const size = 512 << 20
	if !slices.Contains(r.faults, fill) {
		return
	}
	for _, name := range hostNames() {
		d, err := newDisk(r.cell.path("cell", "hosts", name), size)
		if err != nil {
			r.say("NO DISK IS FILLED in this run: %v", err)
			r.faults = slices.DeleteFunc(slices.Clone(r.faults), func(f fault) bool { return f == fill })
			return
		}
		r.cell.disks[name] = d
	}
}

// play does what the schedule says: faults one after another, and work beside them.
func (r *run) play(ctx context.Context, steps []step) error {
	began := time.Now()
	firing, enough := context.WithCancel(ctx)
	defer enough()
	var lanes sync.WaitGroup
	lane := func(mine func(step) bool, do func(step) error) {
		lanes.Go(func() {
			for _, s := range steps {
				if !mine(s) {
					continue
				}
				if wait(ctx, time.Until(began.Add(s.at))); ctx.Err() != nil {
					return
				}
				r.fail(do(s))
			}
		})
	}
	lane(func(s step) bool { return s.fault != "" }, func(s step) error { return r.inject(ctx, s) })
	lane(func(s step) bool { return s.work != "" }, func(s step) error { return r.work(ctx, s.work, s.count) })
	fired := make(chan struct{})
	go func() {
		defer close(fired)
		r.fireAlways(firing)
	}()
	lanes.Wait()
	enough()
	<-fired
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.failed, context.Cause(ctx))
}

// settle looks again and again until nothing is wrong, or nothing has become better for the quiet time.
func (r *run) settle(ctx context.Context) (found []finding, err error) {
	began := time.Now()
	best, better := -1, time.Now()
	for {
		look, stop := context.WithTimeout(ctx, time.Minute)
		w, failed := r.observe(look)
		stop()
		if failed == nil {
			found = r.led.judge(w)
		} else {
			found = []finding{{stuck, failed.Error()}}
		}
		count := len(found)
		if failed != nil {
			count = 1 << 20
		}
		if count < best || best < 0 {
			best, better = count, time.Now()
			r.say("%d things are not as they must be", len(found))
		}
		if len(found) == 0 {
			r.say("nothing was lost, doubled, out of order or stuck; complete %.1f s after the last fault", time.Since(began).Seconds())
			return nil, nil
		}
		if time.Since(better) > r.quiet {
			break
		}
		if wait(ctx, time.Second); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	r.say("FAILED, seed %d:", r.seed)
	for _, f := range found {
		fmt.Fprintf(r.out, "  %s\n", f)
	}
	return found, nil
}

// logs are the files in which processes have said something.
func (r *run) logs() []string {
	files, _ := filepath.Glob(r.cell.path("*.log"))
	return files
}

// end ends all processes. The cell's data are kept where they are to be looked at.
func (r *run) end(keep bool) error {
	r.mu.Lock()
	all := slices.Clone(r.crowds)
	r.mu.Unlock()
	for _, n := range r.real {
		all = append(all, n.p)
	}
	var errs []error
	for _, p := range all {
		if p == nil {
			continue
		}
		select {
		case <-p.ended:
		default:
			errs = append(errs, p.end(syscall.SIGKILL))
		}
	}
	r.doing.Wait()
	return errors.Join(append(errs, r.cell.end(keep))...)
}
