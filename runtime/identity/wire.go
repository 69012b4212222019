package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// wire is claims as a token has them: flat. The `identity` of a join token is a pattern.
type wire struct {
	jwt.RegisteredClaims
	Purpose      Purpose         `json:"purpose,omitempty"`
	Chain        []string        `json:"chain,omitempty"`
	Identity     string          `json:"identity,omitempty"`
	PublicKey    string          `json:"public_key,omitempty"`
	OU           string          `json:"ou,omitempty"`
	Cell         string          `json:"cell,omitempty"`
	Collectives  []string        `json:"collectives,omitempty"`
	Permissions  map[string]bool `json:"permissions,omitempty"`
	CIDR         []string        `json:"cidr,omitempty"`
	URLs         []string        `json:"urls,omitempty"`
	SRVDomain    string          `json:"srv_domain,omitempty"`
	Pins         []string        `json:"pins,omitempty"`
	Controller   string          `json:"controller,omitempty"`
	MaxUses      int             `json:"max_uses,omitempty"`
	Facts        string          `json:"facts,omitempty"`
	Registration string          `json:"registration,omitempty"`
	Extensions   json.RawMessage `json:"extensions,omitempty"`
	Replaces     []string        `json:"replaces,omitempty"`
	Limits       *wireLimits     `json:"limits,omitempty"`
	Document     json.RawMessage `json:"document,omitempty"`
	// Critical names claims that a reader must know: who does not know one refuses the token. This release writes none.
	Critical []string `json:"crit,omitempty"`
}

type wireLimits struct {
	Purposes    []Purpose `json:"purposes,omitempty"`
	Identities  string    `json:"identities,omitempty"`
	Cells       []string  `json:"cells,omitempty"`
	MaxLifetime int64     `json:"max_lifetime,omitempty"` // seconds

	unknown []string // limits of a later release
}

const (
	lastSecond  = 253402300799 // the end of the year 9999, beyond which times have no text
	maxLifetime = int64(math.MaxInt64 / time.Second)
)

// MarshalJSON writes the claims as a token has them.
func (c *Claims) MarshalJSON() ([]byte, error) { return json.Marshal(toWire(c)) }

// UnmarshalJSON reads the claims as a token has them. Unknown ones are left out, unless they are critical: that is ErrUnsupported.
func (c *Claims) UnmarshalJSON(text []byte) error {
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	read, err := w.claims()
	if err == nil {
		*c = *read
	}
	return err
}

func toWire(c *Claims) *wire {
	w := &wire{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: c.Issuer, Subject: c.Subject, ID: c.ID,
			IssuedAt: toDate(c.IssuedAt), NotBefore: toDate(c.NotBefore), ExpiresAt: toDate(c.Expires),
		},
		Purpose: c.Purpose, Chain: c.Chain, Identity: string(c.Identity), PublicKey: c.PublicKey, OU: c.OU, Cell: c.Cell,
		Collectives: c.Collectives, Permissions: c.Permissions, CIDR: c.CIDR, Document: c.Document,
	}
	if c.Audience != "" {
		w.Audience = jwt.ClaimStrings{c.Audience}
	}
	if j := c.Join; j != nil {
		w.URLs, w.SRVDomain, w.Pins, w.Controller, w.MaxUses = j.URLs, j.SRVDomain, j.Pins, j.Controller, j.MaxUses
		w.Identity, w.Facts, w.Registration, w.Extensions, w.Replaces = j.Identities, j.Facts, j.Registration, j.Extensions, j.Replaces
	}
	if l := c.Limits; l != nil {
		// Rounded up, as a lifetime of zero would be none.
		seconds := int64((l.MaxLifetime + time.Second - 1) / time.Second)
		w.Limits = &wireLimits{Purposes: l.Purposes, Identities: l.Identities, Cells: l.Cells, MaxLifetime: seconds}
	}
	return w
}

// claims reads the claims. Errors wrap ErrMalformed or ErrUnsupported; with the latter there are claims, as far as they are known.
func (w *wire) claims() (*Claims, error) {
	c := &Claims{
		Issuer: w.Issuer, Subject: w.Subject, ID: w.ID, Purpose: w.Purpose, Chain: w.Chain,
		PublicKey: w.PublicKey, OU: w.OU, Cell: w.Cell, Collectives: w.Collectives, Permissions: w.Permissions, CIDR: w.CIDR,
		Document: w.Document,
	}
	switch len(w.Audience) {
	case 0:
	case 1:
		c.Audience = w.Audience[0]
	default:
		return nil, malformed("it has %d audiences, not one", len(w.Audience))
	}
	var errs [3]error
	c.IssuedAt, errs[0] = fromDate(w.IssuedAt)
	c.NotBefore, errs[1] = fromDate(w.NotBefore)
	c.Expires, errs[2] = fromDate(w.ExpiresAt)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if w.Purpose == PurposeJoin {
		c.Join = &JoinClaims{
			URLs: w.URLs, SRVDomain: w.SRVDomain, Pins: w.Pins, Controller: w.Controller, MaxUses: w.MaxUses,
			Identities: w.Identity, Facts: w.Facts, Registration: w.Registration, Extensions: w.Extensions, Replaces: w.Replaces,
		}
	} else {
		c.Identity = Identity(w.Identity)
	}
	if err := c.readLimits(w.Limits); err != nil {
		return nil, err
	}
	return c, w.unsupported()
}

func (c *Claims) readLimits(l *wireLimits) error {
	if l == nil {
		return nil
	}
	if l.MaxLifetime < 0 || l.MaxLifetime > maxLifetime {
		return malformed("a lifetime of %d seconds is none", l.MaxLifetime)
	}
	c.Limits = &IssuerLimits{
		Purposes: l.Purposes, Identities: l.Identities, Cells: l.Cells, MaxLifetime: time.Duration(l.MaxLifetime) * time.Second,
	}
	return nil
}

// wholeSeconds makes the times those that a token has. Errors wrap ErrMalformed.
func (c *Claims) wholeSeconds() (err error) {
	for _, at := range []*time.Time{&c.IssuedAt, &c.NotBefore, &c.Expires} {
		if *at, err = fromDate(toDate(*at)); err != nil {
			return err
		}
	}
	return nil
}

func toDate(t time.Time) *jwt.NumericDate {
	if t.IsZero() {
		return nil
	}
	return jwt.NewNumericDate(t)
}

func fromDate(d *jwt.NumericDate) (time.Time, error) {
	if d == nil {
		return time.Time{}, nil
	}
	seconds := d.Unix()
	if seconds < 0 || seconds > lastSecond {
		return time.Time{}, malformed("a time lies outside of the years 1970 to 9999")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
