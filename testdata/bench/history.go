package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/journal"
)

const (
	historyRecords = 10_000_000
	historyKeys    = 10_000
	historySize    = 250 // bytes of data, as a record has
	historyTries   = 50
)

// history measures how long it takes to find the records of one machine in a log of 10 million, of 10,000 machines: in a log that is
// open, and in one that is only read.
func (b *bench) history() (rows []row, err error) {
	dir := filepath.Join(b.dir, "history")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	j, err := openLog(dir)
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, j.Close())
		}
	}()
	if err := b.fill(j); err != nil {
		return nil, err
	}
	indexed := time.Now()
	if err := b.indexed(dir); err != nil {
		return nil, err
	}
	row0 := row{What: "rest of the indexes of 10,000,000 records", Value: time.Since(indexed).Seconds(), Unit: "s"}
	size, index, err := sizes(dir)
	if err != nil {
		return nil, err
	}
	open, err := b.lookups(j.History)
	if err != nil {
		return nil, err
	}
	closed = true
	if err := j.Close(); err != nil {
		return nil, err
	}
	read, err := b.lookups(func(ctx context.Context, key string, f func(journal.Entry) error) error {
		return journal.ReadDir(ctx, dir, key, f)
	})
	return []row{
		{What: "log of 10,000,000 records", Value: size, Unit: "MB"},
		{What: "its indexes", Value: index, Unit: "MB"},
		row0,
		row{What: "one of 10,000 machines in it, open, median of 50", Value: quantile(open, 50), Unit: "ms"}.atMost(100),
		row{What: "one of 10,000 machines in it, open, longest", Value: quantile(open, 99), Unit: "ms"}.atMost(100),
		row{What: "one of 10,000 machines in it, read, median of 50", Value: quantile(read, 50), Unit: "ms"}.atMost(100),
		row{What: "one of 10,000 machines in it, read, longest", Value: quantile(read, 99), Unit: "ms"},
	}, err
}

func openLog(dir string) (*journal.Journal, error) {
	return journal.Open(journal.Options{
		Dir: dir, Now: time.Now, KeepBytes: 16 << 30, KeepRecords: 2 * historyRecords,
		Checkpoint: func(func(string, []byte) error) error { return nil },
	}, func(journal.Entry) error { return nil })
}

// fill appends all records, as many at once as keep the committer busy.
func (b *bench) fill(j *journal.Journal) error {
	data := []byte(strings.Repeat("x", historySize))
	const waiting = 20_000
	slots := make(chan struct{}, waiting)
	failed := make(chan error, 1)
	for i := range historyRecords {
		if i%waiting == 0 && b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		slots <- struct{}{}
		j.Append(historyKey(i%historyKeys), data, func(err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			<-slots
		})
	}
	for range waiting {
		slots <- struct{}{}
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func historyKey(i int) string { return fmt.Sprintf("machine%05d", i) }

// indexed waits until all segments but the newest have an index.
func (b *bench) indexed(dir string) error {
	return until(b.ctx, "the indexes", func() (bool, error) {
		segments, err := filepath.Glob(filepath.Join(dir, "seg-*.log"))
		if err != nil {
			return false, err
		}
		indexes, err := filepath.Glob(filepath.Join(dir, "seg-*.log.idx"))
		return len(indexes) == len(segments)-1, err
	})
}

// sizes are the megabytes of a log's segments and of its indexes.
func sizes(dir string) (segments, indexes float64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, failed := e.Info()
		if failed != nil {
			return 0, 0, failed
		}
		if strings.HasSuffix(e.Name(), ".idx") {
			indexes += float64(info.Size()) / 1e6
		} else {
			segments += float64(info.Size()) / 1e6
		}
	}
	return segments, indexes, err
}

// lookups returns how long it takes to find all records of a machine.
func (b *bench) lookups(history func(context.Context, string, func(journal.Entry) error) error) (took []time.Duration, err error) {
	for range historyTries {
		found, began := 0, time.Now()
		err := history(b.ctx, historyKey(rand.IntN(historyKeys)), func(journal.Entry) error { found++; return nil })
		took = append(took, time.Since(began))
		if err == nil && found != historyRecords/historyKeys {
			err = fmt.Errorf("of %d records %d were found", historyRecords/historyKeys, found)
		}
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}
