package consumers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// leastHeartbeat is how often a client may have JetStream say that nothing has come; nats.go asks for no shorter one either.
const leastHeartbeat = 500 * time.Millisecond

// pull is what a client may say in a pull. JetStream waits for what its other fields name, such as priority groups, of consumers that nobody has here.
type pull struct {
	Batch     int           `json:"batch,omitempty"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

// refused is a pull that JetStream cannot read: it tells the client so by a state, 400, which nobody else can.
var refused = []byte("{")

// readPull reads the body of a pull and writes it anew. It is an object of JSON, or the number of messages, or nothing for one message, as nats-server takes it
// (nextReqFromMsg). JetStream holds the other numbers to the consumer's
// bounds. Without an end, a pull ends after five minutes.
func readPull(body []byte) ([]byte, error) {
	var p pull
	switch body = bytes.TrimSpace(body); {
	case len(body) == 0:
		p.Batch = 1
	case body[0] == '{':
		if err := watchers.ReadWholeRequest(body, &p); err != nil {
			return nil, err
		}
	default:
		n, err := strconv.Atoi(string(body))
		if err != nil {
			return nil, errors.New("it is neither an object nor a number")
		}
		p.Batch = n
	}
	if p.Heartbeat != 0 && p.Heartbeat < leastHeartbeat {
		return nil, fmt.Errorf("idle_heartbeat is %v; write at least %v, in nanoseconds", p.Heartbeat, leastHeartbeat)
	}
	if p.Expires == 0 && !p.NoWait {
		p.Expires = mostExpires
	}
	return json.Marshal(p)
}
