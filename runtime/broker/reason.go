package broker

import (
	"errors"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Reason is why a connection was refused. There are few, so that they can be labels of metrics.
type Reason string

// The reasons.
const (
	ReasonKind        Reason = "kind"          // a connection of a kind that has no business at this listener
	ReasonNoKey       Reason = "no_key"        // no nkey, or none that can be read
	ReasonSignature   Reason = "nonce"         // the nonce of this connection was not signed with the key
	ReasonNoToken     Reason = "no_token"      // no token
	ReasonMalformed   Reason = "malformed"     // not a token, or of an algorithm that is not accepted
	ReasonUnsupported Reason = "unsupported"   // it asks for what only a later release knows
	ReasonForged      Reason = "forged"        // the token's own signature does not verify
	ReasonIssuer      Reason = "issuer"        // not signed by an issuer that may sign it
	ReasonPurpose     Reason = "purpose"       // a token of another listener
	ReasonOtherKey    Reason = "other_key"     // the token is for another key
	ReasonCell        Reason = "cell"          // for another cell
	ReasonAudience    Reason = "audience"      // for somebody else
	ReasonAddress     Reason = "address"       // from outside of the token's networks
	ReasonExpired     Reason = "expired"       // ended
	ReasonNotYetValid Reason = "not_yet_valid" // begins later
	ReasonRights      Reason = "rights"        // a service that names no account, or both
	ReasonRevoked     Reason = "revoked"       // the token, its holder or its issuer is revoked
	ReasonUnread      Reason = "unread"        // the host has not read yet what is revoked
	ReasonSecret      Reason = "secret"        // a leafnode that is not ours
	ReasonBusy        Reason = "busy"          // too many renewals at once: to be tried again
	ReasonSessions    Reason = "sessions"      // as many sessions of this key as there may be
	ReasonInternal    Reason = "internal"      // the broker cannot hold the session to its limits: a fault of this program
	ReasonAgain       Reason = "again"         // a second CONNECT on one connection
)

// reasonOf reads an error of verification.
func reasonOf(err error) Reason {
	for _, r := range []struct {
		cause  error
		reason Reason
	}{
		{identity.ErrUnsupported, ReasonUnsupported}, {identity.ErrSignature, ReasonForged}, {identity.ErrIssuer, ReasonIssuer}, {identity.ErrPurpose, ReasonPurpose},
		{identity.ErrAudience, ReasonAudience}, {identity.ErrExpired, ReasonExpired}, {identity.ErrNotYetValid, ReasonNotYetValid},
	} {
		if errors.Is(err, r.cause) {
			return r.reason
		}
	}
	return ReasonMalformed
}

func refuse(r Reason) Decision { return Decision{Refused: r, Permissions: nothing()} }
