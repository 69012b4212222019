package main

import (
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// registryShowVerb shows one publication.
type registryShowVerb struct {
	shelfFlags
	Serial uint64 `placeholder:"N" help:"Of an earlier publication (default: the present one)."`
}

// specResult is what registry show --json prints.
type specResult struct {
	*registry.Spec
	Signers    []string `json:"signers"`               // public keys in hexadecimal digits
	PassedOver []string `json:"passed_over,omitempty"` // keys and extensions that this release does not know
}

// showSpec is a spec that is about to be shown, with who signed its envelope.
func showSpec(spec *registry.Spec, envelope []byte) (*specResult, error) {
	signers, err := registry.Signers(envelope)
	if err != nil {
		return nil, err
	}
	return &specResult{Spec: spec, Signers: names(signers), PassedOver: spec.PassedOver()}, nil
}

// Run prints who signed what until when, and a line a machine.
func (v *registryShowVerb) Run(inv *invocation) error {
	s, err := v.look(inv)
	if err != nil {
		return err
	}
	defer s.close()
	var p *publication.Published
	if v.Serial == 0 {
		p, err = s.published(v.Channel)
	} else {
		p, err = s.at(v.Channel, v.Serial)
	}
	if err != nil {
		return err
	}
	r, err := showSpec(p.Spec, p.Envelope)
	if err != nil {
		return s.problem("reading the signatures", err)
	}
	if inv.json {
		return inv.printJSON(r)
	}
	inv.spec(r)
	return nil
}

// spec prints a spec for people.
func (inv *invocation) spec(r *specResult) {
	head := [][]string{
		{"channel", r.Channel}, {"serial", strconv.FormatUint(r.Serial, 10)}, {"audience", orDash(r.Audience)},
		{"issued", instant(r.Issued)}, {"expires", expiry(r.Expires)},
	}
	for _, key := range r.Signers {
		head = append(head, []string{"signed by", key})
	}
	if len(r.PassedOver) > 0 {
		head = append(head, []string{"passed over", strings.Join(r.PassedOver, ", ")})
	}
	inv.table(head)
	rows := [][]string{{"MACHINE", "VERSION", "CHECKSUM", "MATCH", "SOURCE"}}
	for _, e := range r.Machines {
		rows = append(rows, []string{e.Name, orDash(e.Version), short(e.Checksum), orDash(e.Match), e.Source})
	}
	inv.printf("\n")
	inv.table(rows)
}

// short is enough of a digest to tell it from others.
func short(digest string) string { return digest[:min(12, len(digest))] }
