package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// streams keeps what is declared.
type streams struct {
	spec        *streamsSpec
	connections Connections
}

// keeping is one look.
type keeping struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	alone   bool  // the broker is in no cluster, and never will be unless its configuration says otherwise
	brokers int   // 0 as long as nobody has counted them
	room    int64 // that shares are of; 0 as long as nobody has asked
	present []brokerInfo
	created []any
	updated []any
	notes   []string
}

// Check compares everything that is declared with what is there. A failure of one thing does not keep it from the others, but one of
// JetStream itself does.
func (w *streams) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	nc, err := connect(w.connections, look, w.spec.Connection)
	if err != nil {
		return failed(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return failed(err)
	}
	k := &keeping{nc: nc, js: js, alone: alone(nc), created: []any{}, updated: []any{}}
	var problems []string
	all := w.spec.wants()
	if err := k.allot(ctx, all); err != nil {
		return failed(err)
	}
	for _, item := range all {
		err := k.keep(ctx, &item)
		if notReady(err) {
			problems = append(problems, "JetStream is not ready: "+err.Error()+"; it is tried again where the watcher has retry or an interval")
			break
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	return k.report(problems)
}

func (k *keeping) report(problems []string) watchers.Report {
	rep := watchers.Report{
		Outcome: watchers.OutcomeUnchanged, Message: strings.Join(append(problems, k.notes...), "; "),
		Payload: map[string]any{"created": k.created, "updated": k.updated},
	}
	switch {
	case len(problems) > 0:
		rep.Outcome = machine.OutcomeFail
	case len(k.created)+len(k.updated) > 0:
		rep.Outcome = machine.OutcomeSuccess
	}
	return rep
}

// A cluster that is without a leader at the moment does not answer at all, so that no request is waited for as long as the look may take.
const (
	infoTimeout  = 2 * time.Second
	writeTimeout = 10 * time.Second // replicas are placed one after the other, and synced to disk
)

// keep creates or updates one thing.
func (k *keeping) keep(ctx context.Context, item *want) error {
	s, err := within(ctx, infoTimeout, func(ctx context.Context) (jetstream.Stream, error) { return k.js.Stream(ctx, item.stream()) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return k.create(ctx, item)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", item, err)
	}
	have := s.CachedInfo()
	copies, err := k.replicas(ctx, item, have.Config.Replicas, have.Config.PersistMode)
	if err != nil {
		return fmt.Errorf("%s: %w", item, err)
	}
	wanted := item.filled(have.Config, copies, k.persist(item, have.Config.PersistMode))
	over := item.ease(have, &wanted)
	to, changed, refused := drift(have, wanted, item.drops)
	if item.once && !have.Config.DenyPurge {
		if err := k.unmark(ctx, s, to); err != nil {
			return fmt.Errorf("%s: removing markers of deletions: %w", item, err)
		}
	}
	if len(changed) > 0 {
		update := func(ctx context.Context) (jetstream.Stream, error) { return k.js.UpdateStream(ctx, to) }
		if _, err := within(ctx, writeTimeout, update); err != nil {
			return fmt.Errorf("%s: updating %s: %w", item, strings.Join(changed, ", "), tooMuch(err))
		}
		k.updated = append(k.updated, item.name)
	}
	if over != "" {
		refused = append(refused, over)
	}
	if len(refused) > 0 {
		return fmt.Errorf("%s: %s", item, strings.Join(refused, "; "))
	}
	return nil
}

// unmark removes the markers of deletions from a bucket whose keys will be written once: what was deleted stays so, and can be written.
// No marker can come after the first step, in which only purges are still allowed.
func (k *keeping) unmark(ctx context.Context, s jetstream.Stream, to config) error {
	to.DenyPurge = false
	update := func(ctx context.Context) (jetstream.Stream, error) { return k.js.UpdateStream(ctx, to) }
	if _, err := within(ctx, writeTimeout, update); err != nil {
		return tooMuch(err)
	}
	b := bucket{nc: k.nc, name: strings.TrimPrefix(s.CachedInfo().Config.Name, "KV_")}
	marked, err := b.markers(ctx)
	if err != nil {
		return err
	}
	for _, marker := range marked {
		purge := func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.Purge(ctx, jetstream.WithPurgeSubject(b.subject(marker.key)), jetstream.WithPurgeSequence(marker.revision+1))
		}
		if _, err := within(ctx, writeTimeout, purge); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeping) create(ctx context.Context, item *want) error {
	copies, err := k.replicas(ctx, item, 0, jetstream.DefaultPersistMode)
	if err != nil {
		return fmt.Errorf("%s: %w", item, err)
	}
	to := item.filled(config{}, copies, k.persist(item, jetstream.DefaultPersistMode))
	create := func(ctx context.Context) (jetstream.Stream, error) { return k.js.CreateStream(ctx, to) }
	if _, err := within(ctx, writeTimeout, create); err != nil {
		return fmt.Errorf("%s: creating it: %w", item, tooMuch(err))
	}
	k.created = append(k.created, item.name)
	return nil
}

// persist returns how a stream is to persist that persists in some way now. In a cluster it is as it is, as NATS gives no replicas to a
// stream that persists asynchronously: a broker that does not see the others yet must not make one that stays on it for ever.
func (k *keeping) persist(item *want, present jetstream.PersistModeType) jetstream.PersistModeType {
	switch {
	case !item.async:
		return jetstream.DefaultPersistMode
	case k.alone:
		return jetstream.AsyncPersistMode
	default:
		return present
	}
}

// mostAuto is how many replicas auto comes to at most.
const mostAuto = 3

// replicas returns how many copies a stream is to have that has a number of them now, 0 where it is not there. A broker that is
// down is not counted, so that auto only ever adds.
func (k *keeping) replicas(ctx context.Context, item *want, present int, mode jetstream.PersistModeType) (int, error) {
	if item.spec.Replicas > 0 {
		return int(item.spec.Replicas), nil
	}
	if present >= mostAuto {
		return present, nil
	}
	if k.brokers == 0 {
		if err := k.count(ctx); err != nil {
			return 0, err
		}
	}
	auto := max(present, min(mostAuto, k.brokers))
	if present == 1 && auto > 1 && mode == jetstream.AsyncPersistMode {
		k.notes = append(k.notes, fmt.Sprintf("%s stays on one broker although there are %d, because it persists asynchronously; "+
			"back it up (nats stream backup), delete it, and it is created anew with replicas", item, k.brokers))
		return 1, nil
	}
	return auto, nil
}

// The codes of NATS's answers while a cluster has no leader, or too few brokers are there yet.
const (
	codeNoPeers      jetstream.ErrorCode = 10005
	codeNotAvailable jetstream.ErrorCode = 10008
	codeNotLeader    jetstream.ErrorCode = 10009
	codeResources    jetstream.ErrorCode = 10023
	codeOffline      jetstream.ErrorCode = 10118
)

// codeReserved is the answer of a broker whose streams would be promised more bytes than it may keep.
const codeReserved jetstream.ErrorCode = 10047

// tooMuch gives the next step where a broker has not the room that a bound asks for.
func tooMuch(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeReserved {
		return fmt.Errorf("%w: the max_bytes of all streams come to more than a broker may keep; lower some, or raise stream_bytes of the hosts", err)
	}
	return err
}

// notReady tells errors that pass by themselves.
func notReady(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeNoPeers, codeNotAvailable, codeNotLeader, codeResources, codeOffline, jetstream.JSErrCodeJetStreamNotEnabled:
			return true
		}
	}
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrConnectionClosed)
}
