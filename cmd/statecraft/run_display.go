package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// displayQueue bounds the records that wait to be shown. A slow terminal costs lines, never a machine its turn.
const displayQueue = 1024

// shown is what is shown of a record.
type shown struct {
	machine string
	event   string
	line    string
}

// display shows the records of a host as they come: as lines, as JSON, or on a terminal as a live view.
type display struct {
	queue   chan shown
	render  func(r *machine.Record) string // in the machine's turn, since records must not be kept
	out     io.Writer
	errors  io.Writer
	live    *liveView // nil but on a terminal
	dropped atomic.Int64
	ended   sync.WaitGroup
}

// openDisplay makes the display that fits the output. Nothing is shown where events go to standard output.
func (h *hosting) openDisplay(inv *invocation, events string) {
	d := &display{queue: make(chan shown, displayQueue), render: recordLine, out: inv.out, errors: inv.stderr}
	switch {
	case events == "-":
		d.render = nil
	case inv.json:
		d.render = recordDocument
	case isTerminal(inv.out.w):
		d.live = newLiveView(inv.out, terminalSize(inv.out.w.(*os.File)))
	}
	h.display = d
	h.closers = append(h.closers, d.close)
}

func recordLine(r *machine.Record) string { return r.Machine + " " + machine.Transcript(r) }

func recordDocument(r *machine.Record) string {
	raw, _, err := machine.EncodeRecord(r)
	if err != nil {
		return "" // cannot be: it was encoded for the log before
	}
	return string(raw)
}

// observe is runtime.Config.Observe.
func (d *display) observe(r *machine.Record, _ bool) {
	if d.render == nil {
		return
	}
	select {
	case d.queue <- shown{machine: r.Machine, event: r.Event, line: d.render(r)}:
	default:
		d.dropped.Add(1)
	}
}

// beside returns where to write what is no record, without disturbing the live view.
func (d *display) beside(w io.Writer) io.Writer {
	if d.live != nil && isTerminal(w) {
		return d.live
	}
	return w
}

// begin starts showing.
func (d *display) begin(h *runtime.Host) {
	if d.live != nil {
		d.ended.Go(func() { d.live.run(d.queue, &d.dropped, h.Machines) })
		return
	}
	d.ended.Go(d.lines)
}

// lines prints a line a record.
func (d *display) lines() {
	for s := range d.queue {
		fmt.Fprintln(d.out, s.line)
		if n := d.dropped.Swap(0); n > 0 {
			fmt.Fprintf(d.errors, "statecraft: %s not shown: the output is too slow; statecraft why MACHINE has them\n", counted(int(n), "record"))
		}
	}
}

// close shows what is left. The host has ended.
func (d *display) close() error {
	close(d.queue)
	d.ended.Wait()
	return nil
}
