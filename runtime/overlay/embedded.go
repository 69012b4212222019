package overlay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// embedded is the host's broker over all of its lives: it is started anew while the host goes on.
type embedded struct {
	start   func(ctx context.Context) (*broker.Broker, error)
	revoked *broker.Revocations // known to each of its lives from the beginning
	current atomic.Pointer[broker.Broker]
	failed  chan error // why what is revoked cannot be followed; the host ends then

	mu     sync.Mutex // held while it is started or ended
	ended  bool       // for good
	forget func()     // ends following what is revoked, and waits for it
}

var errEnding = errors.New("the host is ending")

// open starts it. Ctx bounds the start only.
func (e *embedded) open(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = make(chan error, 1)
	return e.begin(ctx)
}

// begin starts a life; under the lock.
func (e *embedded) begin(ctx context.Context) error {
	b, err := e.start(ctx)
	if err != nil {
		return err
	}
	e.current.Store(b)
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.FollowRevocations(following); err != nil {
			select {
			case e.failed <- err:
			default:
			}
		}
	}()
	e.forget = func() {
		stop()
		<-done
	}
	return nil
}

// finish ends a life. It may be asked again.
func (e *embedded) finish() error {
	b := e.current.Load()
	if b == nil {
		return nil
	}
	if e.forget != nil {
		e.forget()
		e.forget = nil
	}
	return b.Close()
}

// restart ends it and starts it with the same options. Where it cannot be started it stays ended, and is tried again by who asks again.
func (e *embedded) restart(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return errEnding
	}
	if err := e.finish(); err != nil {
		return err
	}
	return e.begin(ctx)
}

// close ends it for good.
func (e *embedded) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	return e.finish()
}

// Health implements cell.Broker.
func (h *Host) Health() cell.Health {
	if b := h.broker.current.Load(); b != nil {
		health := b.Health()
		health.TrustFault = strings.Join(h.trust.Faults(), "; ")
		return health
	}
	return cell.Health{}
}

// Restart implements cell.Broker. The host's connections move to the new broker.
func (h *Host) Restart(ctx context.Context) error {
	h.cfg.Log.Warn("broker_restarts", "host", h.cfg.Config.Host)
	if err := h.broker.restart(ctx); err != nil {
		return err
	}
	h.pool.Refresh(h.cfg.Config.Host)
	h.cfg.Log.Info("broker_restarted", "host", h.cfg.Config.Host)
	return nil
}

// healthMachine is the machine whose data say why the host is not well.
const healthMachine = "health"

// storageMachine tells which streams are filling, as docs/overlay.md says.
const storageMachine = "storage"

// instancesMachine tells of which templates nearly as many instances run as may.
const instancesMachine = "instances"

// Instances implements cell.Templates.
func (h *Host) Instances() (all []cell.Instances) {
	for _, i := range h.host.Instances() {
		if i.Limit > 0 {
			all = append(all, cell.Instances{Template: i.Template, Running: i.Running, Max: i.Limit})
		}
	}
	return all
}

// uplinkMachine is the machine that tells which regions are lost.
const uplinkMachine = "uplink"

// degraded says what the machines health, storage, instances, keys and uplink have found.
func (h *Host) degraded() (reasons []string) {
	_, data, _ := h.host.Glance(healthMachine)
	if cause, _ := data["cause"].(string); cause != "" {
		reason, _ := data["reason"].(string)
		reasons = append(reasons, fmt.Sprintf("its broker is %s: %s; statecraft states health says more", cause, reason))
	}
	_, data, _ = h.host.Glance(storageMachine)
	if reason, _ := data["reason"].(string); reason != "" {
		reasons = append(reasons, reason+"; statecraft states storage says more")
	}
	_, data, _ = h.host.Glance(instancesMachine)
	if reason, _ := data["reason"].(string); reason != "" {
		reasons = append(reasons, reason+"; statecraft states instances says more")
	}
	_, data, _ = h.host.Glance(keysMachine)
	if reason, _ := data["reason"].(string); reason != "" {
		reasons = append(reasons, reason)
	}
	_, data, _ = h.host.Glance(uplinkMachine)
	if reason, _ := data["reason"].(string); reason != "" {
		reasons = append(reasons, reason+"; what leaves the cell waits; statecraft states uplink says more")
	}
	if differs := h.settingsDiffer(); len(differs) > 0 {
		reasons = append(reasons, "its settings are not the cell's: "+strings.Join(differs, ", ")+"; docs/overlay.md says how hosts come to agree")
	}
	return append(append(reasons, h.set.Degraded()...), h.publishedFaults()...)
}
