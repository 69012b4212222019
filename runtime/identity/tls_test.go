package identity

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA("overlay", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serverOf(t *testing.T, ca *CA, hosts ...string) tls.Certificate {
	t.Helper()
	cert, err := ca.Server(hosts, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// handshake has a client of the configuration greet a server of the certificate, and returns the client's error and all that the
// server could read.
func handshake(t *testing.T, client *tls.Config, server tls.Certificate, maxVersion uint16) (got string, clientErr error) {
	t.Helper()
	here, there := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	must(t, here.SetDeadline(deadline), there.SetDeadline(deadline))
	read := make(chan string)
	go func() {
		defer func() { _ = there.Close() }()
		text, _ := io.ReadAll(tls.Server(there, &tls.Config{Certificates: []tls.Certificate{server}, MaxVersion: maxVersion}))
		read <- string(text)
	}()
	conn := tls.Client(here, client)
	_, clientErr = conn.Write([]byte("secret"))
	_ = conn.Close()
	return <-read, clientErr
}

func called(t *testing.T, cfg *tls.Config, err error, name string) *tls.Config {
	t.Helper()
	must(t, err)
	cfg.ServerName = name
	return cfg
}

// TestD23FakeServerGetsNoSecret holds who is talked to, and that nobody else reads anything.
func TestD23FakeServerGetsNoSecret(t *testing.T) {
	ours, theirs := newCA(t), newCA(t)
	ownCert := serverOf(t, ours, "broker.example", "127.0.0.1")
	// The fake shows our public certificate, too, which does not make its own genuine.
	fake := serverOf(t, theirs, "broker.example", "127.0.0.1")
	showing := fake
	showing.Certificate = append([][]byte{}, fake.Certificate[0], ours.cert.Raw)
	onlyName := serverOf(t, ours, "broker.example")
	for _, tt := range []struct {
		what   string
		server tls.Certificate
		host   string
		max    uint16
		good   bool
	}{
		{"ours", ownCert, "broker.example", 0, true},
		{"ours by address", ownCert, "127.0.0.1", 0, true},
		{"a fake", fake, "broker.example", 0, false},
		{"a fake by address", fake, "127.0.0.1", 0, false},
		{"a fake that shows our CA", showing, "broker.example", 0, false},
		{"ours under another name", ownCert, "other.example", 0, false},
		{"ours by an address that it does not have", onlyName, "127.0.0.1", 0, false},
		{"ours with TLS 1.2", ownCert, "broker.example", tls.VersionTLS12, false},
	} {
		pinning, err := PinnedTLS([]string{ours.Pin()})
		pinning = called(t, pinning, err, tt.host)
		trusting, err := CATLS(ours.PEM())
		trusting = called(t, trusting, err, tt.host)
		for how, cfg := range map[string]*tls.Config{"pinned": pinning, "trusted CA": trusting} {
			got, err := handshake(t, cfg, tt.server, tt.max)
			if (err == nil) != tt.good || (got == "secret") != tt.good || !tt.good && got != "" {
				t.Errorf("%s, %s: %v, the server read %q", tt.what, how, err, got)
			}
		}
	}
	open := &tls.Config{InsecureSkipVerify: true}
	if got, err := handshake(t, open, fake, 0); err != nil || got != "secret" {
		t.Errorf("a client that trusts everybody: %v, the fake read %q", err, got)
	}
}

func TestPinnedHosts(t *testing.T) {
	ca := newCA(t)
	for _, tt := range []struct {
		hosts []string
		good  bool
	}{{[]string{"127.0.0.1"}, true}, {[]string{"10.0.0.1", "broker.example"}, true}, {[]string{"10.0.0.1"}, false}} {
		cfg, err := PinnedTLS([]string{ca.Pin()}, tt.hosts...)
		cfg = called(t, cfg, err, "127.0.0.1")
		if _, err := handshake(t, cfg, serverOf(t, ca, "127.0.0.1", "broker.example"), 0); (err == nil) != tt.good {
			t.Errorf("%q: %v", tt.hosts, err)
		}
	}
}

func TestExpiredServer(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Server([]string{"broker.example"}, time.Now().Add(-2*time.Hour), time.Hour)
	must(t, err)
	cfg, err := PinnedTLS([]string{ca.Pin()})
	if got, err := handshake(t, called(t, cfg, err, "broker.example"), cert, 0); !errors.Is(err, ErrServer) || got != "" {
		t.Errorf("%v, it read %q", err, got)
	}
}

func TestPinsThatAreNone(t *testing.T) {
	for _, pins := range [][]string{nil, {""}, {"abc"}, {newCA(t).Pin(), "x"}, {strings.Repeat("A", 44)}} {
		if _, err := PinnedTLS(pins); err == nil {
			t.Errorf("%q are pins", pins)
		}
	}
	if _, err := CATLS("nothing"); err == nil {
		t.Error("nothing is a CA")
	}
}

// fakeBroker greets as a NATS server does, with TLS of the certificate or, without one, none, and keeps what it is sent.
func fakeBroker(t *testing.T, cert *tls.Certificate) (url string, read func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var mu sync.Mutex
	var got strings.Builder
	var all sync.WaitGroup
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprintf(conn, `INFO {"server_id":"X","version":"2.15.2","proto":1,"headers":true,"nonce":"abc","max_payload":1048576,"tls_required":%t}`+"\r\n", cert != nil)
		if cert != nil {
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*cert}})
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		mu.Lock()
		defer mu.Unlock()
		got.WriteString(line)
	}
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(conn) })
		}
	})
	return "nats://" + l.Addr().String(), func() string {
		_ = l.Close()
		all.Wait()
		return got.String()
	}
}

// TestD23FakeBrokerGetsNoToken speaks NATS: the token would be in CONNECT.
func TestD23FakeBrokerGetsNoToken(t *testing.T) {
	ours := newCA(t)
	genuine, fake := serverOf(t, ours, "127.0.0.1"), serverOf(t, newCA(t), "127.0.0.1")
	pinning, err := PinnedTLS([]string{ours.Pin()})
	must(t, err)
	for what, tt := range map[string]struct {
		cert *tls.Certificate
		cfg  *tls.Config
		sent bool
	}{
		"a genuine one":                       {&genuine, pinning, true},
		"a fake one":                          {&fake, pinning, false},
		"one without TLS":                     {nil, pinning, false},
		"a fake one, to who trusts everybody": {&fake, &tls.Config{InsecureSkipVerify: true}, true},
	} {
		url, read := fakeBroker(t, tt.cert)
		conn, err := nats.Connect(url, nats.Secure(tt.cfg), nats.Token("secret"), nats.Timeout(5*time.Second), nats.NoReconnect())
		if err == nil {
			conn.Close()
		}
		if got := read(); strings.Contains(got, "secret") != tt.sent || !tt.sent && got != "" {
			t.Errorf("%s read %q", what, got)
		}
	}
}

func TestCAFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if _, err := LoadCA(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no CA gives %v", err)
	}
	ca := newCA(t)
	must(t, ca.Save(dir), ca.Save(dir))
	back, err := LoadCA(dir)
	if err != nil || back.Pin() != ca.Pin() || back.PEM() != ca.PEM() {
		t.Fatalf("%v", err)
	}
	for _, name := range []string{caFile, caKeyFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := newCA(t).Save(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replacing another CA: %v", err)
	}
	cfg, err := CATLS(ca.PEM())
	if got, err := handshake(t, called(t, cfg, err, "x"), serverOf(t, back, "x"), 0); err != nil || got != "secret" {
		t.Errorf("a server of the CA that was read: %v", err)
	}
}

func TestD29CAFilesThatAreDamaged(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	elsewhere := t.TempDir()
	must(t, other.Save(elsewhere))
	for name, tt := range map[string]struct {
		damage func(dir string) error
		want   error
	}{
		"half saved":    {func(dir string) error { return os.Remove(filepath.Join(dir, caFile)) }, fs.ErrNotExist},
		"without a key": {func(dir string) error { return os.Remove(filepath.Join(dir, caKeyFile)) }, fs.ErrNotExist},
		"an empty key":  {func(dir string) error { return os.WriteFile(filepath.Join(dir, caKeyFile), nil, 0o600) }, ErrDamaged},
		"another's key": {func(dir string) error {
			return os.Rename(filepath.Join(elsewhere, caKeyFile), filepath.Join(dir, caKeyFile))
		}, ErrDamaged},
		"an empty certificate": {func(dir string) error { return os.WriteFile(filepath.Join(dir, caFile), nil, 0o600) }, ErrDamaged},
	} {
		dir := t.TempDir()
		must(t, ca.Save(dir), tt.damage(dir))
		if _, err := LoadCA(dir); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	dir := t.TempDir()
	must(t, ca.Save(dir), os.Chmod(filepath.Join(dir, caKeyFile), 0o644))
	if _, err := LoadCA(dir); err == nil {
		t.Error("a key that anybody can read is used")
	}
	must(t, os.Remove(filepath.Join(dir, caFile)), os.Chmod(filepath.Join(dir, caKeyFile), 0o600), other.Save(dir))
	if back, err := LoadCA(dir); err != nil || back.Pin() != other.Pin() {
		t.Errorf("what was half saved stays in the way: %v", err)
	}
}

func TestServerEndsWithItsCA(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Server([]string{"x"}, time.Now(), 100*time.Hour)
	must(t, err)
	if !cert.Leaf.NotAfter.Equal(ca.cert.NotAfter) {
		t.Errorf("it ends at %s", cert.Leaf.NotAfter)
	}
	if _, err := ca.Server(nil, time.Now(), time.Hour); err == nil {
		t.Error("a certificate for nobody")
	}
}
