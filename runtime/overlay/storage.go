package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
)

// takenBy is the bytes that the streams of an account in a folder may take by their bounds; one without a bound takes what it has, and a quarter more. A broker
// that was allowed less would refuse to lower the bounds, and take nothing any more.
func takenBy(dir, account string) (sum int64, err error) {
	names, err := streamsOf(dir, account)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := streamTakes(filepath.Join(dir, "jetstream", account, "streams", name))
		if err != nil {
			return 0, fmt.Errorf("looking what stream %s takes: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

// streamTakes reads nats-server's own description of a stream. One that cannot be read is nats-server's to tell about.
func streamTakes(dir string) (int64, error) {
	var meta struct {
		MaxBytes int64 `json:"max_bytes"`
	}
	text, err := statefile.Read(filepath.Join(dir, "meta.inf"))
	if err == nil && json.Unmarshal(text, &meta) == nil && meta.MaxBytes > 0 {
		return meta.MaxBytes, nil
	}
	var size int64
	err = filepath.WalkDir(filepath.Join(dir, "msgs"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return size + size/4, err
}

// checkDisk holds what JetStream may keep against the disk that it is to be on. The default is what a host has that says nothing: it is told where
// it is too much.
func (h *Host) checkDisk() error {
	dir, allowed := h.path(dataDir), h.cfg.Config.StreamBytes
	if _, err := os.Stat(dir); err != nil {
		dir = h.cfg.Folder // it is made there
	}
	_, size := broker.DiskSpace(dir)
	switch {
	case size <= 0 || allowed <= size:
		return nil
	case allowed > broker.DefaultLimits().JetStream.Store:
		return fmt.Errorf("%s: %w: stream_bytes: %d bytes are more than the file system of %s has; write at most %d, the same on every host of the cell, or put the folder "+
			"on a larger disk; streams that are there stay", h.path(configFile), ErrSettings, allowed, dir, size)
	}
	h.cfg.Log.Warn("stream_bytes_above_disk", "stream_bytes", allowed, "disk", size, "folder", dir)
	return nil
}

// checkRoom holds the bounds of the machines' streams against what this host may keep, so that a host whose streams cannot have their room
// does not start.
func (h *Host) checkRoom() error {
	for _, d := range h.set.Deployments {
		for _, w := range d.Definition.Manifest.Watchers {
			if w.Type != "streams" {
				continue
			}
			if err := keyvalue.CheckRoom(&w, h.cfg.Config.StreamBytes); err != nil {
				return fmt.Errorf("machine %s, watcher %s: %w", d.Definition.Manifest.Name, w.Name, err)
			}
		}
	}
	return nil
}
