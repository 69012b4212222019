package runtime_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// crashEnv makes the test binary the process that is killed: "folder point n".
const crashEnv = "STATECRAFT_RUNTIME_CRASH"

// crashSegment makes a log's segments so small that a run has dozens.
const crashSegment = 4 << 10

// crashing is the process that is killed. What it says goes to stdout at once: "ack MACHINE INDEX SEQ DURABLE" for an event that Fire
// has answered, "synced SEGMENT OFFSET" for the log.
type crashing struct {
	point string
	n     int64
	count atomic.Int64
	host  atomic.Pointer[runtime.Host]
}

func crashChild() int {
	var dir string
	c := &crashing{}
	if _, err := fmt.Sscan(os.Getenv(crashEnv), &dir, &c.point, &c.n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := c.run(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// hook kills the process at the n-th time of its point.
func (c *crashing) hook(at string) {
	if h := c.host.Load(); h != nil && at == "synced" {
		sayStatus(h)
	}
	if at == c.point && c.count.Add(1) == c.n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func sayStatus(h *runtime.Host) {
	s := h.JournalStatus()
	fmt.Printf("synced %d %d\n", s.Segment, s.Synced)
}

func crashConfig(dir string) runtime.Config {
	return runtime.Config{
		Identity: "n1.example.net", Catalogue: scripts(filepath.Join(dir, "effects")), Log: quiet(),
		StateDir: filepath.Join(dir, "state"), Journal: journal.Options{SegmentBytes: crashSegment},
	}
}

func (c *crashing) run(dir string) error {
	cfg := crashConfig(dir)
	cfg.Hook, cfg.Journal.Hook = c.hook, c.hook
	real, err := clock.NewReal()
	if err != nil {
		return err
	}
	cfg.Clock = real
	h, err := runtime.New(cfg)
	if err != nil {
		return err
	}
	sayStatus(h)
	c.host.Store(h)
	go func() { _ = h.Run(context.Background()) }()
	if err := deployAll(h, cfg.Catalogue); err != nil {
		return err
	}
	lanes, err := readLanes()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for name, events := range lanes {
		wg.Go(func() { fireAll(h, name, events) })
	}
	wg.Wait()
	return nil
}

func deployAll(h *runtime.Host, c runtime.Catalogue) error {
	manifests := crashManifests()
	for _, name := range slices.Sorted(maps.Keys(manifests)) {
		def, err := compileManifest(c, manifests[name])
		if err != nil {
			return err
		}
		if err := h.Deploy(context.Background(), runtime.Deployment{Definition: def}); err != nil {
			return err
		}
	}
	return nil
}

func compileManifest(c runtime.Catalogue, src string) (*machine.Definition, error) {
	src = strings.ReplaceAll(strings.TrimLeft(src, "\n"), "\t", "  ")
	def, problems := machine.Load("machine.yaml", []byte(src), c)
	if def == nil {
		return nil, problems.Err()
	}
	return def, nil
}

// laneEvent is the index-th event of one machine's operator.
type laneEvent struct {
	index int
	event string
}

// readLanes reads "MACHINE INDEX EVENT" from stdin.
func readLanes() (map[string][]laneEvent, error) {
	lanes := map[string][]laneEvent{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name string
		var e laneEvent
		if _, err := fmt.Sscan(lines.Text(), &name, &e.index, &e.event); err != nil {
			return nil, fmt.Errorf("reading %q: %w", lines.Text(), err)
		}
		lanes[name] = append(lanes[name], e)
	}
	return lanes, lines.Err()
}

// fireAll fires one machine's events, each when the one before is answered and no look is running.
func fireAll(h *runtime.Host, name string, events []laneEvent) {
	for _, e := range events {
		for tick := time.NewTicker(time.Millisecond); stateIn(h, name) == "running"; <-tick.C {
		}
		f, err := h.Fire(context.Background(), name, e.event, nil, "op")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("ack %s %d %d %t\n", name, e.index, f.Record.Seq, f.Durable)
	}
}

func stateIn(h *runtime.Host, name string) string {
	for _, m := range h.Machines() {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}
