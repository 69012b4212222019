package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/credentials"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// The sets of credentials that connection watchers name.
const (
	withJoinToken  = "join"
	withAssignment = "node"
)

// credentials is the source of the agent's pool.
func (a *Agent) credentials(id, name string) (*messaging.Credentials, error) {
	w, err := a.wallet(id)
	if err != nil {
		return nil, err
	}
	key, err := w.Store.Key()
	if err != nil {
		return nil, fmt.Errorf("the node's key: %w", err)
	}
	switch name {
	case withJoinToken:
		return a.joinCredentials(w.Store, key)
	case withAssignment:
		return a.nodeCredentials(w.Store, key)
	default:
		return nil, fmt.Errorf("a node has the credentials %q and %q, not %q", withJoinToken, withAssignment, name)
	}
}

// degraded says what is wrong with what the agent's own node keeps: its key, without which it connects to nobody, and what it trusts.
func (a *Agent) degraded() []string {
	reasons := append(a.shipment.degraded(), a.set.Degraded()...)
	w, err := a.wallet(a.cfg.Identity)
	if err != nil {
		return reasons
	}
	if _, err := w.Store.Key(); err != nil && !errors.Is(err, identity.ErrNoKey) {
		reasons = append(reasons, fmt.Sprintf("it connects to no host: %v; put the file identity/key back from a copy", err))
	}
	return reasons
}

// signHead signs the head of the agent's journal as one of its nodes.
func (a *Agent) signHead(ctx context.Context, id string) (credentials.JournalHead, error) {
	w, err := a.wallet(id)
	if err != nil {
		return credentials.JournalHead{}, err
	}
	key, err := w.Store.Key()
	if err != nil {
		return credentials.JournalHead{}, fmt.Errorf("the node's key: %w", err)
	}
	return a.host.SignHead(ctx, id, key)
}

func (a *Agent) joinCredentials(store *identity.Store, key *identity.Key) (*messaging.Credentials, error) {
	token, err := store.JoinToken()
	if err != nil {
		return nil, fmt.Errorf("the join token: %w", err)
	}
	claims, err := identity.Inspect(token)
	if err != nil {
		return nil, fmt.Errorf("the join token: %w", err)
	}
	if claims.Join == nil {
		return nil, fmt.Errorf("the join token: %w", identity.ErrPurpose)
	}
	tls, err := a.trusts.pinned(claims.Join.Pins)
	if err != nil {
		return nil, fmt.Errorf("the join token's pins: %w", err)
	}
	return &messaging.Credentials{
		URLs: claims.Join.URLs, TLS: tls, Key: key, Token: token, InboxPrefix: broker.InboxPrefix(claims, key.Public()), Expires: claims.Expires,
		Seldom: true, Patient: true, // a handshake that is cut begins anew, and may cost the helper a run
	}, nil
}

func (a *Agent) nodeCredentials(store *identity.Store, key *identity.Key) (*messaging.Credentials, error) {
	given, err := store.Active()
	if err != nil {
		return nil, fmt.Errorf("the assignment: %w", err)
	}
	claims, err := identity.Inspect(given.Token)
	if err != nil {
		return nil, fmt.Errorf("the node's token: %w", err)
	}
	tls, err := a.trusts.ca(given.CA)
	if err != nil {
		return nil, fmt.Errorf("the assignment's certificate authority: %w", err)
	}
	return &messaging.Credentials{
		URLs: given.URLs, TLS: tls, Key: key, Token: given.Token, InboxPrefix: broker.InboxPrefix(claims, key.Public()), Expires: claims.Expires,
		Seldom: true,
	}, nil
}

// bus publishes the events of machines below the subjects of the node that they are about. Events of a time without a connection are lost,
// which the host counts.
type bus struct{ pool *messaging.Pool }

// Reaches implements runtime.Reacher.
func (b *bus) Reaches(identity string) bool { return b.pool.Connected(identity, "fleet") }

// Publish implements runtime.Bus.
func (b *bus) Publish(subject string, e event.Event) error {
	conn, err := b.pool.Conn(e.Subject(), "fleet")
	if err != nil {
		return fmt.Errorf("%w: %w", runtime.ErrUnreachable, err)
	}
	data, err := e.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encoding event %s: %w", e.Type(), err)
	}
	own := "node." + identity.Identity(e.Subject()).Token() + ".out.event." + strings.TrimPrefix(subject, "choria.")
	return conn.Publish(own, data)
}
