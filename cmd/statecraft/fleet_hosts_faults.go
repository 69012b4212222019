package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// mostCopies is how many hosts keep a copy of a stream at most.
const mostCopies = 3

// streamResult is a stream, bucket or object store of a cell.
type streamResult struct {
	Stream string `json:"stream"`
	Leader string `json:"leader"` // the host that leads it; "" where none does
	Copies int    `json:"copies"` // hosts that have all of it, as its leader and they themselves say
}

// streamsOf are the streams that the hosts know. A copy counts when the leader takes it for current and its host says that it is well: a
// leader does not see a copy that it has told everything and that has yet to read the messages themselves.
func streamsOf(answers []hostAnswer) []streamResult {
	streams := map[string]*streamResult{}
	of := func(name string) *streamResult {
		if streams[name] == nil {
			streams[name] = &streamResult{Stream: name}
		}
		return streams[name]
	}
	last := map[string]uint64{}
	for _, a := range answers {
		for name, n := range a.Broker.Copies {
			s := of(name)
			s.Leader, s.Copies, last[name] = a.Host, n, a.Broker.Held[name]
		}
		for _, name := range a.Broker.Leaderless {
			of(name)
		}
	}
	holders := map[string]int{}
	for _, a := range answers {
		for name, n := range a.Broker.Held {
			of(name)
			if n > 0 || last[name] == 0 {
				holders[name]++
			}
		}
	}
	list := []streamResult{}
	for name, s := range streams {
		s.Copies = min(s.Copies, holders[name])
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b streamResult) int { return cmp.Compare(a.Stream, b.Stream) })
	return list
}

// size is how many hosts the cell has: those that are known, or as many as one of them is configured to be among.
func (r fleetHostsResult) size() int {
	n := len(r.Hosts)
	for _, h := range r.Hosts {
		if hosts, ok := h.Settings["hosts"].(float64); ok {
			n = max(n, int(hosts))
		}
	}
	return n
}

// faults is the error of a cell of which not every host may be stopped.
func (r fleetHostsResult) faults() error {
	size, ready := r.size(), 0
	var said []string
	for _, h := range r.Hosts {
		if lacks := h.lacks(); lacks != "" {
			said = append(said, h.Host+" "+lacks)
		} else {
			ready++
		}
	}
	if unknown := size - len(r.Hosts); unknown > 0 {
		said = append(said, "nothing is known of "+counted(unknown, "host")+" of the cell")
	}
	said = append(said, r.lacking(min(size, mostCopies))...)
	switch {
	case len(said) > 0:
		return fail(exitPartial, "wait before you stop another host; docs/overlay.md says what each cause and state means", "%d of %s well and current: %s",
			ready, are(size), strings.Join(said, "; "))
	case len(r.Disagrees) > 0:
		return fail(exitPartial, "change overlay.yaml of those hosts, or their folder of machines, and start them anew; where a host is right and the cell is not, on that host: "+
			"statecraft fire settings adopt --state DIR/state", "the hosts disagree: %s", strings.Join(r.Disagrees, "; "))
	default:
		return nil
	}
}

func are(hosts int) string {
	if hosts == 1 {
		return "1 host is"
	}
	return fmt.Sprintf("%d hosts are", hosts)
}

// lacks says in words what keeps the host from being one that others can rely on; "" where nothing does.
func (h *hostResult) lacks() string {
	switch {
	case h.Away:
		return "does not answer"
	case h.Health == "":
		return "does not say how its broker is"
	case h.Join == "":
		return "does not say how it stands to the cell"
	case h.Health == "looking":
		return "has yet to look how its broker is"
	case h.Health != "well" && h.Cause != "":
		return "is " + h.Health + " (" + h.Cause + ")"
	case h.Health != "well":
		return "is " + h.Health
	case h.Join == "refused":
		return "serves nobody, as its settings are not the cell's (" + strings.Join(h.Differs, ", ") + ")"
	case h.Join != "member":
		return "serves nobody yet (" + h.Join + ")"
	case h.Lag > 0:
		return "is " + counted(int(h.Lag), "message") + " behind"
	case !h.Current:
		return "does not have all that the others have"
	case h.Streams != "steady":
		return "is still making streams and copies"
	default:
		return ""
	}
}

// mostStreams bounds how many streams are named.
const mostStreams = 3

// lacking says which streams have no leader, and which have fewer copies than wanted.
func (r fleetHostsResult) lacking(wanted int) []string {
	var said []string
	more := 0
	for _, s := range r.Streams {
		switch {
		case s.Leader != "" && s.Copies >= wanted:
			continue
		case len(said) == mostStreams:
			more++
		case s.Leader == "":
			said = append(said, "stream "+s.Stream+" has no leader")
		default:
			said = append(said, fmt.Sprintf("stream %s has %d of %d copies", s.Stream, s.Copies, wanted))
		}
	}
	if more > 0 {
		said = append(said, "and "+counted(more, "stream")+" more")
	}
	if len(r.Streams) == 0 {
		said = append(said, "no stream is known")
	}
	return said
}
