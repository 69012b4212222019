package overlay

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// remakeAuthority makes what belongs to the cell as a whole: the authority's certificate, the issuers of clients and join tokens, and where they are there the
// operator and the join token.
func (r *rotation) remakeAuthority(n *maker, making string, keys *strings.Builder) error {
	var err error
	if n.ca, err = r.m.ca.Renewed(r.o.Now, issuerLifetime); err != nil {
		return err
	}
	places := []string{n.path("authority", caFile)}
	for _, host := range r.hosts {
		places = append(places, n.path("hosts", host, caFile))
	}
	for _, path := range places {
		if err := n.write(path, "the renewed certificate of the authority", func() ([]byte, error) { return []byte(n.ca.PEM()), nil }); err != nil {
			return err
		}
	}
	for _, name := range []string{"client.jwt", "join.jwt"} {
		if err := r.keep(making, filepath.Join("authority", name)); err != nil {
			return err
		}
	}
	signer, err := n.clientIssuer()
	if err != nil {
		return err
	}
	switch c, err := OpenClient(r.m.path("operator")); {
	case err == nil:
		fmt.Fprintf(keys, "operator %s\n", c.key.Public())
		if err := n.operator(signer, c.URLs); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	switch before, err := readJoin(r.m.path(joinFile)); {
	case err == nil:
		return r.remakeJoin(n, before)
	case errors.Is(err, fs.ErrNotExist):
		_, err := n.joinIssuer()
		return err
	default:
		return err
	}
}

// remakeJoin makes the join token that takes the place of the one before, and a copy for each host, which gives it to the nodes that have come by one before.
func (r *rotation) remakeJoin(n *maker, before *identity.Claims) error {
	signer, err := n.joinIssuer()
	if err != nil {
		return err
	}
	next := identity.Succeeding(before)
	next.IssuedAt, next.Expires = r.o.Now, r.o.Now.Add(joinLifetime)
	next.Join.Pins, next.Join.Controller = []string{n.ca.Pin()}, n.root.Public().String()
	token, err := signer.Sign(*next)
	if err != nil {
		return fmt.Errorf("making a join token: %w", err)
	}
	places := []string{n.path(joinFile)}
	for _, host := range r.hosts {
		places = append(places, n.path("hosts", host, joinFile))
	}
	for _, path := range places {
		if err := n.write(path, "a join token", func() ([]byte, error) { return []byte(token + "\n"), nil }); err != nil {
			return err
		}
	}
	return nil
}

// remakeSecret makes another secret for the brokers of the cluster.
func (r *rotation) remakeSecret(n *maker) error {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	copies, err := inHosts(r.o.Dir, secretFile)
	if err != nil {
		return err
	}
	for _, path := range append([]string{r.m.path("authority", secretFile)}, copies...) {
		name, err := filepath.Rel(r.o.Dir, path)
		if err == nil {
			err = n.write(n.path(name), "the secret of the cluster", func() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil })
		}
		if err != nil {
			return err
		}
	}
	return nil
}
