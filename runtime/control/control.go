// Package control is the door through which an operator on the same machine looks at a running host and fires events: HTTP with
// JSON over a unix socket in the host's state folder, and the client for it. Who may come in, and the name under which
// events are recorded, are taken from the kernel's credentials of the connection, never from the request.
//
// It decides nothing about machines and keeps no state of its own; it is never reachable over a network.
//
//	GET  /v1/health                        runtime.Health
//	GET  /v1/machines                      []runtime.MachineStatus
//	GET  /v1/machines/{name}               runtime.MachineDetail
//	GET  /v1/machines/{name}/definition    the text of the manifest that runs
//	GET  /v1/machines/{name}/history       a HistoryLine a line, oldest first
//	POST /v1/machines/{name}/fire          FireRequest, answered with FireAnswer
//	GET  /metrics                          for Prometheus
//
// Every refusal is an Error in JSON with the next step.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/statecraft-io/statecraft/runtime/journal"
)

// Causes that callers branch on.
var (
	ErrNoHost     = errors.New("no host answers")            // there is no socket, or nobody listens on it
	ErrNotAllowed = errors.New("not allowed to connect")     // the socket belongs to somebody else
	ErrInUse      = errors.New("another host is listening")  // on the socket that Listen was to make
	ErrUnsafe     = errors.New("others may write to it")     // the folder that the socket would be in
	ErrTooLong    = errors.New("the path is too long")       // for a socket, see MaxPath
	ErrNoSocket   = errors.New("something else is there")    // and no socket
	errIncomplete = errors.New("the answer was cut short")   // by a host that ended
	errNotOurs    = errors.New("the answer is not a host's") // something else listens on the socket
)

// MaxPath is the length of the longest path that a unix socket can have on Linux, in bytes.
const MaxPath = 107

// MaxBody bounds the body of a request, in bytes (128 KiB): an event's payload, which has half of it, and what is around it.
const MaxBody = 128 << 10

// SocketPath is where the host of a state folder listens.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, "control.sock") }

// FireRequest is an operator's event. Fields that are not here are refused.
type FireRequest struct {
	Event   string         `json:"event"`
	Payload map[string]any `json:"payload,omitempty"`
}

// FireAnswer says what became of an event.
type FireAnswer struct {
	Record json.RawMessage `json:"record"` // a machine.Record; of kind refused where the event could not be taken
	// Durable tells that the record is synced; Volatile that the machine's manifest does not ask for it.
	Durable  bool     `json:"durable"`
	Volatile bool     `json:"volatile,omitempty"`
	Takes    []string `json:"takes,omitempty"` // the events that the state takes, where the event was refused
}

// HistoryLine is one line of a machine's history: a record exactly as it was stored, or a gap.
type HistoryLine struct {
	Record   json.RawMessage `json:"record,omitempty"`
	Volatile bool            `json:"volatile,omitempty"` // the record was never stored
	Gap      *journal.Gap    `json:"gap,omitempty"`
	Error    *Error          `json:"error,omitempty"` // the last line of a history that could not be read to its end
}

// Error is an answer that is a refusal.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Message string `json:"error"`
	Hint    string `json:"hint"` // the next step
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

func refuse(status int, hint, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...), Hint: hint}
}
