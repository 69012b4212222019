package main

import (
	"slices"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// registryRetractVerb takes machines back. It publishes forward: a serial never goes back.
type registryRetractVerb struct {
	shelfFlags
	signingFlags
	To       uint64   `placeholder:"N" help:"Publish again what was published under this serial, in place of naming machines."`
	Machines []string `arg:"" optional:"" name:"machine" help:"The machines that the channel is to publish no more."`
}

// Run publishes the channel without the machines, or as it was.
func (v *registryRetractVerb) Run(inv *invocation) error {
	if (v.To == 0) == (len(v.Machines) == 0) {
		return usage("name machines, or an earlier publication with --to", "it is to be either machines that are taken back or --to")
	}
	if _, err := lifetime(v.Expires); err != nil {
		return err
	}
	s, err := v.open(inv)
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.base(inv, v.Channel)
	if err == nil && (p == nil || p.Spec == nil) {
		err = s.problem("reading the channel "+v.Channel, publication.ErrNoChannel)
	}
	if err != nil {
		return err
	}
	machines, err := v.remaining(s, p.Spec)
	if err != nil {
		return err
	}
	job := &publishing{inv: inv, shelf: s, channel: v.Channel, signing: v.signingFlags, over: p, machines: machines}
	return job.run()
}

// remaining is what the channel is to publish.
func (v *registryRetractVerb) remaining(s *shelf, now *registry.Spec) ([]registry.Entry, error) {
	if v.To != 0 {
		earlier, err := s.at(v.Channel, v.To)
		if err != nil {
			return nil, err
		}
		return earlier.Spec.Machines, nil
	}
	machines := slices.Clone(now.Machines)
	for _, name := range v.Machines {
		i := slices.IndexFunc(machines, func(e registry.Entry) bool { return e.Name == name })
		if i < 0 {
			return nil, usage("statecraft registry show --channel "+v.Channel+" lists them", "channel %s does not publish %s", v.Channel, name)
		}
		machines = slices.Delete(machines, i, i+1)
	}
	return machines, nil
}
