package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/watchers/cell"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// A broker that was alone in its cell has streams that a cluster does not know, and half a minute after it has joined one nats-server
// deletes them. So a host whose configuration names others now sets them aside before its broker joins, and copies what they hold into
// the cluster before it serves anybody. They are kept until an operator removes them.

const (
	aloneDir  = "streams.alone"          // being copied
	copiedDir = "streams.before-cluster" // copied, and not needed any more
)

// joinCluster copies the streams of the time when the host was alone, where there are such. It waits for the other hosts as long as ctx
// lasts, and goes on where it was interrupted.
func (h *Host) joinCluster(ctx context.Context) error {
	clustered, err := h.wasClustered()
	switch {
	case err != nil:
		return err
	case h.cfg.Config.Replicas == 1 && clustered:
		return fmt.Errorf("the streams of this host are those of a cluster, and its configuration names no other host: set hosts and peers "+
			"as they were, or see docs/overlay.md where the other hosts are lost; the streams are in %s", h.path(dataDir))
	case h.cfg.Config.Replicas == 1:
		return nil
	case !clustered:
		err = h.setAside()
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(h.path(aloneDir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := h.copyAlone(ctx); err != nil {
		return fmt.Errorf("copying the streams of this host into its cluster: %w; they are in %s, and it is tried again when the host starts",
			err, h.path(aloneDir))
	}
	return os.Rename(h.path(aloneDir), h.path(copiedDir))
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
func streamsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "jetstream", broker.AccountFleet, "streams"))
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
	for _, dir := range []string{aloneDir, copiedDir} {
		if _, err := os.Stat(h.path(dir)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the streams of this host are to be set aside, and %s is there: look what it holds, and move it elsewhere", h.path(dir))
		}
	}
	return os.Rename(h.path(dataDir), h.path(aloneDir))
}

// copyAlone starts the broker as it was and as it is to be, neither of which can be reached by nodes and clients, and copies.
func (h *Host) copyAlone(ctx context.Context) error {
	from, err := h.openBroker(ctx, func(c *broker.Config) { c.Dir, c.Cluster = h.path(aloneDir), nil })
	if err != nil {
		return err
	}
	defer from.close()
	to, err := h.openBroker(ctx, func(*broker.Config) {})
	if err != nil {
		return err
	}
	defer to.close()
	h.cfg.Log.Info("waiting_for_other_hosts", "cell", h.cfg.Config.Cell, "peers", h.cfg.Config.Peers)
	if err := to.broker.Ready(ctx); err != nil {
		return err
	}
	names, err := streamsIn(h.path(aloneDir))
	if err != nil {
		return err
	}
	m := &cell.Copier{From: from.js, To: to.js, Log: h.cfg.Log}
	return m.Copy(ctx, names)
}

// quietBroker is a broker that only this process can reach, and a connection to it.
type quietBroker struct {
	broker *broker.Broker
	pool   *messaging.Pool
	js     jetstream.JetStream
}

func (h *Host) openBroker(ctx context.Context, change func(*broker.Config)) (*quietBroker, error) {
	cfg, err := h.brokerConfig()
	if err != nil {
		return nil, err
	}
	cfg.Fleet, cfg.Enrollment, cfg.Monitor, cfg.Remotes, cfg.Metrics, cfg.Limits.LameDuck = "127.0.0.1:0", "", "", nil, nil, 0
	change(&cfg)
	b, err := broker.Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	q := &quietBroker{broker: b, pool: messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return h.credentialsAt(b, fleetConnection)
	}, h.cfg.Log)}
	if err := q.connect(ctx, h.cfg.Config.Host); err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

func (q *quietBroker) connect(ctx context.Context, host string) error {
	if err := q.pool.Keep(context.WithoutCancel(ctx), host, fleetConnection); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	nc, err := q.pool.Wait(ctx, host, fleetConnection)
	if err != nil {
		return err
	}
	q.js, err = jetstream.New(nc)
	return err
}

func (q *quietBroker) close() {
	q.pool.Close()
	_ = q.broker.Close() // it tells that it took long; what it held is synced
}
