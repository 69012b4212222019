package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A cell grows by hosts that are named beside those that it has. What the folder already says of where the hosts are is completed then;
// whatever else stands in it stays, and so does what was written there by hand.

// allNamed refuses a folder that has hosts which are not named: the others would be told of a cell without them.
func (o *InitOptions) allNamed() error {
	found, err := inHosts(o.Dir, configFile)
	if err != nil {
		return err
	}
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		if !slices.ContainsFunc(o.Hosts, func(h HostOptions) bool { return h.Name == name }) {
			return fmt.Errorf("the cell has the host %s, which is not named: name all of its hosts, or remove %s where it is gone", name, filepath.Dir(path))
		}
	}
	return nil
}

// update replaces a file that was made before.
func (m *maker) update(path, what string, data []byte) error {
	if err := identity.WriteFile(path, data); err != nil {
		return fmt.Errorf("updating %s: %w", what, err)
	}
	m.made = append(m.made, Made{Path: path, What: what, Updated: true})
	return nil
}

// older reports whether a file was there before this run of Init.
func (m *maker) older(path string) (bool, error) {
	if slices.ContainsFunc(m.made, func(f Made) bool { return f.Path == path }) {
		return false, nil
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// extend completes what was made before with the hosts that have come since.
func (m *maker) extend() error {
	for _, h := range m.o.Hosts {
		if err := m.whereOlder(m.path("hosts", h.Name, configFile), func(path string) error { return m.extendConfig(path, h) }); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	if err := m.whereOlder(m.path("operator", clientFile), m.extendClient); err != nil {
		return err
	}
	if err := m.whereOlder(m.path(joinFile), m.extendJoin); err != nil {
		return err
	}
	return m.copyJoin()
}

// copyJoin brings the copies of a join token that takes the place of others to all hosts, those that have come since and those whose copy knows fewer hosts.
func (m *maker) copyJoin() error {
	claims, err := readJoin(m.path(joinFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(claims.Join.Replaces) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := statefile.Read(m.path(joinFile))
	if err != nil {
		return fmt.Errorf("reading the join token: %w", err)
	}
	const what = "a copy of the join token, which the host gives to nodes that have one of those before: copy it to the host, and start that anew"
	for _, h := range m.o.Hosts {
		path := m.path("hosts", h.Name, joinFile)
		switch had, err := statefile.Read(path); {
		case errors.Is(err, fs.ErrNotExist):
			err = m.write(path, what, func() ([]byte, error) { return token, nil })
			if err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("reading %s: %w", path, err)
		case !bytes.Equal(had, token):
			if err := m.update(path, what, token); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *maker) whereOlder(path string, extend func(path string) error) error {
	old, err := m.older(path)
	if err != nil || !old {
		return err
	}
	return extend(path)
}

// with returns a list and those of others that it does not have.
func with(list, others []string) []string {
	all := slices.Clone(list)
	for _, other := range others {
		if !slices.Contains(all, other) {
			all = append(all, other)
		}
	}
	return all
}

// extendConfig completes an overlay.yaml. Its text is changed in three places only, so that comments and order stay.
func (m *maker) extendConfig(path string, h HostOptions) error {
	text, err := statefile.Read(path)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	have, err := parseConfig(path, text)
	if err != nil {
		return err
	}
	want := have
	want.Brokers, want.Peers = with(have.Brokers, m.urls(fleetPort)), with(have.Peers, m.peers(h))
	want.Replicas = max(have.Replicas, len(m.o.Hosts))
	if reflect.DeepEqual(want, have) {
		return nil
	}
	after := setKey(string(text), "brokers", list(want.Brokers))
	after = setKey(after, "peers", list(want.Peers))
	after = setKey(after, "hosts", strconv.Itoa(want.Replicas))
	if got, err := parseConfig(path, []byte(after)); err != nil || !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s is written in a way that cannot be updated: have it say brokers: %s, peers: %s and hosts: %d",
			path, list(want.Brokers), list(want.Peers), want.Replicas)
	}
	return m.update(path, "its configuration, with the hosts that have come: copy it to the host, and start that anew", []byte(after))
}

// setKey writes a key of the top level of a YAML text, in the place of what it has there.
func setKey(text, key, value string) string {
	line := key + ": " + value + "\n"
	text = strings.TrimRight(text, "\n") + "\n"
	at := regexp.MustCompile(`(?m)^` + key + `:.*\n(?:[ \t-].*\n)*`).FindStringIndex(text)
	if at == nil {
		return text + line
	}
	return text[:at[0]] + line + text[at[1]:]
}

func (m *maker) extendClient(path string) error {
	c, err := OpenClient(filepath.Dir(path))
	if err != nil {
		return err
	}
	urls := with(c.URLs, m.urls(fleetPort))
	if len(urls) == len(c.URLs) {
		return nil
	}
	c.URLs = urls
	data, err := c.encode()
	if err != nil {
		return fmt.Errorf("encoding the operator's context: %w", err)
	}
	return m.update(path, "the operator's context, with the hosts that have come", data)
}

// extendJoin signs the join token once more, under its own id and for as long as before: its uses go on being counted, and what is
// revoked stays revoked.
func (m *maker) extendJoin(path string) error {
	claims, err := readJoin(path)
	if err != nil {
		return err
	}
	urls := with(claims.Join.URLs, m.urls(enrollmentPort))
	if len(urls) == len(claims.Join.URLs) {
		return nil
	}
	claims.Join.URLs = urls
	signer, err := loadIssuer(m.path("authority"), "join", m.open)
	if err != nil {
		return err
	}
	token, err := signer.Sign(*claims)
	if err != nil {
		return fmt.Errorf("updating the join token: %w", err)
	}
	return m.update(path, "the join token, with the hosts that have come: nodes that have the old one know the old hosts only", []byte(token+"\n"))
}

// readJoin reads a file with a join token, whose Join is never nil.
func readJoin(path string) (*identity.Claims, error) {
	text, err := statefile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the join token: %w", err)
	}
	claims, err := identity.Inspect(strings.TrimSpace(string(text)))
	if err == nil && claims.Join == nil {
		err = fmt.Errorf("it is for the purpose %s", claims.Purpose)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no join token; remove it, and statecraft overlay init makes one: %w", path, err)
	}
	return claims, nil
}
