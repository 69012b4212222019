package main

import (
	"strconv"
	"time"
)

// registryLsVerb lists channels.
type registryLsVerb struct {
	contextFlags
}

// registryResult is what registry ls --json prints.
type registryResult struct {
	Channels []channelResult `json:"channels"` // by name
}

// channelResult is a channel.
type channelResult struct {
	Channel  string    `json:"channel"`
	Serial   uint64    `json:"serial"`
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
	Machines int       `json:"machines"`
}

// Run prints a line a channel.
func (v *registryLsVerb) Run(inv *invocation) error {
	s, err := v.look(inv)
	if err != nil {
		return err
	}
	defer s.close()
	ctx, cancel := s.patience()
	defer cancel()
	names, err := s.Channels(ctx)
	if err != nil {
		return s.problem("listing the channels", err)
	}
	result := registryResult{Channels: []channelResult{}}
	rows := [][]string{{"CHANNEL", "SERIAL", "MACHINES", "ISSUED", "EXPIRES"}}
	for _, name := range names {
		p, err := s.published(name)
		if err != nil {
			return err
		}
		c := channelResult{Channel: name, Serial: p.Spec.Serial, Issued: p.Spec.Issued, Expires: p.Spec.Expires, Machines: len(p.Spec.Machines)}
		result.Channels = append(result.Channels, c)
		rows = append(rows, []string{name, strconv.FormatUint(c.Serial, 10), strconv.Itoa(c.Machines), instant(c.Issued), expiry(c.Expires)})
	}
	if inv.json {
		return inv.printJSON(result)
	}
	if len(names) == 0 {
		inv.notef("nothing is published yet; statecraft publish DIR publishes a machine")
		return nil
	}
	inv.table(rows)
	return nil
}
