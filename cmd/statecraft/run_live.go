package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime"
)

const (
	liveInterval = 100 * time.Millisecond // between two drawings at least
	liveRecords  = 10                     // the last records below the table
)

// liveView shows the machines as a table with the last records below it, drawn again when something happens. What is
// written to it stays on the terminal, above the table.
type liveView struct {
	out  io.Writer
	size func() (columns, rows int)

	mu      sync.Mutex
	drawn   int // lines on the terminal that the next drawing replaces
	frame   []string
	events  map[string]string // the last event by machine
	recent  []string
	dropped int64
}

func newLiveView(out io.Writer, size func() (columns, rows int)) *liveView {
	return &liveView{out: out, size: size, events: map[string]string{}}
}

// terminalSize asks a terminal for its size at each call.
func terminalSize(f *os.File) func() (columns, rows int) {
	return func() (int, int) {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col == 0 || size.Row == 0 {
			return 80, 24
		}
		return int(size.Col), int(size.Row)
	}
}

// run draws what has changed, until the queue is closed, and once more. Nothing wakes it up while nothing happens.
func (v *liveView) run(queue <-chan shown, dropped *atomic.Int64, machines func() []runtime.MachineStatus) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	waiting := true
	for {
		select {
		case s, open := <-queue:
			if !open {
				v.draw(machines())
				return
			}
			v.take(s)
			if !waiting {
				pause.Reset(liveInterval)
				waiting = true
			}
		case <-pause.C:
			waiting = false
			v.dropped += dropped.Swap(0)
			v.draw(machines())
		}
	}
}

func (v *liveView) take(s shown) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.event != "" {
		v.events[s.machine] = s.event
	}
	if len(v.recent) == liveRecords {
		v.recent = slices.Delete(v.recent, 0, 1)
	}
	v.recent = append(v.recent, s.line)
}

// draw replaces what was drawn last.
func (v *liveView) draw(machines []runtime.MachineStatus) {
	columns, rows := v.size()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frame = v.lines(machines, columns, rows)
	v.show("")
}

// Write implements io.Writer: a line of the log goes above the table.
func (v *liveView) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.show(string(p))
	return len(p), nil
}

// show erases the last frame, writes what stays and the present frame, in one piece.
func (v *liveView) show(above string) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	b.WriteString("\r\x1b[J" + above)
	for _, line := range v.frame {
		b.WriteString(line + "\n")
	}
	v.drawn = len(v.frame)
	_, _ = io.WriteString(v.out, b.String())
}

// lines are the table and the last records, cut to the size of the terminal.
func (v *liveView) lines(machines []runtime.MachineStatus, columns, rows int) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MACHINE\tSTATE\tSINCE\tLAST EVENT")
	for _, m := range machines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, stateText(m), instant(m.Since), printable(orDash(v.events[m.Name])))
	}
	_ = w.Flush()
	table := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if most := max(2, rows-liveRecords-3); len(table) > most {
		hidden := len(table) - most + 1
		table = append(table[:most-1], fmt.Sprintf("... and %s; statecraft states shows all", counted(hidden, "machine")))
	}
	table = append(append(table, ""), v.recent...)
	if v.dropped > 0 {
		table = append(table, fmt.Sprintf("%s not shown: too many for the terminal", counted(int(v.dropped), "record")))
	}
	table = table[:min(len(table), max(1, rows-1))]
	for i, line := range table {
		table[i] = clip(line, columns)
	}
	return table
}

// clip cuts a line to the columns of the terminal.
func clip(line string, columns int) string {
	runes := []rune(line)
	if len(runes) <= columns {
		return line
	}
	return string(runes[:max(0, columns-1)]) + "~"
}
