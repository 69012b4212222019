package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/broker"
)

// A broker that was alone in its cell has streams that a cluster does not know, and half a minute after it has joined one nats-server
// deletes them. So a host whose configuration names others now sets them aside before its broker joins, and the machine join copies what
// they hold into the cluster before the host serves anybody. They are kept until an operator removes them.

const (
	aloneDir  = "streams.alone"          // being copied
	copiedDir = "streams.before-cluster" // copied, and not needed any more
)

// setAsideAlone takes the streams of the time when the host was alone out of the broker's way, where there are such. It reports whether there
// are any that are to be copied, from this start or one before.
func (h *Host) setAsideAlone() (moves bool, err error) {
	clustered, err := h.wasClustered()
	switch {
	case err != nil:
		return false, err
	case h.cfg.Config.Replicas == 1 && clustered:
		return false, fmt.Errorf("the streams of this host are those of a cluster, and its configuration names no other host: set hosts and peers "+
			"as they were, or see docs/overlay.md where the other hosts are lost; the streams are in %s", h.path(dataDir))
	case h.cfg.Config.Replicas == 1:
		return false, nil
	case !clustered:
		err = h.setAside()
	}
	if err != nil {
		return false, err
	}
	_, err = os.Stat(h.path(aloneDir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// wasClustered reports whether the broker was in a cluster: it then has a folder of the system account.
func (h *Host) wasClustered() (bool, error) {
	_, err := os.Stat(filepath.Join(h.path(dataDir), "jetstream", broker.AccountSystem))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// streamsIn are the folders of FLEET's streams.
func streamsIn(dir string) ([]string, error) { return streamsOf(dir, broker.AccountFleet) }

// streamsOf are the folders of an account's streams.
func streamsOf(dir, account string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "jetstream", account, "streams"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for streams of a broker that was alone: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// setAside takes streams that no cluster knows out of its way.
func (h *Host) setAside() error {
	streams, err := streamsIn(h.path(dataDir))
	if err != nil || len(streams) == 0 {
		return err
	}
	leaving, err := streamsOf(h.path(dataDir), broker.AccountUplink)
	if err != nil {
		return err
	}
	if len(leaving) > 0 {
		return fmt.Errorf("the streams of the account UPLINK (%s) are not copied into a cluster: start the host with its old overlay.yaml until the region has "+
			"taken all of them, remove them, and try again", strings.Join(leaving, ", "))
	}
	for _, dir := range []string{aloneDir, copiedDir} {
		if _, err := os.Stat(h.path(dir)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the streams of this host are to be set aside, and %s is there: look what it holds, and move it elsewhere", h.path(dir))
		}
	}
	return os.Rename(h.path(dataDir), h.path(aloneDir))
}

// aloneConfig is of the broker with the streams that are to be copied. Only this process can reach it.
func (h *Host) aloneConfig() (broker.Config, error) {
	cfg, err := h.brokerConfig()
	quiet(&cfg)
	cfg.Dir, cfg.Cluster, cfg.Metrics, cfg.Limits.LameDuck = h.path(aloneDir), nil, nil, 0
	return cfg, err
}

// quiet makes a broker that neither nodes nor clients can reach; the other hosts of its cluster can.
func quiet(cfg *broker.Config) {
	cfg.Fleet, cfg.Enrollment, cfg.Monitor, cfg.Leafnodes = "127.0.0.1:0", "", "", nil
}
