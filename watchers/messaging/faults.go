package messaging

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine/diag"
)

var errUnreachable = errors.New("no broker answers")

// isRefusal reports whether the broker does not want the credentials.
func isRefusal(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func faultKind(err error) string {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		return "slow_consumer"
	case errors.Is(err, nats.ErrPermissionViolation):
		return "not_permitted"
	case errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		return "too_many_subscriptions"
	default:
		return "other"
	}
}

// fault counts what went wrong and logs the 1st, 10th, 100th, ... of a kind: a broker that is gone, or a machine that does what it may
// not, would fill the log otherwise; under the lock.
func (ln *line) fault(kind string, err error) {
	l := ln.link
	l.faults[kind]++
	n := l.faults[kind]
	for n >= 10 && n%10 == 0 {
		n /= 10
	}
	if n == 1 {
		ln.pool.log.Warn("connection_fault", "identity", l.name.id, "connection", l.name.name, "kind", kind, "count", l.faults[kind], "error", diag.Brief(err.Error(), diag.MaxBrief))
	}
}
