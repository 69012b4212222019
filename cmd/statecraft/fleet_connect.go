package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/runtime/publication"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// contextFlags name who a verb speaks as.
type contextFlags struct {
	As string `env:"STATECRAFT_CONTEXT" placeholder:"FOLDER" help:"Folder of the client to speak as, such as operator/ of a cell (default ~/.config/statecraft)."`
}

const (
	loginTimeout = 5 * time.Second  // of each broker
	patience     = 10 * time.Second // for an answer
)

// member is a client's open connection to its cell. The caller closes it.
type member struct {
	*nats.Conn
	folder string // of the client
	name   string // of the client
	key    string // of the client, in the form of NATS
	claims *identity.Claims
	need   string // the right that the verb needs
	// ctx ends when the program is interrupted, and when the broker refuses a subject: who waits for an answer would wait in vain.
	ctx    context.Context
	refuse context.CancelCauseFunc
	lost   chan error // why the connection was closed for good
	// ending is set where what is asked for ends the session, which is no surprise then.
	ending atomic.Bool
}

// folder returns the client's folder.
func (f contextFlags) folder() (string, error) {
	if f.As != "" {
		return f.As, nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", usage("name the client's folder with --as", "finding the client's folder: %w", err)
	}
	return filepath.Join(dir, ".config", "statecraft"), nil
}

// connect opens a connection for a verb that needs a right.
func (f contextFlags) connect(inv *invocation, need string) (*member, error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	client, err := overlay.OpenClient(dir)
	if err != nil {
		return nil, contextError(err, need)
	}
	credentials, err := client.Credentials()
	if err != nil {
		return nil, contextError(err, need)
	}
	claims, err := identity.Inspect(client.Token)
	if err != nil {
		return nil, contextError(err, need)
	}
	inv.noteEnd(claims, time.Now())
	m := &member{folder: dir, name: claims.Subject, key: credentials.Key.Public().NKey(), claims: claims, need: need, lost: make(chan error, 1)}
	m.ctx, m.refuse = context.WithCancelCause(inv.ctx)
	m.Conn, err = nats.Connect(strings.Join(credentials.URLs, ","), m.options(inv, credentials)...)
	if err == nil {
		return m, nil
	}
	m.refuse(nil)
	if inv.ctx.Err() != nil {
		return nil, inv.ctx.Err()
	}
	return nil, loginError(err, client, claims, dir)
}

// noteEnd says that the token of a client ends: from 60 days before, or in the last third of a shorter life.
func (inv *invocation) noteEnd(c *identity.Claims, now time.Time) {
	left := c.Expires.Sub(now)
	if c.Expires.IsZero() || left <= 0 || left > min(60*24*time.Hour, c.Expires.Sub(c.IssuedAt)/3) {
		return
	}
	inv.notef("the token of the client %s ends at %s: statecraft token issue client makes another one; statecraft overlay rotate --all that of the operator", c.Subject, instant(c.Expires))
}

func (m *member) options(inv *invocation, c *messaging.Credentials) []nats.Option {
	return []nats.Option{
		nats.Name("statecraft " + m.name), nats.Token(c.Token), nats.Secure(c.TLS), nats.CustomInboxPrefix(c.InboxPrefix),
		nats.Nkey(c.Key.Public().NKey(), func(nonce []byte) ([]byte, error) { return c.Key.Sign(nonce), nil }),
		nats.Timeout(loginTimeout), nats.SetCustomDialer(abortable{inv.ctx}), nats.SkipHostLookup(), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				m.refuse(err)
				return
			}
			if !isRefusal(err) { // which ends the connection, and then says why
				inv.notef("%v", err)
			}
		}),
		nats.ClosedHandler(func(conn *nats.Conn) { m.lost <- conn.LastError() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && inv.ctx.Err() == nil && !m.ending.Load() { // an interrupt closes it, too
				inv.notef("the connection was lost (%v) and is tried again; what happens meanwhile is not seen", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { inv.notef("connected again") }),
	}
}

// abortable dials no longer than its context lasts, and cuts a login short that an interrupt ends.
type abortable struct{ ctx context.Context }

// Dial implements nats.CustomDialer.
func (d abortable) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: loginTimeout}).DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &abortableConn{Conn: conn, forget: context.AfterFunc(d.ctx, func() { _ = conn.Close() })}, nil
}

type abortableConn struct {
	net.Conn
	forget func() bool
}

// Close closes the socket and lets go of the dialer's context.
func (c *abortableConn) Close() error {
	c.forget()
	return c.Conn.Close()
}

func (m *member) close() {
	m.refuse(nil)
	m.Close()
}

// patience is a context for one answer.
func (m *member) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.ctx, patience)
}

// failed gives the error of something that was done over the connection its exit code and the next step.
func (m *member) failed(doing string, err error) error {
	cause := context.Cause(m.ctx)
	switch {
	case errors.Is(cause, nats.ErrPermissionViolation):
		err = cause
		if m.has(m.need) {
			return fail(exitRefused, "the hosts of the cell are of another release than this program: upgrade both",
				"%s: %s has the right %s, which does not open this there: %w", doing, m.name, m.need, err)
		}
		return fail(exitRefused, "it takes the right "+m.need+"; another token has the rights that are named, and no other: "+anotherToken(m.claims, m.folder, m.need),
			"%s: %s is not allowed to: %w", doing, m.name, err)
	case cause != nil:
		return cause
	case m.IsClosed() && isRefusal(m.LastError()):
		return fail(exitRefused, "has its token ended, or been revoked? statecraft token inspect says until when it is valid",
			"%s: the cell has ended the session of %s: %w", doing, m.name, m.LastError())
	case errors.Is(err, jetstream.ErrBucketNotFound):
		return fail(exitFailed, "the hosts of a cell make it when they start: statecraft overlay run", "%s: %w", doing, err)
	case publication.IsFull(err):
		return fail(exitFailed, "raise stream_bytes in overlay.yaml of every host, and start one after another anew; docs/operations.md says what share of it "+
			"each bucket has, and what frees room (of BUNDLES nothing does, not even registry retract)", "%s: %w", doing, err)
	case errors.Is(err, publication.ErrNobody):
		return fail(exitUnreachable, "statecraft states --state DIR/state on a host shows its machine registry; hosts of an earlier release than this program have none",
			"%s: %w", doing, err)
	case errors.Is(err, publication.ErrSilent):
		return fail(exitUnreachable, "try again in a moment; how are the hosts? statecraft states on a host says, and two of three are to be there",
			"%s: %w", doing, err)
	case isNotReady(err):
		return fail(exitUnreachable, "try again in a moment; a stream without a leader needs two of three hosts: statecraft fleet hosts shows them", "%s: %w", doing, err)
	case isSilence(err):
		return fail(exitUnreachable, "are the hosts of the cell running? statecraft overlay run DIR runs one", "%s: the cell does not answer: %w", doing, err)
	default:
		return fail(exitFailed, "", "%s: %w", doing, err)
	}
}

// isNotReady reports whether the cell's JetStream has answered that it cannot at the moment, as without a quorum.
func isNotReady(err error) bool {
	said, ok := errors.AsType[*jetstream.APIError](err)
	return ok && said.Code == http.StatusServiceUnavailable
}

// has reports whether the client's token names a right.
func (m *member) has(right string) bool {
	return m.claims != nil && m.claims.Permissions[right]
}

// isSilence reports whether an error is that nobody answers. Where the client library gives up by itself it says that something was canceled;
// an interrupt is seen before that.
func isSilence(err error) bool {
	for _, silence := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrNoServers, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, silence) {
			return true
		}
	}
	return false
}

// contextError gives an error of a client's folder its exit code and the next step, which for one that is not there is to make one with the right that is needed.
func contextError(err error, need string) error {
	var syntax *json.SyntaxError
	var field *json.UnmarshalTypeError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage("name a client's folder with --as or STATECRAFT_CONTEXT; statecraft token issue client --dir DIR --name NAME --right "+need+" --output FOLDER makes one",
			"%w", err)
	case errors.Is(err, identity.ErrMalformed), errors.Is(err, identity.ErrDamaged), errors.As(err, &syntax), errors.As(err, &field):
		return fail(exitInvalid, "statecraft token issue client --output makes it anew", "%w", err)
	default:
		return fail(exitFailed, "--as names another client's folder", "%w", err)
	}
}

// loginError says why a cell did not let a client in, or could not be asked.
func loginError(err error, client *overlay.Client, claims *identity.Claims, folder string) error {
	var (
		brokers   = strings.Join(client.URLs, ", ")
		untrusted *tls.CertificateVerificationError
		unknown   x509.UnknownAuthorityError
	)
	switch {
	case isRefusal(err) && !time.Now().Before(claims.Expires):
		return fail(exitRefused, "ask for another one: "+anotherToken(claims, folder, ""),
			"the token of %s ended at %s: %w", claims.Subject, instant(claims.Expires), err)
	case isRefusal(err):
		return fail(exitRefused, "is it revoked, or of another cell, or has its key as many sessions as it may (client_sessions)? The broker's log has the reason; statecraft token inspect says what the token holds",
			"cell %s refuses the token of %s: %w", client.Cell, claims.Subject, err)
	case errors.As(err, &untrusted), errors.As(err, &unknown):
		return fail(exitRefused, "is it another cell? Nothing was told to it; ask for a new context if the cell's authority was replaced",
			"%s is not a broker of cell %s: %w", brokers, client.Cell, err)
	default:
		return fail(exitUnreachable, "is a host of the cell running, and is this its address? A folder learns other addresses by "+anotherToken(claims, folder, "")+"; --as names another client's folder",
			"connecting to cell %s at %s: %w", client.Cell, brokers, err)
	}
}

// anotherToken is the command that gives a client a token with the rights that it has and one more, which may be "". DIR is for the reader to
// fill in.
func anotherToken(c *identity.Claims, folder, more string) string {
	command := "statecraft token issue client --dir DIR --name " + c.Subject
	for _, r := range broker.Rights() {
		if c.Permissions[r.Name] || r.Name == more {
			command += " --right " + r.Name
		}
	}
	return command + " --output " + folder
}

// isRefusal reports whether a broker does not want the credentials.
func isRefusal(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
