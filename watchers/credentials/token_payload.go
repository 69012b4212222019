package credentials

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// claimTypes is the payload's fields that tell what a token says.
func claimTypes() map[string]machine.ValueType {
	return map[string]machine.ValueType{
		"issuer": machine.String, "subject": machine.String, "audience": machine.String, "id": machine.String, "purpose": machine.String,
		"issued": machine.String, "not_before": machine.String, "expires": machine.String,
		"identity": machine.String, "public_key": machine.String, "ou": machine.String, "cell": machine.String,
		"collectives": machine.Array, "permissions": machine.Object, "cidr": machine.Array,
		"urls": machine.Array, "srv_domain": machine.String, "pins": machine.Array, "controller": machine.String, "max_uses": machine.Integer,
		"facts": machine.String, "registration": machine.String, "extensions": machine.Any, "limits": machine.Object,
	}
}

// fields is what a token says, by the names of the payload: those of the token but for the short ones, with the values that JSON gives. The
// chain is left out; issuer is the key that signed.
func fields(c *identity.Claims) (map[string]any, error) {
	p := payload{}
	p.text("issuer", c.Issuer)
	p.text("subject", c.Subject)
	p.text("audience", c.Audience)
	p.text("id", c.ID)
	p.time("issued", c.IssuedAt)
	p.time("not_before", c.NotBefore)
	p.time("expires", c.Expires)
	p.text("purpose", string(c.Purpose))
	p.text("identity", string(c.Identity))
	p.text("public_key", c.PublicKey)
	p.text("ou", c.OU)
	p.text("cell", c.Cell)
	list(p, "collectives", c.Collectives)
	list(p, "cidr", c.CIDR)
	if len(c.Permissions) > 0 {
		permissions := make(map[string]any, len(c.Permissions))
		for name, given := range c.Permissions {
			permissions[name] = given
		}
		p["permissions"] = permissions
	}
	p.limits(c.Limits)
	if err := p.join(c.Join); err != nil {
		return nil, err
	}
	return p, p.json("document", c.Document)
}

// payload leaves out what is empty, as tokens do.
type payload map[string]any

func (p payload) text(name, value string) {
	if value != "" {
		p[name] = value
	}
}

func (p payload) time(name string, at time.Time) {
	if !at.IsZero() {
		p[name] = at.Format(time.RFC3339)
	}
}

func (p payload) number(name string, value int64) {
	if value != 0 {
		p[name] = json.Number(fmt.Sprint(value))
	}
}

func (p payload) json(name string, text json.RawMessage) error {
	if len(text) == 0 {
		return nil
	}
	value, err := decoded[any](text)
	if err != nil {
		return fmt.Errorf("reading the %s of a token: %w", name, err)
	}
	p[name] = value
	return nil
}

func list[T ~string](p payload, name string, values []T) {
	if len(values) == 0 {
		return
	}
	texts := make([]any, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	p[name] = texts
}

func (p payload) join(j *identity.JoinClaims) error {
	if j == nil {
		return nil
	}
	list(p, "urls", j.URLs)
	p.text("srv_domain", j.SRVDomain)
	list(p, "pins", j.Pins)
	p.text("controller", j.Controller)
	p.number("max_uses", int64(j.MaxUses))
	p.text("identity", j.Identities)
	p.text("facts", j.Facts)
	p.text("registration", j.Registration)
	return p.json("extensions", j.Extensions)
}

func (p payload) limits(l *identity.IssuerLimits) {
	if l == nil {
		return
	}
	limits := payload{}
	list(limits, "purposes", l.Purposes)
	limits.text("identities", l.Identities)
	list(limits, "cells", l.Cells)
	limits.number("max_lifetime", int64(l.MaxLifetime/time.Second))
	p["limits"] = map[string]any(limits)
}

// normal is a mapping as it comes out of JSON, with numbers as they are written.
func normal(mapping map[string]any) (map[string]any, error) {
	if isNormal(mapping) {
		return mapping, nil
	}
	text, err := json.Marshal(mapping)
	if err != nil {
		return nil, err
	}
	return decoded[map[string]any](text)
}

// isNormal reports whether a mapping has values only that JSON surely gives back as they are.
func isNormal(mapping map[string]any) bool {
	for name, value := range mapping {
		_, isBool := value.(bool)
		plain := value == nil || isBool || plainText(new(string), value)
		if !plain || !utf8.ValidString(name) {
			return false
		}
	}
	return true
}

// decoded is a JSON value, with numbers as they are written.
func decoded[T any](text []byte) (value T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return value, decoder.Decode(&value)
}
