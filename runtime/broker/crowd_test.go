package broker

import (
	"bufio"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// crowdSize is how many connect at once.
var crowdSize = flag.Int("crowd", 500, "connections that the tests and benchmarks of a crowd open at once")

// crowdEnv makes the test binary a crowd: many nodes in a process of their own, so that a broker's memory can be told from theirs.
const crowdEnv = "STATECRAFT_TEST_CROWD"

// member is a node of a crowd.
type member struct {
	Token    string
	Seed     []byte
	Identity string
}

// crowd is what the process is told on its standard input, as one line. It answers with a line when all are connected, and ends with its
// input.
type crowd struct {
	Address, CA string
	Members     []member
}

// members makes nodes whose keys can be handed over.
func (o *overlay) members(t testing.TB, n int) []member {
	t.Helper()
	var all []member
	for i := range n {
		seed := make([]byte, ed25519.SeedSize)
		copy(seed, fmt.Sprintf("seed %d", i))
		key, err := identity.KeyFromSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("node-%d.example.net", i)
		l := o.node(t, name, func(c *identity.Claims) { c.PublicKey = key.Public().String() })
		all = append(all, member{Token: l.token, Seed: seed, Identity: identity.Identity(name).Token()})
	}
	return all
}

// gathers starts a crowd in a process of its own and waits until all have connected. The test's end ends it.
func (o *overlay) gathers(t testing.TB, b *Broker, n int) {
	t.Helper()
	text, err := json.Marshal(crowd{Address: strings.TrimPrefix(b.ClientURL(), "tls://"), CA: o.ca.PEM(), Members: o.members(t, n)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), crowdEnv+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if _, err := in.Write(append(text, '\n')); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "connected\n" {
		t.Fatalf("the crowd says %q, %v", line, err)
	}
}

// crowdProcess is the crowd.
func crowdProcess(string) int {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	var c crowd
	if err == nil {
		err = json.Unmarshal(line, &c)
	}
	var open []net.Conn
	if err == nil {
		open, err = c.connect()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		return 1
	}
	fmt.Println("connected")
	_, _ = io.Copy(io.Discard, in)
	runtime.KeepAlive(open) // or they are closed as garbage
	return 0
}

// connect connects all, a few at a time.
func (c *crowd) connect() ([]net.Conn, error) {
	trust, err := identity.CATLS(c.CA)
	if err != nil {
		return nil, err
	}
	trust.ServerName = "localhost"
	var work sync.WaitGroup
	open, errs := make([]net.Conn, len(c.Members)), make([]error, len(c.Members))
	turns := make(chan struct{}, 32)
	for i, m := range c.Members {
		turns <- struct{}{}
		work.Go(func() {
			defer func() { <-turns }()
			open[i], errs[i] = m.connect(c.Address, trust)
		})
	}
	work.Wait()
	return open, errors.Join(errs...)
}

// connect logs in and subscribes as a node does. Nobody answers the broker's pings.
func (m *member) connect(address string, trust *tls.Config) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReaderSize(conn, 4096).ReadString('\n')
	if err != nil {
		return nil, err
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		return nil, err
	}
	secure := tls.Client(conn, trust)
	key, err := identity.KeyFromSeed(m.Seed)
	if err != nil {
		return nil, err
	}
	login, err := json.Marshal(map[string]any{
		"auth_token": m.Token, "nkey": key.Public().NKey(), "sig": base64.RawURLEncoding.EncodeToString(key.Sign([]byte(info.Nonce))),
		"verbose": false, "pedantic": false, "lang": "go", "version": "1.55.0", "protocol": 1, "echo": true, "headers": true,
		"no_responders": true, "name": m.Identity + " fleet", "tls_required": true,
	})
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(secure, "CONNECT %s\r\nSUB node.%s.in.> 1\r\nSUB _INBOX.%s.%s.* 2\r\nSUB fleet.mcollective.> 3\r\nPING\r\n",
		login, m.Identity, m.Identity, hex.EncodeToString(m.Seed[:8]))
	if err != nil {
		return nil, err
	}
	for said := bufio.NewReader(secure); ; {
		line, err := said.ReadString('\n')
		switch {
		case err != nil:
			return nil, err
		case strings.HasPrefix(line, "-ERR"):
			return nil, errors.New(strings.TrimSpace(line))
		case strings.HasPrefix(line, "PONG"):
			return secure, nil
		}
	}
}
