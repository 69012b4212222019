package main

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

const (
	bareNodesSpan = 2 * time.Second // before, and as long after
	// What a node that joins cannot do without: it connects twice, and seven things are signed and verified: its introduction, the
	// challenge, its proof, its token, its assignment, and the nonce of each connection.
	handshakesOfNode = 2
	signedOfNode     = 7
)

// bareNodes is the cryptography of nodes that join, and nothing else: both sides, in this process, over loopback.
type bareNodes struct {
	client, server *tls.Config
	key            ed25519.PrivateKey
}

// bareNodes takes the certificates of a cell, of the same kind as those of the cells that are measured.
func (b *bench) bareNodes() (*bareNodes, error) {
	dir := filepath.Join(b.dir, "bare-cell")
	if _, err := b.output("overlay", "init", dir); err != nil {
		return nil, err
	}
	host := filepath.Join(dir, "hosts", "overlay1")
	cert, err := tls.LoadX509KeyPair(filepath.Join(host, "tls.pem"), filepath.Join(host, "tls.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(host, "ca.pem"))
	if err != nil {
		return nil, err
	}
	n := &bareNodes{server: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}}
	if n.client, err = identity.CATLS(string(ca)); err != nil {
		return nil, err
	}
	n.client.ServerName = "127.0.0.1"
	_, n.key, err = ed25519.GenerateKey(nil)
	return n, err
}

// perMinute returns how many nodes a minute the machine can do at its best.
func (n *bareNodes) perMinute() (rate []float64, err error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", n.server)
	if err != nil {
		return nil, err
	}
	var served sync.WaitGroup
	served.Go(func() { serveBare(l, &served) })
	defer func() {
		err = errors.Join(err, l.Close())
		served.Wait()
	}()
	lanes := 2 * goruntime.NumCPU()
	errs, began := make([]error, lanes), time.Now()
	var done sync.WaitGroup
	var ready atomic.Int64
	for lane := range lanes {
		done.Go(func() {
			for time.Since(began) < bareNodesSpan && errs[lane] == nil {
				errs[lane] = n.join(l.Addr().String())
				ready.Add(1)
			}
		})
	}
	done.Wait()
	return []float64{float64(ready.Load()) / time.Since(began).Minutes()}, errors.Join(errs...)
}

// serveBare says a byte to everybody who has shaken hands, until the listener is closed. Who has not reads none.
func serveBare(l net.Listener, served *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		served.Go(func() {
			_, _ = conn.Write([]byte{1})
			_ = conn.Close()
		})
	}
}

// join is what one node takes.
func (n *bareNodes) join(address string) error {
	for range handshakesOfNode {
		if err := n.shake(address); err != nil {
			return fmt.Errorf("a bare handshake: %w", err)
		}
	}
	for i := range signedOfNode {
		text := fmt.Appendf(make([]byte, 0, 1024), "%01000d", i) // as long as a signed document is
		if !ed25519.Verify(n.key.Public().(ed25519.PublicKey), text, ed25519.Sign(n.key, text)) {
			return errors.New("a signature is not good")
		}
	}
	return nil
}

func (n *bareNodes) shake(address string) error {
	conn, err := tls.Dial("tcp", address, n.client)
	if err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return errors.Join(err, conn.Close())
}
