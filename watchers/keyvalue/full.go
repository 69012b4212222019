package keyvalue

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// What nats-server says of a broker without room, with a status that others have who are not ready, and of a full stream beside codeNotStored.
const (
	codeNoResources  jetstream.ErrorCode = 10023
	codeNoStorage    jetstream.ErrorCode = 10047
	boundDescription                     = "maximum " // bytes, messages, or messages per subject exceeded
)

// IsFull reports that a stream, or the broker that keeps it, has no room, which time does not change.
func IsFull(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode {
	case codeNoResources, codeNoStorage:
		return true
	case codeNotStored:
		return strings.HasPrefix(api.Description, boundDescription)
	default:
		return false
	}
}
