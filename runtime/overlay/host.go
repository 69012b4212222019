package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/cell"
	"github.com/statecraft-io/statecraft/watchers/credentials"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// HostConfig is what a host works with beside its folder. Fields without a default are required.
type HostConfig struct {
	Folder string // as Open finds it
	Config Config
	Clock  clock.Clock
	Log    *slog.Logger
	// Metrics registers the metrics of host and broker; nil keeps none.
	Metrics prometheus.Registerer
	Facts   *watchers.Facts
	Version string // of the program, as it is shown
	// WithoutPublished runs nothing that the channel overlay publishes: the way back where what was published keeps the cell from being told so.
	WithoutPublished bool
	// Serving is told once, when the host serves; nil is nobody.
	Serving func(Serving)
	// Vouch says which machines of the configuration's folder may run.
	Vouch runtime.Vouch
}

// BuiltIn are the machines that come with the program and run on every host of a cell.
func BuiltIn() builtin.Set { return builtin.Set{Folder: "overlay", Also: []string{"node/bundle.yaml"}} }

// machines are the host's, with the site's own of a folder.
func (c *HostConfig) machines(overrides string) builtin.Set {
	set := BuiltIn()
	set.Overrides, set.Vouch, set.Release = overrides, c.Vouch, c.Version
	if c.WithoutPublished {
		set.Without = []string{deployerMachine, bundleMachine}
	}
	return set
}

// Host is a running host of a cell: its broker, and its machines.
type Host struct {
	cfg    HostConfig
	disk   statefile.Disk // of the folder
	broker embedded
	host   *runtime.Host
	pool   *messaging.Pool
	wallet *identity.Wallet
	trust  *registry.Store // who may sign what nodes run
	key    *identity.Key
	set    builtin.Machines
	input  map[string]any // of the machines
	// deployer runs what is published for hosts.
	deployer *runtime.Deployer
	own      string // digest of the site's own machines; "" for none
	member   membership
	logins   logins
}

// The connections of a host, and the sets of credentials behind them: one for each account. The one to UPLINK is there where the host has leafnodes.
const (
	fleetConnection      = "fleet"
	enrollmentConnection = "enrollment"
	uplinkConnection     = "uplink"
	// aloneConnection is to the broker with the streams that are to be copied, where there is one.
	aloneConnection = "alone"
)

// NewHost reads the host's folder and opens its state. The caller runs it with Run.
func NewHost(cfg HostConfig) (*Host, error) {
	h := &Host{cfg: cfg}
	h.broker.start, h.broker.revoked = h.startBroker, broker.OpenRevocations(h.path(revokedFile), cfg.Clock.Now)
	if err := h.nothingRevoked(); err != nil {
		return nil, err
	}
	if err := h.openIdentity(); err != nil {
		return nil, err
	}
	h.wallet.Revoked = h.broker.revoked.HasKey
	h.pool = messaging.NewPool(h.credentials, cfg.Log)
	h.deployer = h.newDeployer()
	catalogue := all.New(all.Services{
		Pool:    h.pool,
		Wallets: func(string) (*identity.Wallet, error) { return h.wallet, nil },
		Spawner: watchers.SpawnerFunc(func(ctx context.Context, o watchers.SpawnOrder) (bool, error) { return h.host.Spawn(ctx, o) }),
		Heads: func(ctx context.Context, id string) (credentials.JournalHead, error) {
			return h.host.SignHead(ctx, id, h.key)
		},
		ReadHead: func(envelope []byte) (credentials.ToldHead, error) {
			h, err := evidence.Open(envelope)
			return credentials.ToldHead{Identity: h.Identity, Key: h.Key.String(), At: h.At}, err
		},
		Cell:     cell.Services{Broker: h, Member: h, Certificates: h, Templates: h},
		Delivery: h.delivery(),
		Metrics:  cfg.Metrics,
	})
	machines := cfg.Config.Machines
	if machines != "" && !filepath.IsAbs(machines) {
		machines = filepath.Join(cfg.Folder, machines)
	}
	var err error
	if h.set, err = builtin.Load(cfg.machines(machines), catalogue); err != nil {
		return nil, err
	}
	if machines != "" {
		coming, err := builtin.Load(cfg.machines(""), catalogue)
		if err != nil {
			return nil, err
		}
		h.set.Report(cfg.Log)
		h.own = ownMachines(h.set.Deployments, coming.Deployments)
	}
	if err := errors.Join(h.checkDisk(), h.checkRoom()); err != nil {
		return nil, err
	}
	if h.input, err = h.site(); err != nil {
		return nil, err
	}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(newCertificateMetrics(h)); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	h.host, err = runtime.New(runtime.Config{
		Identity: cfg.Config.Host, Catalogue: catalogue, Clock: cfg.Clock, Log: cfg.Log, Metrics: cfg.Metrics, Facts: cfg.Facts,
		StateDir: h.StateDir(), Degraded: h.degraded, Published: h.publishedBy, MaxLooks: maxLooks, Governors: map[string]int{placementGovernor: cfg.Config.HelperWorkers},
	})
	if err == nil {
		if err := builtin.Tidy(cfg.Folder, h.set.Deployments); err != nil {
			cfg.Log.Warn("copies_not_removed", "error", err)
		}
	}
	if err == nil && cfg.Metrics != nil {
		if err = cfg.Metrics.Register(h.settingsMetric()); err != nil {
			err = errors.Join(err, h.host.Close())
		}
	}
	return h, err
}

// nothingRevoked lets a host that is alone in its cell know that nothing is revoked where it has no bucket yet in which that could stand: the
// cell is new. One of several hosts waits until it has read the bucket, as others may have it.
func (h *Host) nothingRevoked() error {
	if fault := h.broker.revoked.Fault(); fault != "" {
		h.cfg.Log.Warn("revocations_copy", "fault", fault)
		return nil
	}
	if h.cfg.Config.Replicas != 1 || h.broker.revoked.Known() {
		return nil
	}
	streams, err := streamsIn(h.path(dataDir))
	if err != nil || slices.Contains(streams, "KV_REVOKED") {
		return err
	}
	if err := h.broker.revoked.Learnt(); err != nil {
		h.cfg.Log.Warn("revocations_copy", "fault", err)
	}
	return nil
}

const (
	// maxLooks bounds the looks at once: each enrollee has a few, and thousands may come together.
	maxLooks = 16384
	// placementGovernor is the governor of the enrollee machine's helper.
	placementGovernor = "placement"
)

// StateDir is the folder of the machines' state.
func (h *Host) StateDir() string { return filepath.Join(h.cfg.Folder, stateDir) }

// Host is the host of the machines.
func (h *Host) Host() *runtime.Host { return h.host }

// Run starts the broker and the machines, and works until ctx ends.
func (h *Host) Run(ctx context.Context) error {
	if err := h.enter(ctx); err != nil {
		return errors.Join(err, h.host.Close())
	}
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- h.host.Run(parts) }()
	err, running := h.begin(ctx), true
	if err == nil {
		select {
		case err = <-ended:
			running = false
		case err = <-h.broker.failed:
		case <-ctx.Done():
			h.tellLast(parts)
		}
	}
	stop()
	if running {
		err = errors.Join(err, <-ended)
	}
	h.pool.Close()
	return errors.Join(err, h.member.leave(), h.broker.close())
}

// evidenceMachine publishes signed heads of the host's journal.
const evidenceMachine = "evidence"

// tellLast lets the host tell the last head of its journal, for two seconds at most.
func (h *Host) tellLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := h.host.Fire(ctx, evidenceMachine, "stop", nil, "host"); err != nil {
		if !errors.Is(err, runtime.ErrUnknownMachine) {
			h.cfg.Log.Warn("machine_not_stopped", "machine", evidenceMachine, "error", err)
		}
		return
	}
	for {
		state, _, known := h.host.Glance(evidenceMachine)
		if !known || state != "stopping" && state != "closing" || watchers.Rest(ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

// begin opens the host's connections and deploys the machines that run before it serves. The machine join lets it serve.
func (h *Host) begin(ctx context.Context) error {
	names := []string{fleetConnection, enrollmentConnection}
	if len(h.cfg.Config.Leafnodes) > 0 {
		names = append(names, uplinkConnection)
	}
	for _, name := range names {
		if err := h.pool.Keep(context.WithoutCancel(ctx), h.cfg.Config.Host, name); err != nil {
			return err
		}
	}
	return h.deploy(ctx, func(name string) bool { return slices.Contains(beforeServing(), name) })
}

// deploy deploys the machines that are chosen. Those that run already go on, and so do published ones that have taken a built-in machine's place.
func (h *Host) deploy(ctx context.Context, chosen func(name string) bool) error {
	var set []runtime.Deployment
	for _, d := range h.set.Deployments {
		if chosen(d.Definition.Manifest.Name) {
			set = append(set, d)
		}
	}
	return builtin.Start(ctx, h.deployer.Start, set, h.cfg.Config.Host, h.input)
}

// issuerNames are the issuers of a host: of what nodes are given, and of the host's own tokens.
func issuerNames() []string { return []string{"enrollment", "service"} }

// openIdentity reads the host's key, its issuers and what it trusts.
func (h *Host) openIdentity() error {
	var err error
	if h.key, err = identity.LoadKey(filepath.Join(h.cfg.Folder, keyFile)); err != nil {
		return fmt.Errorf("reading the host's key: %w", err)
	}
	h.wallet = &identity.Wallet{Signers: map[string]*identity.Signer{}}
	for _, name := range issuerNames() {
		if h.wallet.Signers[name], err = loadIssuer(filepath.Join(h.cfg.Folder, issuersDir), name, identity.LoadKey); err != nil {
			return err
		}
	}
	text, err := h.disk.Read(filepath.Join(h.cfg.Folder, rootsFile))
	if err != nil {
		return fmt.Errorf("reading the roots: %w", err)
	}
	for _, line := range strings.Fields(string(text)) {
		root, err := identity.ParsePublicKey(line)
		if err != nil {
			return fmt.Errorf("reading the roots: %w", err)
		}
		h.wallet.Roots = append(h.wallet.Roots, root)
	}
	h.openJoin()
	// What was published is learnt from the cell, and kept, so that a cell that is restored from an older copy does not go back.
	h.trust, err = registry.OpenStore(h.path(TrustDir), func() ([]identity.PublicKey, error) { return h.wallet.Roots, nil })
	if err != nil {
		return err
	}
	for _, fault := range h.trust.Faults() {
		h.cfg.Log.Warn("trust_damaged", "fault", fault)
	}
	return nil
}

// openJoin reads the join token that nodes are given in place of the one that they have come by, where the host has one. What is wrong with it is said when a
// node is to get it, too, and keeps nobody from the cell.
func (h *Host) openJoin() {
	text, err := h.disk.Read(h.path(joinFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		h.cfg.Log.Warn("join_token_not_read", "error", err)
		return
	}
	h.wallet.Join = strings.TrimSpace(string(text))
}

// credentials make a token for each connection of the host itself, which its service issuer signs.
func (h *Host) credentials(_, name string) (*messaging.Credentials, error) {
	if name == aloneConnection {
		return h.credentialsAt(h.member.alone.Load(), fleetConnection)
	}
	return h.credentialsAt(h.broker.current.Load(), name)
}

func (h *Host) credentialsAt(b *broker.Broker, name string) (*messaging.Credentials, error) {
	right, known := map[string]string{
		fleetConnection: broker.RightFleetService, enrollmentConnection: broker.RightEnrollmentService, uplinkConnection: broker.RightUplinkService,
	}[name]
	switch {
	case b == nil:
		return nil, fmt.Errorf("there is no broker for the connection %q", name)
	case !known:
		return nil, fmt.Errorf("a host has the credentials %q, %q and %q, not %q", fleetConnection, enrollmentConnection, uplinkConnection, name)
	}
	c := h.cfg.Config
	now := h.cfg.Clock.Now()
	expires := now.Add(serviceLifetime - time.Minute)
	token, err := h.wallet.Signers["service"].Sign(identity.Claims{
		Purpose: identity.PurposeService, Subject: c.Host, Identity: identity.Identity(c.Host), PublicKey: h.key.Public().String(),
		Cell: c.Cell, Permissions: map[string]bool{right: true}, IssuedAt: now, Expires: expires,
	})
	if err != nil {
		return nil, fmt.Errorf("signing a token of the host: %w", err)
	}
	return &messaging.Credentials{
		InProcess: b.Provider(), Key: h.key, Token: token, InboxPrefix: "_INBOX." + h.key.Public().NKey(), Expires: expires,
	}, nil
}

// site is what the machines read as input.
func (h *Host) site() (map[string]any, error) {
	ca, err := h.disk.Read(filepath.Join(h.cfg.Folder, caFile))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	var roots, urls []any
	for _, r := range h.wallet.Roots {
		roots = append(roots, r.String())
	}
	for _, u := range h.cfg.Config.Brokers {
		urls = append(urls, u)
	}
	configuration := h.cfg.Config.Configuration
	if configuration == nil {
		configuration = map[string]any{}
	}
	return map[string]any{
		"cell": h.cfg.Config.Cell, "urls": urls, "ca": string(ca), "roots": roots, "helper": h.cfg.Config.Helper, "configuration": configuration,
		"reserved": h.reserved(),
	}, nil
}
