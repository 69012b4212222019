package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// crashEnv makes the test binary the process that is killed: "folder point n".
const crashEnv = "STATECRAFT_JOURNAL_CRASH"

const crashAppends = 700

// crashChild appends numbers, a few at a time, from where the log ends, and kills itself at the n-th time of a point. What it
// says goes to stdout at once: "ack N" for a record whose done was called, "synced SEGMENT OFFSET".
func crashChild() int {
	var dir, point string
	var n int64
	if _, err := fmt.Sscan(os.Getenv(crashEnv), &dir, &point, &n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var count atomic.Int64
	var h atomic.Pointer[host]
	opened, err := openHost(dir, segmentBytes(1500), func(o *Options) {
		o.Hook = func(at string) {
			if own := h.Load(); at == "synced" && own != nil {
				s := own.j.Status()
				fmt.Printf("synced %d %d\n", s.Segment, s.Synced)
			}
			if at == point && count.Add(1) == n {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := opened.j.Status()
	fmt.Printf("synced %d %d\n", s.Segment, s.Synced)
	h.Store(opened)
	crashAppend(opened, highest(opened.states())+1)
	return 0
}

func crashAppend(h *host, first int) {
	window := make(chan struct{}, 4)
	for i := first; i < first+crashAppends; i++ {
		window <- struct{}{}
		h.send(fmt.Sprint("k", i%5), fmt.Sprint(i), func(err error) {
			if err == nil {
				fmt.Printf("ack %d\n", i)
			}
			<-window
		})
	}
	_ = h.j.Close()
}

func highest(state map[string]string) int {
	top := -1
	for _, value := range state {
		n, err := strconv.Atoi(value)
		if err != nil {
			return -1
		}
		top = max(top, n)
	}
	return top
}

// TestA01KilledAtEveryPoint kills a real process at each point of a record's and a segment's life, again and again on the
// same log, and looks whether what was acknowledged is there; then again with all that was not synced lost, too.
func TestA01KilledAtEveryPoint(t *testing.T) {
	points := []string{"append", "write", "sync", "synced", "done", "rotate", "checkpoint", "rename", "renamed"}
	for name, lose := range map[string]func(t *testing.T, dir string, told crashReport){
		"as it is":         func(*testing.T, string, crashReport) {},
		"unsynced zeroed":  func(t *testing.T, dir string, told crashReport) { loseUnsynced(t, dir, told, zero) },
		"unsynced garbage": func(t *testing.T, dir string, told crashReport) { loseUnsynced(t, dir, told, garbage) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, point := range points {
				dir := t.TempDir()
				for _, n := range []int{1, 2, 3, 5} {
					told := crash(t, dir, point, n)
					lose(t, dir, told)
					checkAcknowledged(t, dir, told, fmt.Sprint(point, " ", n))
				}
			}
		})
	}
}

// crashReport is what the killed process had said.
type crashReport struct {
	acked   int // -1 for none
	segment uint64
	synced  int64
}

func crash(t *testing.T, dir, point string, n int) crashReport {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", crashEnv, dir, point, n))
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed at %s %d: %v %s", point, n, err, errOut.String())
	}
	told := crashReport{acked: -1}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "ack %d", &told.acked); err == nil {
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "synced %d %d", &told.segment, &told.synced); err != nil {
			t.Fatalf("the process said %q", lines.Text())
		}
	}
	return told
}

func zero(b []byte) { clear(b) }

func garbage(b []byte) {
	for i := range b[:min(len(b), 4000)] {
		b[i] = byte(rand.Uint32())
	}
}

// loseUnsynced does what a power cut may do: segments and bytes that were not reported as synced are gone or anything.
func loseUnsynced(t *testing.T, dir string, told crashReport, spoil func([]byte)) {
	t.Helper()
	if told.segment == 0 {
		return // killed within Open: nothing was reported
	}
	files, err := filepath.Glob(filepath.Join(dir, "seg-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		number, _ := segmentNumber(filepath.Base(path))
		if number > told.segment && !strings.HasSuffix(path, tmpSuffix) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	path := filepath.Join(dir, segmentName(told.segment))
	data, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	spoil(data[min(told.synced, int64(len(data))):])
	if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// checkAcknowledged wants a history without holes that reaches at least to the last acknowledged number, and the
// state that follows from it.
func checkAcknowledged(t *testing.T, dir string, told crashReport, when string) {
	t.Helper()
	h, err := openHost(dir)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer h.close(t)
	want := map[string]string{}
	records := h.history(t, "").records()
	for i, record := range records {
		key, value := fmt.Sprint("k", i%5), fmt.Sprint(i)
		if record != key+"="+value {
			t.Fatalf("%s: record %d is %q", when, i, record)
		}
		want[key] = value
	}
	if len(records) <= told.acked {
		t.Fatalf("%s: %d records, %d was acknowledged", when, len(records), told.acked)
	}
	if got := h.states(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%s: state %v, want %v", when, got, want)
	}
}

// TestA01NothingIsUsedBeforeItsSync looks at the files when a record is acknowledged and when a segment gets its name.
func TestA01NothingIsUsedBeforeItsSync(t *testing.T) {
	d := newDisk()
	renames := 0
	check := func(when string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.dirty) > 0 {
			t.Errorf("%s: a file is not synced", when)
		}
	}
	h := startHost(t, t.TempDir(), d.options, segmentBytes(300), func(o *Options) {
		o.Hook = func(point string) {
			switch point {
			case "rename":
				renames++
				fallthrough
			case "synced", "renamed":
				check(point)
			}
		}
	})
	for i := range 60 {
		acked := make(chan struct{})
		h.send("k", fmt.Sprint(i), func(error) { check("done"); close(acked) })
		<-acked
	}
	h.close(t)
	if renames < 3 {
		t.Errorf("%d segments were made", renames)
	}
}
