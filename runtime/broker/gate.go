package broker

import (
	"encoding/base64"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// decider is Decide, or what tests put in its place.
type decider func(Evidence, *Knowledge) Decision

// gate asks for a decision on every connection of one server, and carries it out.
type gate struct {
	listener  Listener // of connections of clients
	decide    decider
	knowledge *Knowledge
	renewals  *renewals
	metrics   *metrics
	log       *quiet
	now       func() time.Time
	loggedIn  func(purpose identity.Purpose, name string) // nil tells nobody

	arrivals *arrivals

	// Set before the server starts.
	end      func(id uint64)
	accounts map[string]*server.Account
	sessions *sessions
}

// attach looks up what the server made of its options.
func (g *gate) attach(s *server.Server) {
	g.end = func(id uint64) { _ = s.DisconnectClientByID(id) } // one that has ended by itself meanwhile is as good
	g.sessions = newSessions(func(id uint64) bool { return s.GetClient(id) != nil })
	g.accounts = map[string]*server.Account{}
	for _, name := range []string{AccountFleet, AccountEnrollment, AccountUplink} {
		if account, err := s.LookupAccount(name); err == nil {
			g.accounts[name] = account
		}
	}
}

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) (in bool) {
	defer g.log.recovered("login_panicked") // what is checked comes from strangers
	e := g.evidence(c)
	d := g.decide(e, g.knowledge)
	if d.Refused == "" {
		d.Refused = g.admit(c, e, d)
	}
	g.metrics.login(e.Listener, d)
	if d.Refused != "" {
		g.tell(e, d)
	}
	return d.Refused == ""
}

// tell logs a refusal, with what is proven of who it was.
func (g *gate) tell(e Evidence, d Decision) {
	attrs := []any{slog.String("listener", string(e.Listener)), slog.String("reason", string(d.Refused))}
	if e.Remote.IsValid() {
		attrs = append(attrs, slog.String("remote", e.Remote.String()))
	}
	if d.Purpose != "" {
		attrs = append(attrs, slog.String("purpose", string(d.Purpose)), slog.String("node", diag.Brief(d.Identity, 300)), slog.String("token", diag.Brief(d.TokenID, 200)))
	}
	if e.TokenErr != nil {
		attrs = append(attrs, slog.String("error", diag.Brief(e.TokenErr.Error(), diag.MaxBrief)))
	}
	g.log.warn("connection_refused", attrs...)
}

// dropped is told of a connection that ended before it had logged in.
func (g *gate) dropped(reason string, from netip.Addr) {
	g.metrics.dropped.WithLabelValues(string(g.listener), reason).Inc()
	g.log.warn("arrival_dropped", slog.String("listener", string(g.listener)), slog.String("reason", reason), slog.String("remote", from.String()))
}

// filling is told that most places of the listener are taken.
func (g *gate) filling(joined, members int) {
	g.log.log.Warn("connections_near_limit", slog.String("listener", string(g.listener)), slog.Int("connections", joined), slog.Int("limit", members))
}

// evidence collects what is known of a connection. A token is looked at only when the nonce's signature holds, so that strangers cost
// one verification.
func (g *gate) evidence(c server.ClientAuthentication) Evidence {
	opts := c.GetOpts()
	e := Evidence{Listener: g.listener, Remote: remote(c.RemoteAddress()), Now: g.now()}
	switch c.Kind() {
	case server.CLIENT:
		e.Kind = KindClient
	case server.LEAF:
		e.Kind = KindLeaf
		if g.listener == ListenerFleet {
			e.Listener = ListenerLeaf // nothing else of that server takes leafnodes
		}
		e.Secret = opts.Password
		return e
	default:
		return e
	}
	key, err := identity.ParseNKey(opts.Nkey)
	if err != nil {
		return e
	}
	e.Key = key
	signature, err := base64.RawURLEncoding.DecodeString(opts.Sig)
	nonce := c.GetNonce()
	e.Signed = err == nil && len(nonce) > 0 && key.Verify(nonce, signature)
	if e.Signed && opts.Token != "" {
		e.Claims, e.TokenErr = g.knowledge.Examine(opts.Token, e.Now)
	}
	// The server keeps CONNECT as long as the connection; nobody needs the token again, and thousands of them are megabytes.
	opts.Token = ""
	return e
}

// admit lets a connection in, or says why not after all.
func (g *gate) admit(c server.ClientAuthentication, e Evidence, d Decision) Reason {
	if d.RenewOnly && !g.renewals.take(d.Key, e.Now) {
		return ReasonBusy
	}
	account := g.accounts[d.Account]
	if account == nil {
		return ReasonKind
	}
	user := &server.User{Username: d.Identity, Account: account, Permissions: d.Permissions, ConnectionDeadline: d.Deadline}
	if e.Kind == KindLeaf {
		c.RegisterUser(user)
		return ""
	}
	quota := g.knowledge.Limits.quota(d.Purpose, d.Consumes)
	ended, refused := g.sessions.open(c.GetID(), session{Bearer: d.Bearer}, quota.Sessions, givesWay(d.Purpose))
	if refused != "" {
		return refused
	}
	for _, id := range ended {
		g.metrics.ended.Inc()
		g.end(id)
	}
	// What was revoked after the decision has either found the session in the book, or is found now.
	if g.knowledge.Revoked.Ban(d.Bearer) {
		g.sessions.forget(c.GetID())
		return ReasonRevoked
	}
	c.RegisterUser(user)
	if err := quota.hold(c); err != nil {
		g.log.log.Error("session_not_bounded", slog.Any("error", err))
		return ReasonInternal
	}
	if o, ok := c.RemoteAddress().(*origin); ok {
		g.arrivals.logIn(o.arrival)
	}
	if g.loggedIn != nil && (d.Purpose == identity.PurposeClient || d.Purpose == identity.PurposeService) {
		g.loggedIn(d.Purpose, d.Identity)
	}
	return ""
}

// givesWay reports whether the oldest session of a purpose ends where there is one too many: of who comes back before it is known that it
// was gone.
func givesWay(p identity.Purpose) bool { return p == identity.PurposeNode || p == identity.PurposeJoin }

// remote is the address of a connection, not valid for those from within the process.
func remote(a net.Addr) netip.Addr {
	if o, ok := a.(*origin); ok {
		a = o.Addr
	}
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}
