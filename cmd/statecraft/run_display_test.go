package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// A terminal that takes nothing costs lines, which are counted, and never blocks a machine.
func TestSlowOutputCostsLinesOnly(t *testing.T) {
	var out, errs bytes.Buffer
	d := &display{queue: make(chan shown, displayQueue), render: recordLine, out: &out, errors: &errs}
	for i := range displayQueue + 5 {
		d.observe(&machine.Record{Seq: uint64(i + 1), Machine: "web", Kind: machine.RecordStart, To: "up"}, true)
	}
	d.begin(nil)
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != displayQueue {
		t.Errorf("%d lines, want %d", n, displayQueue)
	}
	want := "statecraft: 5 records not shown: the output is too slow; statecraft why MACHINE has them\n"
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Errorf("standard error: -want +got\n%s", diff)
	}
}

func TestLiveViewFitsTheTerminal(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	var machines []runtime.MachineStatus
	for i := range 40 {
		machines = append(machines, runtime.MachineStatus{Name: fmt.Sprintf("web%02d", i), State: "up", Since: at})
	}
	for _, size := range [][2]int{{80, 24}, {20, 5}, {1, 1}, {200, 100}} {
		var out bytes.Buffer
		v := newLiveView(&out, func() (int, int) { return size[0], size[1] })
		for i := range 30 {
			v.take(shown{machine: "web01", event: "broke", line: fmt.Sprintf("web01 #%d up --broke--> down", i+1)})
		}
		v.draw(machines)
		lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r\x1b[J"), "\n"), "\n")
		if len(lines) > max(1, size[1]-1) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, line := range lines {
			if len(line) > size[0] {
				t.Errorf("%v: the line %q is too long", size, line)
			}
		}
		if size[1] == 24 && (!strings.Contains(out.String(), "... and 31 machines") || lines[len(lines)-1] != "web01 #30 up --broke--> down") {
			t.Errorf("the view is\n%s", out.String())
		}
	}
}

func TestLiveViewKeepsTheLogAboveIt(t *testing.T) {
	var out bytes.Buffer
	v := newLiveView(&out, func() (int, int) { return 80, 24 })
	v.draw([]runtime.MachineStatus{{Name: "web", State: "up"}})
	out.Reset()
	fmt.Fprintln(v, "a line of the log")
	want := "\x1b[3A\r\x1b[Ja line of the log\nMACHINE  STATE  SINCE  LAST EVENT\nweb      up     -      -\n\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
