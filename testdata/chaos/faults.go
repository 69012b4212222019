package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/testdata/netswitch"
)

// meant are the hosts that a fault is for.
func (r *run) meant(ctx context.Context, s step) []host {
	names, first := hostNames(), s.target
	switch {
	case slices.Contains(names, s.target):
	case s.target == "JetStream":
		first = r.cell.leader(ctx, "")
	default:
		first = r.cell.leader(ctx, s.target)
	}
	at := max(0, slices.Index(names, first)) // while there is no leader it is the first host
	if s.fault == both {
		return []host{names[at], names[(at+1)%len(names)]}
	}
	return names[at : at+1]
}

// inject does to its hosts what a step says, for as long as it says, and puts them right again.
func (r *run) inject(ctx context.Context, s step) error {
	hosts := r.meant(ctx, s)
	if s.before != "" {
		if err := r.work(ctx, s.before, s.count); err != nil {
			return err
		}
		wait(ctx, 300*time.Millisecond)
	}
	r.say("%s %v, meant: %s", s.fault, hosts, s.target)
	for _, name := range hosts {
		if err := r.harm(s.fault, name); err != nil {
			return fmt.Errorf("%s %s: %w", s.fault, name, err)
		}
	}
	wait(ctx, s.lasts)
	for _, name := range hosts {
		if err := r.mend(s.fault, name); err != nil {
			return fmt.Errorf("mending %s of %s: %w", s.fault, name, err)
		}
	}
	r.say("%s of %v is over", s.fault, hosts)
	return nil
}

func (r *run) harm(f fault, name host) error {
	switch f {
	case kill, both:
		return r.cell.process(name).end(syscall.SIGKILL)
	case roll:
		return r.cell.process(name).end(syscall.SIGTERM)
	case pause:
		return r.cell.process(name).cmd.Process.Signal(syscall.SIGSTOP)
	case cut:
		r.cell.net.Set(name, netswitch.FromAll)
	case part:
		r.cell.net.Set(name, netswitch.FromHosts)
	case fill:
		return r.cell.disks[name].fill()
	}
	return nil
}

func (r *run) mend(f fault, name host) error {
	switch f {
	case kill, both, roll:
		return r.cell.start(name)
	case pause:
		return r.cell.process(name).cmd.Process.Signal(syscall.SIGCONT)
	case cut, part:
		r.cell.net.Set(name, "")
	case fill:
		return r.cell.disks[name].free()
	}
	return nil
}
