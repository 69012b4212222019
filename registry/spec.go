package registry

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Spec is the signed list of what should run.
type Spec struct {
	Type     string    `json:"type"`
	Channel  string    `json:"channel"`            // KV key spec.<channel>
	Audience string    `json:"audience,omitempty"` // the cell; "" is every cell that trusts the root
	Serial   uint64    `json:"serial"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Machines []Entry   `json:"machines"`
	// Extensions are of whoever signs specs, by name. Critical names what a reader must know to follow this spec: extensions, keys, and keys of
	// its machines such as machines.match. Who does not know one of them refuses the spec.
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
	Critical   []string                   `json:"critical,omitempty"`

	Unknown map[string]any `json:"-"` // keys of a later release, which are kept and used for nothing
}

// Entry is one machine of a spec: Choria's plugin entry, and what is ours.
type Entry struct {
	Name           string `json:"name"`
	Version        string `json:"version,omitempty"`
	Source         string `json:"source"`                    // https://... or object://BUCKET/NAME
	Checksum       string `json:"checksum"`                  // sha256 of the bundle, hex
	Verify         string `json:"verify,omitempty"`          // the checksum file inside, SHA256SUMS
	VerifyChecksum string `json:"verify_checksum,omitempty"` // sha256 of that file, hex
	Match          string `json:"match,omitempty"`           // expression over facts; "" is every node
	Username       string `json:"username,omitempty"`
	Password       string `json:"password,omitempty"`
	Size           int64  `json:"size,omitempty"` // of the bundle, bytes
	// Governor limits how many nodes fetch at once: one word of letters, digits, - and _. Rollout is reserved, and passed on as it is.
	Governor string         `json:"governor,omitempty"`
	Rollout  map[string]any `json:"rollout,omitempty"`
	Unknown  map[string]any `json:"-"` // keys of a later release, which are kept and used for nothing
}

// MaxMachines bounds a spec.
const MaxMachines = 1000

var (
	channelName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	governorName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// CheckChannel says what is wrong with the name of a channel.
func CheckChannel(name string) error {
	if !channelName.MatchString(name) {
		return fmt.Errorf("channel %q: a channel is one word of lower-case letters, digits, - and _", shorten(name))
	}
	return nil
}

// Validate says everything that is wrong with a spec by itself, naming the machine.
func (s *Spec) Validate() error {
	var errs []error
	if s.Type != SpecType {
		errs = append(errs, fmt.Errorf("type is %q, not %q", shorten(s.Type), SpecType))
	}
	if s.Serial == 0 {
		errs = append(errs, errors.New("serial: the first is 1"))
	}
	if s.Machines == nil {
		errs = append(errs, errors.New("machines: an empty list is written []"))
	}
	errs = append(errs, CheckChannel(s.Channel), validity(s.Issued, s.Expires), validEntries(s.Machines), checkCritical(s.Critical, s.Extensions, s.known()))
	for i := range s.Machines {
		if s.Channel == OverlayChannel && s.Machines[i].Governor != "" {
			errs = append(errs, fmt.Errorf("machine %q: governor: hosts of a cell do not wait for their turn; leave it out", shorten(s.Machines[i].Name)))
		}
	}
	return errors.Join(errs...)
}

// known are the names that this release knows of specs.
func (s *Spec) known() []string { return knownNames(*s, Entry{}, laterEntries) }

func validEntries(all []Entry) error {
	var errs []error
	if len(all) > MaxMachines {
		errs = append(errs, fmt.Errorf("%d machines; %d are the most", len(all), MaxMachines))
	}
	seen := map[string]bool{}
	for i := range all {
		e := &all[i]
		if seen[e.Name] {
			errs = append(errs, fmt.Errorf("machine %q is there twice", shorten(e.Name)))
		}
		seen[e.Name] = true
		if err := e.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("machine %q: %w", shorten(e.Name), err))
		}
	}
	return errors.Join(errs...)
}

// Validate says everything that is wrong with an entry. Whether its match is an expression is not among it.
func (e *Entry) Validate() error {
	var errs []error
	if !machineName.MatchString(e.Name) {
		errs = append(errs, errors.New("name: a letter, then letters, digits, _ and -, 64 at most"))
	}
	errs = append(errs, checkSource(e.Source), checkDigest("checksum", e.Checksum))
	if (e.Verify == "") != (e.VerifyChecksum == "") {
		errs = append(errs, errors.New("verify and verify_checksum go together"))
	}
	if e.Verify != "" {
		errs = append(errs, checkDigest("verify_checksum", e.VerifyChecksum))
	}
	if strings.ContainsAny(e.Verify, "/\\") || e.Verify == ".." {
		errs = append(errs, errors.New("verify: the name of a file in the machine's folder"))
	}
	if e.Size < 0 {
		errs = append(errs, errors.New("size: less than nothing"))
	}
	if e.Governor != "" && !governorName.MatchString(e.Governor) {
		errs = append(errs, fmt.Errorf("governor: %q is not one word of letters, digits, - and _, 64 at most", shorten(e.Governor)))
	}
	return errors.Join(errs...)
}

func checkDigest(key, text string) error {
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != 32 || text != strings.ToLower(text) {
		return fmt.Errorf("%s: a SHA-256 is 64 hexadecimal digits in lower case", key)
	}
	return nil
}

// checkSource admits what nodes fetch from. Plain http is for tests and tunnels on the machine itself.
func checkSource(source string) error {
	u, err := url.Parse(source)
	switch {
	case err != nil || u.Host == "":
		return errors.New("source: a URL such as object://BUNDLES/DIGEST or https://packages.example.net/web-1.0.0.tgz")
	case u.User != nil:
		return errors.New("source: credentials go into username and password")
	case u.Scheme == "https", u.Scheme == "object":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	default:
		return fmt.Errorf("source: %q is neither https nor object", shorten(u.Scheme))
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
