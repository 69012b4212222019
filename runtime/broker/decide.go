package broker

import (
	"crypto/subtle"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Listener is where a connection came in.
type Listener string

// The listeners that decide by themselves who comes in. Routes are held to the cluster's secret and certificates by nats-server.
const (
	ListenerFleet      Listener = "fleet"
	ListenerEnrollment Listener = "enrollment"
	ListenerLeaf       Listener = "leaf"
)

// Kind is what a connection speaks. Any other than these is refused.
type Kind string

// KindClient speaks the protocol of clients, KindLeaf that of leafnodes.
const (
	KindClient Kind = "client"
	KindLeaf   Kind = "leaf"
)

// The accounts of a broker. Nobody connects to AccountSystem. AccountUplink has the streams that leave the cell, and nothing else; each leafnode has
// an account of its own beside these (see AccountLeafnode).
const (
	AccountSystem     = "SYSTEM"
	AccountFleet      = "FLEET"
	AccountEnrollment = "ENROLLMENT"
	AccountUplink     = "UPLINK"
)

// Evidence is what is known of a connection that asks to come in.
type Evidence struct {
	Listener Listener
	Kind     Kind
	// Claims is what the token says, and TokenErr what its verification said. With identity.ErrExpired there are claims. Both
	// are nil where no token was shown.
	Claims   *identity.Claims
	TokenErr error
	// Key is the key of CONNECT, zero where there is none or none that can be read.
	Key identity.PublicKey
	// Signed is whether Key signed the nonce that this connection was given.
	Signed bool
	// Secret is the password of CONNECT, which leafnodes show.
	Secret string
	// Remote is where the connection comes from. It is not valid for those from within the process.
	Remote netip.Addr
	Now    time.Time
}

// Knowledge is what decisions are made with. It is all in memory.
type Knowledge struct {
	Verifier *identity.Verifier
	Revoked  *Revocations
	Cell     string
	Limits   Limits
	// LeafSecret is what the enrollment listener's leafnode shows; "" lets none in.
	LeafSecret string
	// Self is the key of the broker's own connections; zero lets none in.
	Self identity.PublicKey
}

// Decision is what becomes of a connection.
type Decision struct {
	// Refused is why it is closed, "" where it is let in.
	Refused Reason
	Account string
	// Permissions is never nil, as nil would be everything. It allows nothing where the connection is refused.
	Permissions *server.Permissions
	// Deadline ends the session; zero is never.
	Deadline time.Time
	// RenewOnly marks sessions of expired tokens, of which only so many begin in a second.
	RenewOnly bool
	// Consumes marks clients that have the right events_read.
	Consumes bool

	// Bearer is who it is, as far as that is proven.
	Bearer
}

// Bearer is who holds a session, by everything that can be revoked.
type Bearer struct {
	// Purpose is the token's; "" is the broker's own.
	Purpose identity.Purpose
	// Identity is written as in subjects; "" where there is no name yet.
	Identity string
	TokenID  string
	Key      identity.PublicKey
	// Issuers are the keys that signed the token and the certificates of its chain, the root's excluded.
	Issuers []identity.PublicKey
}

// BearerOf is who holds a session by a token, which is verified, and a key.
func BearerOf(c *identity.Claims, key identity.PublicKey) Bearer {
	return Bearer{Purpose: c.Purpose, Identity: who(c), TokenID: c.ID, Key: key, Issuers: c.Issuers()}
}

// Examine verifies a token, whatever its purpose. It is where Claims and TokenErr of Evidence come from.
func (k *Knowledge) Examine(token string, now time.Time) (*identity.Claims, error) {
	return k.Verifier.Verify(token, identity.Expect{
		Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeJoin, identity.PurposeClient, identity.PurposeService},
		Now:      now, Leeway: k.Limits.Skew,
	})
}

// Decide says what becomes of a connection. It is pure: the same evidence and knowledge give the same decision.
func Decide(e Evidence, k *Knowledge) Decision {
	switch {
	case e.Kind == KindLeaf && e.Listener == ListenerLeaf:
		return admitLeaf(e, k)
	case e.Kind != KindClient, e.Listener != ListenerFleet && e.Listener != ListenerEnrollment:
		return refuse(ReasonKind)
	case e.Key == identity.PublicKey{}:
		return refuse(ReasonNoKey)
	case !e.Signed:
		return refuse(ReasonSignature)
	case e.Key == k.Self && e.Listener == ListenerFleet && !e.Remote.IsValid():
		return admitSelf(e.Key)
	case e.Claims == nil && e.TokenErr == nil:
		return refuse(ReasonNoToken)
	case e.Claims == nil:
		return refuse(reasonOf(e.TokenErr))
	case e.TokenErr != nil && !errors.Is(e.TokenErr, identity.ErrExpired):
		return refuse(reasonOf(e.TokenErr))
	}
	d := Decision{Bearer: BearerOf(e.Claims, e.Key)}
	if d.Refused = holds(e, k, d.Bearer); d.Refused == "" {
		d.grant(e, k)
	}
	if d.Refused != "" {
		d.Account, d.Permissions, d.Deadline, d.RenewOnly = "", nothing(), time.Time{}, false
	}
	return d
}

// holds asks what every token is asked, expiry excepted.
func holds(e Evidence, k *Knowledge, b Bearer) Reason {
	c := e.Claims
	join := c.Purpose == identity.PurposeJoin
	switch {
	case !slices.Contains(purposes(e.Listener), c.Purpose):
		return ReasonPurpose
	case !join && c.PublicKey != e.Key.String():
		return ReasonOtherKey
	case c.Cell != k.Cell && (!join || c.Cell != ""):
		return ReasonCell
	case c.Audience != "" && c.Audience != k.Cell:
		return ReasonAudience
	case k.Revoked.Ban(b):
		return ReasonRevoked
	case c.Purpose != identity.PurposeService && !k.Revoked.Known():
		return ReasonUnread
	case !within(c.CIDR, e.Remote):
		return ReasonAddress
	}
	return ""
}

func purposes(l Listener) []identity.Purpose {
	if l == ListenerEnrollment {
		return []identity.Purpose{identity.PurposeJoin}
	}
	return []identity.Purpose{identity.PurposeNode, identity.PurposeClient, identity.PurposeService}
}

// within reports whether an address lies in one of the networks, or there are none. What cannot be read holds nobody.
func within(networks []string, remote netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(text string) bool {
		n, err := netip.ParsePrefix(text)
		return err == nil && n.Contains(remote.Unmap())
	})
}

// grant gives the account, permissions and deadline of the token's purpose.
func (d *Decision) grant(e Evidence, k *Knowledge) {
	c := e.Claims
	if !e.Now.Before(c.Expires) {
		d.renewal(e, k)
		return
	}
	d.Deadline = c.Expires
	switch c.Purpose {
	case identity.PurposeJoin:
		d.Account, d.Permissions = AccountEnrollment, joinPermissions(c, e.Key)
		if latest := e.Now.Add(k.Limits.JoinSession); d.Deadline.After(latest) {
			d.Deadline = latest
		}
	case identity.PurposeNode:
		d.Account, d.Permissions = AccountFleet, nodePermissions(c)
	case identity.PurposeClient:
		d.Account, d.Permissions, d.Consumes = AccountFleet, clientPermissions(c, e.Key), c.Permissions[RightEventsRead]
	case identity.PurposeService:
		if d.Account = serviceAccount(c); d.Account == "" {
			d.Refused = ReasonRights
		}
		d.Permissions = permissions([]string{">"}, []string{">"})
	default:
		d.Refused = ReasonPurpose
	}
}

// renewal lets nodes in whose token ended while they were cut off, to ask for a new one and nothing else.
func (d *Decision) renewal(e Evidence, k *Knowledge) {
	c := e.Claims
	if c.Purpose != identity.PurposeNode || !e.Now.Before(c.Expires.Add(k.Limits.RenewWithin)) {
		d.Refused = ReasonExpired
		return
	}
	d.Account, d.Permissions, d.RenewOnly = AccountFleet, renewPermissions(c), true
	d.Deadline = e.Now.Add(k.Limits.RenewSession)
}

// admitLeaf lets in the leafnode of this process's own enrollment listener.
func admitLeaf(e Evidence, k *Knowledge) Decision {
	if k.LeafSecret == "" || subtle.ConstantTimeCompare([]byte(e.Secret), []byte(k.LeafSecret)) != 1 || !e.Remote.Unmap().IsLoopback() {
		return refuse(ReasonSecret)
	}
	return Decision{Account: AccountEnrollment, Permissions: leafPermissions()}
}

// admitSelf lets in the broker's own connection, which follows revocations. It has no name that somebody could revoke.
func admitSelf(key identity.PublicKey) Decision {
	return Decision{Account: AccountFleet, Permissions: selfPermissions(key), Bearer: Bearer{Key: key}}
}

// who names the holder of a token as revocations and logs do; those of join tokens have no name yet.
func who(c *identity.Claims) string {
	switch c.Purpose {
	case identity.PurposeJoin:
		return ""
	case identity.PurposeClient:
		return strings.ReplaceAll(c.Subject, ".", "=")
	default:
		return c.Identity.Token()
	}
}
