package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

const (
	syncedMachines = 1000
	syncedEach     = 200  // transitions of each of them
	syncedOne      = 5000 // transitions of one machine
	bareSyncs      = 2500 // before, and as many after
	bareSize       = 300  // bytes, as a record has
)

// synced measures synced transitions of one machine and of 1,000, beside a bare write and fdatasync on the same disk.
func (b *bench) synced() ([]row, error) {
	values, bare, err := around(b.bareSyncs, b.transitions)
	if err != nil {
		return nil, err
	}
	return []row{
		row{What: "synced transition, one machine, p50", Value: values[0], Unit: "ms"}.beside("write + fdatasync alone", bare[0]).atMost(0.3),
		row{What: "synced transition, one machine, p99", Value: values[1], Unit: "ms"}.beside("write + fdatasync alone", bare[1]),
		row{What: "synced transitions, 1,000 machines", Value: values[2], Unit: "/s"}.beside("write + fdatasync, one by one", 1000/bare[0]).atLeast(50_000),
	}, nil
}

// transitions holds all that was acknowledged against what the host left on disk.
func (b *bench) transitions() ([]float64, error) {
	dir := filepath.Join(b.dir, "synced")
	h, err := newHost(dir, syncedMachines, toggler, nil)
	if err != nil {
		return nil, err
	}
	one, many, err := h.fireAll()
	if err := errors.Join(err, h.stop()); err != nil {
		return nil, err
	}
	snapshots, err := runtime.ReadSnapshots(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	want, got := uint64(syncedMachines+syncedOne+syncedMachines*syncedEach), uint64(0)
	for _, s := range snapshots {
		got += s.Seq
	}
	if got != want {
		return nil, fmt.Errorf("the journal holds %d records of %d that were acknowledged", got, want)
	}
	return []float64{quantile(one, 50), quantile(one, 99), syncedMachines * syncedEach / many.Seconds()}, nil
}

// fireAll returns the times of one machine's transitions, and how long those of all took together.
func (h *host) fireAll() (one []time.Duration, many time.Duration, err error) {
	for i := range syncedOne {
		began := time.Now()
		if err := h.toggle(0, i); err != nil {
			return nil, 0, err
		}
		one = append(one, time.Since(began))
	}
	errs, began := make([]error, syncedMachines), time.Now()
	var fired sync.WaitGroup
	for i := range syncedMachines {
		fired.Go(func() {
			for k := 0; k < syncedEach && errs[i] == nil; k++ {
				errs[i] = h.toggle(i, k)
			}
		})
	}
	fired.Wait()
	return one, time.Since(began), errors.Join(errs...)
}

// toggle makes the k-th transition of a machine, of which the host must say that it is one and synced.
func (h *host) toggle(i, k int) error {
	f, err := h.Fire(context.Background(), nameOf(i), []string{"go_b", "go_a"}[k%2], nil, "bench")
	if err == nil && (f.Record.Kind != machine.RecordTransition || !f.Durable) {
		err = fmt.Errorf("transition %d of %s became %s, durable %t: %s", k, nameOf(i), f.Record.Kind, f.Durable, f.Record.Reason)
	}
	return err
}

// bareSyncs returns p50 and p99 of writing as much as a record has and syncing it, in a file that is long enough.
func (b *bench) bareSyncs() (quantiles []float64, err error) {
	f, err := os.Create(filepath.Join(b.dir, "bare"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(make([]byte, bareSize*bareSyncs))
	if err := errors.Join(err, f.Sync()); err != nil {
		return nil, err
	}
	took := make([]time.Duration, bareSyncs)
	for i := range took {
		began := time.Now()
		_, err := f.WriteAt(make([]byte, bareSize), int64(i*bareSize))
		if err := errors.Join(err, syscall.Fdatasync(int(f.Fd()))); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return []float64{quantile(took, 50), quantile(took, 99)}, nil
}
