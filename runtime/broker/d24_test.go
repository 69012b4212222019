package broker

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// wire is a connection that says whatever an attacker likes.
type wire struct {
	t     testing.TB
	conn  net.Conn
	read  *bufio.Reader
	nonce string
}

// open connects and speaks TLS as far as the nonce.
func (o *overlay) open(t testing.TB, address string) *wire {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: t, conn: conn, read: bufio.NewReader(conn)}
	w.patient()
	w.info(w.line())
	trust, err := identity.CATLS(o.ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	trust.ServerName = "localhost"
	secure := tls.Client(conn, trust)
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	w.conn, w.read = secure, bufio.NewReader(secure)
	w.patient()
	return w
}

func (w *wire) patient() { _ = w.conn.SetDeadline(time.Now().Add(patience)) }

func (w *wire) info(line string) {
	var said struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &said); err != nil || said.Nonce == "" {
		w.t.Fatalf("no nonce in %q: %v", line, err)
	}
	w.nonce = said.Nonce
}

// line is the next line, "" where the connection was closed.
func (w *wire) line() string {
	line, err := w.read.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}

// connect says CONNECT and reports whether the broker lets it in.
func (w *wire) connect(fields map[string]any) bool {
	w.t.Helper()
	all := map[string]any{"verbose": false, "lang": "go", "version": "1", "protocol": 1}
	for k, v := range fields {
		all[k] = v
	}
	text, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.conn.Write([]byte("CONNECT " + string(text) + "\r\nPING\r\n")); err != nil {
		return false
	}
	for {
		switch line := w.line(); {
		case line == "PONG":
			return true
		case line == "" || strings.HasPrefix(line, "-ERR"):
			return false
		}
	}
}

func signed(k *identity.Key, nonce string) string {
	return base64.RawURLEncoding.EncodeToString(k.Sign([]byte(nonce)))
}

// shown is what an honest client shows.
func shown(l login, nonce string) map[string]any {
	return map[string]any{"auth_token": l.token, "nkey": l.key.Public().NKey(), "sig": signed(l.key, nonce)}
}

// forge signs the claims of a login with whatever method and key.
func forge(t testing.TB, o *overlay, l login, method jwt.SigningMethod, key any) string {
	t.Helper()
	text, err := json.Marshal(&l.claims)
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.MapClaims
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fake is what somebody shows who is not to come in.
type fake struct {
	name       string
	enrollment bool // at the enrollment listener
	show       func(*wire) map[string]any
}

func honest(l login) func(*wire) map[string]any {
	return func(w *wire) map[string]any { return shown(l, w.nonce) }
}

// but shows what the login does, with one field changed.
func but(l login, key string, value any) func(*wire) map[string]any {
	return func(w *wire) map[string]any {
		fields := shown(l, w.nonce)
		fields[key] = value
		return fields
	}
}

// fakeLogins do not prove that they hold the token's key.
func fakeLogins(t testing.TB, o *overlay, b *Broker, node, other, join login) []fake {
	return []fake{
		{"no login", false, func(*wire) map[string]any { return nil }},
		{"a user and a password", false, func(*wire) map[string]any { return map[string]any{"user": "admin", "pass": "admin"} }},
		{"the leafnode's user", false, func(*wire) map[string]any { return map[string]any{"user": leafUser, "pass": b.knowledge.LeafSecret} }},
		{"no token", false, but(node, "auth_token", "")},
		{"the token as jwt", false, func(w *wire) map[string]any {
			fields := shown(node, w.nonce)
			fields["auth_token"], fields["jwt"] = "", node.token
			return fields
		}},
		{"no key", false, but(node, "nkey", "")},
		{"a key that is none", false, but(node, "nkey", "UABC")},
		{"no signature", false, but(node, "sig", "")},
		{"a signature that is none", false, but(node, "sig", "!!!")},
		{"a signature of another nonce", false, func(w *wire) map[string]any { return shown(node, o.open(t, b.ClientURL()).nonce) }},
		{"a signature of nothing", false, func(w *wire) map[string]any { return shown(node, "") }},
		{"another's signature", false, func(w *wire) map[string]any {
			fields := shown(node, w.nonce)
			fields["sig"] = signed(other.key, w.nonce)
			return fields
		}},
		{"another's token", false, func(w *wire) map[string]any {
			fields := shown(node, w.nonce)
			fields["auth_token"] = other.token
			return fields
		}},
		{"a join token, nonce not signed", atEnrollment, but(join, "sig", "")},
		{"a join token, another's signature", atEnrollment, func(w *wire) map[string]any {
			fields := shown(join, w.nonce)
			fields["sig"] = signed(other.key, w.nonce)
			return fields
		}},
	}
}

// fakeTokens are shown by who holds the key that they name.
func fakeTokens(t testing.TB, o *overlay, node, other, join login) []fake {
	stranger := newOverlay(t)
	now := time.Now()
	self, err := (&identity.Signer{Key: node.key}).Sign(node.claims)
	if err != nil {
		t.Fatal(err)
	}
	with := func(token string) func(*wire) map[string]any { return but(node, "auth_token", token) }
	issuerKey := []byte(o.issuer.Key.Public().String())
	return []fake{
		{"alg none", false, with(forge(t, o, node, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType))},
		{"HS256 with the issuer's public key", false, with(forge(t, o, node, jwt.SigningMethodHS256, issuerKey))},
		{"without its signature", false, with(node.token[:strings.LastIndex(node.token, ".")+1])},
		{"with a letter changed", false, with(strings.Replace(node.token, ".", ".A", 1))},
		{"of another overlay", false, honest(stranger.node(t, "n1"))},
		{"signed by its own key", false, with(self)},
		{"not yet valid", false, honest(o.node(t, "n1", func(c *identity.Claims) { c.NotBefore = now.Add(10 * time.Minute) }))},
		{"ended long ago", false, honest(o.node(t, "n1", expiring(now.Add(-121*24*time.Hour))))},
		{"for somebody else", false, honest(o.node(t, "n1", func(c *identity.Claims) { c.Audience = other.claims.PublicKey }))},
		{"of another cell", false, honest(o.node(t, "n1", func(c *identity.Claims) { c.Cell = "c2" }))},
		{"from outside of its networks", false, honest(o.node(t, "n1", func(c *identity.Claims) { c.CIDR = []string{"10.0.0.0/8"} }))},
		{"a join token at the fleet listener", false, honest(join)},
		{"a node's token at the enrollment listener", atEnrollment, honest(node)},
		{"a client's token at the enrollment listener", atEnrollment, honest(o.client(t, "bob", "admin"))},
		{"a service's token at the enrollment listener", atEnrollment, honest(o.service(t, RightEnrollmentService))},
		{"a join token that ended", atEnrollment, honest(o.join(t, expiring(now.Add(-time.Hour))))},
		{"another cell's join token", atEnrollment, honest(o.join(t, func(c *identity.Claims) { c.Cell = "c2" }))},
		{"a client that ended", false, honest(o.login(t, identity.Claims{Purpose: identity.PurposeClient, Subject: "bob"}, expiring(now.Add(-time.Second))))},
	}
}

const atEnrollment = true

// TestD24LoginsThatAreRefused tries what is not a login, with a node's or a join token. Each comes in at a broker that lets
// everybody in.
func TestD24LoginsThatAreRefused(t *testing.T) {
	o := newOverlay(t)
	b, p := o.broker(t), o.permissive(t)
	node, other, join := o.node(t, "n1"), o.node(t, "n2"), o.join(t)
	for _, tt := range append(fakeLogins(t, o, b, node, other, join), fakeTokens(t, o, node, other, join)...) {
		t.Run(tt.name, func(t *testing.T) {
			url := func(b *Broker) string {
				if tt.enrollment {
					return b.EnrollmentURL()
				}
				return b.ClientURL()
			}
			w := o.open(t, url(p))
			if !w.connect(tt.show(w)) {
				t.Fatal("not even a broker that lets everybody in does")
			}
			w = o.open(t, url(b))
			if w.connect(tt.show(w)) {
				t.Error("it comes in")
			}
		})
	}
	for name, l := range map[string]login{"node": node, "join": join} {
		w := o.open(t, map[string]string{"node": b.ClientURL(), "join": b.EnrollmentURL()}[name])
		if !w.connect(shown(l, w.nonce)) {
			t.Errorf("the honest %s does not come in", name)
		}
	}
}

// TestD24SecondLoginOnOneConnection tries to become somebody else on a connection that is open. It works where the broker does not remember
// the first login.
func TestD24SecondLoginOnOneConnection(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	n, client := o.node(t, "n1"), o.client(t, "operator", "admin")
	for name, forgets := range map[string]bool{"forgotten": true, "remembered": false} {
		w := o.open(t, b.ClientURL())
		if !w.connect(shown(n, w.nonce)) {
			t.Fatal("the node does not come in")
		}
		if forgets {
			for _, id := range b.fleet.gate.sessions.of(func(Bearer) bool { return true }) {
				b.fleet.gate.sessions.forget(id)
			}
		}
		if got := w.connect(shown(client, w.nonce)); got != forgets {
			t.Errorf("%s: a second login comes in: %t", name, got)
		}
	}
}

// TestD24LeafnodesNeedTheSecret speaks as a leafnode to every listener.
func TestD24LeafnodesNeedTheSecret(t *testing.T) {
	o := newOverlay(t)
	b, p := o.broker(t), o.permissive(t)
	for _, tt := range []struct {
		name         string
		user, secret string
	}{
		{"without a secret", "", ""}, {"with another secret", leafUser, strings.Repeat("A", 26)}, {"with the secret's user only", leafUser, ""},
		{"with another process's secret", leafUser, p.knowledge.LeafSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !leafConnects(t, p, tt.user, tt.secret) {
				t.Fatal("not even a broker that lets everybody in does")
			}
			if leafConnects(t, b, tt.user, tt.secret) {
				t.Error("it comes in")
			}
		})
	}
	if !leafConnects(t, b, leafUser, b.knowledge.LeafSecret) {
		t.Error("our own leafnode does not come in")
	}
	n := o.node(t, "n1")
	w := o.openLeaf(t, b)
	if w.connect(shown(n, w.nonce)) {
		t.Error("a client comes in at the leaf listener")
	}
}

// openLeaf connects to the leaf listener, which is in plain on loopback.
func (o *overlay) openLeaf(t testing.TB, b *Broker) *wire {
	t.Helper()
	v, err := b.fleet.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(v.LeafNode.Host, strconv.Itoa(v.LeafNode.Port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: t, conn: conn, read: bufio.NewReader(conn)}
	w.patient()
	w.info(w.line())
	return w
}

func leafConnects(t testing.TB, b *Broker, user, secret string) bool {
	t.Helper()
	w := (&overlay{}).openLeaf(t, b)
	text, err := json.Marshal(map[string]any{"user": user, "pass": secret, "name": "leaf-" + newKey(t).Public().String()[:8], "version": "2.15.2", "headers": true, "protocol": 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.Write([]byte("CONNECT " + string(text) + "\r\nPING\r\n")); err != nil {
		return false
	}
	for {
		switch line := w.line(); {
		case line == "PONG":
			return true
		case line == "" || strings.HasPrefix(line, "-ERR"):
			return false
		}
	}
}
