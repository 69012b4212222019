package broker

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Leafnode is a server elsewhere, such as a region's, that this cell is connected to, with all that passes between both. The connection belongs to an
// account of its own that has nothing but what is listed here: the other side may send what it likes.
type Leafnode struct {
	// Region names the other side: its JetStream domain, and the durable consumer by which it takes a stream. One word, another than the cell's.
	Region string
	// URLs are its leafnode listeners, as tls://user:secret@host:port.
	URLs []string
	// CA is the certificate, in PEM, that theirs chains to; "" is those that the system trusts.
	CA string
	// Out are subjects of FLEET that are heard there, In those that are said there and heard in FLEET.
	Out, In []string
	// Streams are those of UPLINK that the other side takes: it may have the consumer named after it begin anew, hears what that delivers, and
	// says how far it has come.
	Streams []string
}

// AccountLeafnode is the account of a leafnode.
func AccountLeafnode(region string) string { return "LEAFNODE_" + region }

// DeliverSubject is where the consumers of a region deliver what it takes of a cell's streams, each below it.
func DeliverSubject(region, cell string) string { return "to." + region + "." + cell }

// passes are all subjects that pass between the accounts of the cell and the leafnode's.
func (l *Leafnode) passes(cell string) []pass {
	own := AccountLeafnode(l.Region)
	var all []pass
	for _, subject := range l.Out {
		all = append(all, pass{from: AccountFleet, to: own, subject: subject})
	}
	for _, subject := range l.In {
		all = append(all, pass{from: own, to: AccountFleet, subject: subject})
	}
	if len(l.Streams) > 0 {
		all = append(all, pass{from: AccountUplink, to: own, subject: DeliverSubject(l.Region, cell) + ".>"})
	}
	for _, stream := range l.Streams {
		all = append(all,
			// The other side asks $JS.CELL.API, which nats-server takes for $JS.API in the account of a leafnode before anything else.
			pass{from: AccountUplink, to: own, subject: "$JS.API.CONSUMER.RESET." + stream + "." + l.Region, request: true},
			pass{from: AccountUplink, to: own, subject: "$JS.FC." + cell + ".*." + stream + "." + l.Region + ".>", request: true})
	}
	return all
}

// remote is the leafnode as nats-server takes it.
func (c *Config) remote(l *Leafnode) (*server.RemoteLeafOpts, error) {
	urls, err := l.parse()
	if err != nil {
		return nil, err
	}
	o := &server.RemoteLeafOpts{LocalAccount: AccountLeafnode(l.Region), URLs: urls, TLSTimeout: c.Limits.TLSTimeout.Seconds()}
	if l.CA != "" {
		o.TLS = true
		if o.TLSConfig, err = identity.CATLS(l.CA); err != nil {
			return nil, fmt.Errorf("connecting to region %s: %w", l.Region, err)
		}
	}
	return o, nil
}

// parse reads the URLs.
func (l *Leafnode) parse() ([]*url.URL, error) {
	if len(l.URLs) == 0 {
		return nil, errors.New("a URL is missing")
	}
	var parsed []*url.URL
	for _, text := range l.URLs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("a URL cannot be read") // the text may hold a secret
		}
		if u.Scheme != "tls" && !isLoopback(u.Hostname()) {
			return nil, fmt.Errorf("%s must have the scheme tls", u.Redacted())
		}
		parsed = append(parsed, u)
	}
	if _, err := identity.CATLS(l.CA); l.CA != "" && err != nil {
		return nil, err
	}
	return parsed, nil
}

// checkLeafnodes reports everything that is wrong with the leafnodes.
func (c *Config) checkLeafnodes() error {
	var errs []error
	seen := map[string]bool{}
	for i, l := range c.Leafnodes {
		err := l.Check(c.Cell)
		if err == nil && seen[l.Region] {
			err = fmt.Errorf("there are two of region %s: write one, with all URLs", l.Region)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("leafnode %d: %w", i+1, err))
		}
		seen[l.Region] = true
	}
	return errors.Join(errs...)
}

var regionWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// Check reports everything that is wrong with a leafnode of a cell.
func (l *Leafnode) Check(cell string) error {
	var errs []error
	if _, err := l.parse(); err != nil {
		errs = append(errs, err)
	}
	switch {
	case l.Region == "":
		errs = append(errs, errors.New("it does not say what passes: releases before this one let everything pass that the other side allowed. "+
			"Give the region's name as region, and list as out, in and streams what may pass; docs/overlay.md#leafnodes has an example"))
	case !regionWord.MatchString(l.Region):
		errs = append(errs, fmt.Errorf("region %q is not a word of letters, digits, _ and -, 64 at most", l.Region))
	case l.Region == cell:
		errs = append(errs, fmt.Errorf("region %q is the name of the cell itself: JetStream tells both apart by it", l.Region))
	case len(l.Out)+len(l.In)+len(l.Streams) == 0:
		errs = append(errs, fmt.Errorf("nothing passes to or from region %s: list what may as out, in or streams, or remove the entry", l.Region))
	}
	for _, subject := range l.Out {
		errs = append(errs, checkPassing("out", subject, inside()))
	}
	for _, subject := range l.In {
		errs = append(errs, checkPassing("in", subject, append(inside(), taken()...)))
	}
	for _, name := range l.Streams {
		if !regionWord.MatchString(name) {
			errs = append(errs, fmt.Errorf("streams: %q is not the name of a stream: letters, digits, _ and -", name))
		}
	}
	return errors.Join(errs...)
}

// inside are the first words of subjects by which a cell is run. They pass in no direction, as what begins with $ and _ does not.
func inside() []string { return []string{"node", "enroll", "fleet", "client", "consumers", "to"} }

// taken are the first words of what the cell's own streams and services take, which comes from inside only.
func taken() []string {
	return []string{"overlay", "choria", "discovery", "jobs", "audit", "submit"}
}

// checkPassing holds a subject of the list to what may be listed.
func checkPassing(list, subject string, never []string) error {
	first, _, _ := strings.Cut(subject, ".")
	switch {
	case !server.IsValidSubject(subject):
		return fmt.Errorf("%s: %q is not a subject", list, subject)
	case strings.HasPrefix(first, "$"), strings.HasPrefix(first, "_"), slices.Contains(never, first):
		return fmt.Errorf("%s: %s never passes: the cell is run by what begins with %s", list, subject, first)
	case first == "*", first == ">":
		return fmt.Errorf("%s: %s would have everything pass: begin with a word, such as region.>", list, subject)
	}
	return nil
}
