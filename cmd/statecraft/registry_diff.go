package main

import (
	"slices"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// registryDiffVerb compares two publications.
type registryDiffVerb struct {
	shelfFlags
	From uint64 `placeholder:"N" help:"The serial to start from (default: the publication before)."`
	To   uint64 `placeholder:"N" help:"The serial to end with (default: the present one)."`
}

// diffResult is what registry diff --json prints.
type diffResult struct {
	Channel string       `json:"channel"`
	From    uint64       `json:"from"` // 0 where there was none before
	To      uint64       `json:"to"`
	Changes []specChange `json:"changes"`
}

// Run prints what changed, machine by machine.
func (v *registryDiffVerb) Run(inv *invocation) error {
	s, err := v.look(inv)
	if err != nil {
		return err
	}
	defer s.close()
	from, to, err := v.two(s)
	if err != nil {
		return err
	}
	r := diffResult{Channel: v.Channel, To: to.Spec.Serial}
	var old *registry.Spec
	if from != nil {
		old, r.From = from.Spec, from.Spec.Serial
	}
	r.Changes = s.changes(inv, old, to.Spec, nil)
	if inv.json {
		return inv.printJSON(r)
	}
	inv.changes(r.Changes)
	return nil
}

// two finds the publications to compare; from is nil where there was none before.
func (v *registryDiffVerb) two(s *shelf) (from, to *publication.Published, err error) {
	all, err := s.past(v.Channel)
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(p publication.Published) bool { return p.Spec == nil })
	find := func(serial uint64, otherwise int) (*publication.Published, error) {
		if serial == 0 {
			if otherwise < 0 {
				return nil, nil
			}
			return &all[otherwise], nil
		}
		return s.at(v.Channel, serial)
	}
	if to, err = find(v.To, len(all)-1); err != nil {
		return nil, nil, err
	}
	if to == nil {
		return nil, nil, s.problem("reading the channel "+v.Channel, publication.ErrNoChannel)
	}
	before := slices.IndexFunc(all, func(p publication.Published) bool { return p.Spec.Serial >= to.Spec.Serial }) - 1
	from, err = find(v.From, before)
	return from, to, err
}
