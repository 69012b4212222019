package messaging

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func authority(t *testing.T) (*identity.CA, *tls.Config) {
	t.Helper()
	ca, err := identity.NewCA("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := identity.CATLS(ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return ca, trust
}

func TestConnectsByTLS(t *testing.T) {
	ca, trust := authority(t)
	_, others := authority(t)
	cert, err := ca.Server([]string{"127.0.0.1"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	})
	pinned, err := identity.PinnedTLS([]string{ca.Pin()})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		trust *tls.Config
		want  string
	}{"authority": {trust, "success"}, "pin": {pinned, "success"}, "another authority": {others, "fail"}, "nobody": {nil, "fail"}} {
		c := b.credentials()
		c.TLS = tt.trust
		p := newPool(t, always(c))
		listen(t, p, nil, "connection", "name: fleet").await(tt.want)
		p.Close()
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestMoved: what a connection can go on with, although its source makes everything anew each time, and what it cannot.
func TestMoved(t *testing.T) {
	_, trust := authority(t)
	_, others := authority(t)
	ca, _ := authority(t)
	pinned := func() *tls.Config {
		c, err := identity.PinnedTLS([]string{ca.Pin()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	base := Credentials{URLs: []string{"a", "b"}, TLS: trust, Key: key, Token: "t", InboxPrefix: "i", Expires: time.Now()}
	one := pinned()
	for name, tt := range map[string]struct {
		from, to func(c *Credentials)
		want     bool
	}{
		"nothing":                        {to: func(*Credentials) {}},
		"the same again":                 {to: func(c *Credentials) { c.URLs, c.TLS = []string{"a", "b"}, trust.Clone() }},
		"token":                          {to: func(c *Credentials) { c.Token, c.Expires, c.TLS = "u", time.Now().Add(1), trust.Clone() }},
		"urls":                           {to: func(c *Credentials) { c.URLs = []string{"b"} }, want: true},
		"trust":                          {to: func(c *Credentials) { c.TLS = others }, want: true},
		"no trust":                       {to: func(c *Credentials) { c.TLS = nil }, want: true},
		"server name":                    {to: func(c *Credentials) { c.TLS = trust.Clone(); c.TLS.ServerName = "x" }, want: true},
		"key":                            {to: func(c *Credentials) { c.Key = other }, want: true},
		"no key":                         {to: func(c *Credentials) { c.Key = nil }, want: true},
		"inbox":                          {to: func(c *Credentials) { c.InboxPrefix = "j" }, want: true},
		"in process":                     {to: func(c *Credentials) { c.InProcess = &inProcess{} }, want: true},
		"pins again":                     {from: func(c *Credentials) { c.TLS = one }, to: func(c *Credentials) { c.TLS = pinned() }},
		"pins and token":                 {from: func(c *Credentials) { c.TLS = one }, to: func(c *Credentials) { c.TLS, c.Token = pinned(), "u" }, want: true},
		"one configuration, other token": {from: func(c *Credentials) { c.TLS = one }, to: func(c *Credentials) { c.TLS, c.Token = one, "u" }},
	} {
		from, to := base, base
		if tt.from != nil {
			tt.from(&from)
		}
		tt.to(&to)
		if got := moved(&from, &to); got != tt.want {
			t.Errorf("%s: moved is %t", name, got)
		}
	}
}
