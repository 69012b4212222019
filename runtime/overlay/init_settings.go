package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A host that comes beside others is given what of their configuration is the cell's, and is told which hosts the cell began with: it serves
// nobody before one of those says that the register is complete.

// standing is what the hosts that were there before say of their cell; nil where there were none.
type standing struct {
	host     string // that says it
	config   Config
	founders []string
}

// readStanding reads the configuration of the hosts that are there.
func (o *InitOptions) readStanding() (*standing, error) {
	found, err := inHosts(o.Dir, configFile)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	var s *standing
	for _, path := range found {
		c, err := ReadConfig(path)
		if err != nil {
			return nil, err
		}
		if s == nil {
			s = &standing{host: c.Host, config: c}
		}
		if what := s.differs(c); what != "" && len(found) < len(o.Hosts) {
			return nil, fmt.Errorf("the hosts %s and %s have another %s in their %s, which is the cell's and so the same on every host: make them agree first, "+
				"so that it is known what a host that comes is given", s.host, c.Host, what, configFile)
		}
		if len(c.Founders) == 0 || slices.Contains(c.Founders, c.Host) {
			s.founders = append(s.founders, c.Host)
		}
	}
	if len(found) < len(o.Hosts) && o.Helper != "" && o.Helper != s.config.Helper {
		return nil, fmt.Errorf("the hosts that are there have the helper %q, not %q: it is the cell's; change it in the %s of each host, or leave --helper out",
			s.config.Helper, o.Helper, configFile)
	}
	return s, nil
}

// differs names a setting of the cell that another host has otherwise.
func (s *standing) differs(c Config) string {
	switch was := s.config; {
	case was.Helper != c.Helper:
		return "helper"
	case was.HelperWorkers != c.HelperWorkers:
		return "helper_workers"
	case !reflect.DeepEqual(was.Configuration, c.Configuration):
		return "configuration"
	case was.StreamBytes != c.StreamBytes:
		return "stream_bytes"
	case was.UplinkBytes != c.UplinkBytes:
		return "uplink_bytes"
	default:
		return ""
	}
}

// settings are the lines of a host's configuration that are the cell's.
func (m *maker) settings() (string, error) {
	c := Config{Helper: m.o.Helper, HelperWorkers: m.o.HelperWorkers, Machines: m.o.Machines}
	if m.standing != nil {
		c = m.standing.config
	}
	var keys []string
	set := func(key string, value any, there bool) error {
		if !there {
			return nil
		}
		text, err := json.Marshal(value) // which is YAML, too
		keys = append(keys, key+": "+string(text)+"\n")
		return err
	}
	err := set("helper", c.Helper, c.Helper != "")
	if err == nil {
		err = set("helper_workers", c.HelperWorkers, c.HelperWorkers > 0)
	}
	if err == nil {
		err = set("machines", c.Machines, c.Machines != "")
	}
	if err == nil {
		err = set("configuration", c.Configuration, len(c.Configuration) > 0)
	}
	if err == nil {
		err = set("stream_bytes", c.StreamBytes, c.StreamBytes > 0)
	}
	if err == nil {
		err = set("uplink_bytes", c.UplinkBytes, c.UplinkBytes > 0)
	}
	if m.standing != nil {
		keys = append(keys, "founders: "+list(m.standing.founders)+"\n")
	}
	return strings.Join(keys, ""), err
}

// CellOf reads which cell a folder is of that Init has made: as its hosts say, or where those have been taken away its issuer of join tokens. It is "" where
// the folder is not there yet.
func CellOf(dir string) (string, error) {
	hosts, err := inHosts(dir, configFile)
	if err != nil {
		return "", err
	}
	if len(hosts) > 0 {
		c, err := ReadConfig(hosts[0])
		return c.Cell, err
	}
	text, err := statefile.Read(filepath.Join(dir, "authority", "join.jwt"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var claims *identity.Claims
	if err == nil {
		claims, err = identity.Inspect(strings.TrimSpace(string(text)))
	}
	if err != nil {
		return "", fmt.Errorf("reading the issuer of join tokens: %w", err)
	}
	return claims.Cell, nil
}

// StandingHosts reads where the hosts of a cell's folder listen, by name; none where it is not there yet. Address is "" where the folder of a host
// does not tell it.
func StandingHosts(dir string) (map[string]HostOptions, error) {
	found, err := inHosts(dir, configFile)
	if err != nil {
		return nil, err
	}
	hosts := map[string]HostOptions{}
	for _, path := range found {
		c, err := ReadConfig(path)
		if err != nil {
			return nil, err
		}
		h := HostOptions{Name: c.Host}
		if h.Listen, _, err = net.SplitHostPort(c.Listen.Fleet); err != nil {
			return nil, fmt.Errorf("%s: listen.fleet: %w", path, err)
		}
		for _, l := range []struct {
			key, address string
			port         *int
		}{
			{"fleet", c.Listen.Fleet, &h.Fleet}, {"enrollment", c.Listen.Enrollment, &h.Enrollment},
			{"cluster", c.Listen.Cluster, &h.Cluster}, {"monitor", c.Listen.Monitor, &h.Monitor},
		} {
			if *l.port, err = portOf(l.address); err != nil {
				return nil, fmt.Errorf("%s: listen.%s: %w", path, l.key, err)
			}
		}
		h.Address = addressOf(filepath.Dir(path), c, h.Fleet)
		hosts[h.Name] = h
	}
	return hosts, nil
}

// addressOf is where a host is reached: of the fleet listeners of its cell that with its own port at a name that its certificate has. Every certificate has
// loopback, so that it counts only where there is no other. It is "" where there is not exactly one.
func addressOf(folder string, c Config, port int) string {
	names, err := serverNames(filepath.Join(folder, certFile), c.Host)
	if err != nil {
		return ""
	}
	loopback := []string{"localhost", "127.0.0.1", "::1"}
	var near, far []string
	for _, broker := range c.Brokers {
		u, err := url.Parse(broker)
		switch {
		case err != nil || u.Port() != strconv.Itoa(port) || !slices.Contains(names, u.Hostname()):
		case slices.Contains(loopback, u.Hostname()):
			near = append(near, u.Hostname())
		default:
			far = append(far, u.Hostname())
		}
	}
	for _, found := range [][]string{far, near} {
		if len(found) == 1 {
			return found[0]
		}
		if len(found) > 1 {
			return ""
		}
	}
	return ""
}

// portOf is the port of host:port, 0 where there is no listener.
func portOf(listener string) (int, error) {
	if listener == "" {
		return 0, nil
	}
	_, port, err := net.SplitHostPort(listener)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
