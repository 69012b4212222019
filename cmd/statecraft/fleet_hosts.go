package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// fleetHostsVerb shows the hosts of a cell.
type fleetHostsVerb struct {
	contextFlags
}

// fleetHostsResult is what fleet hosts --json prints.
type fleetHostsResult struct {
	Hosts     []hostResult   `json:"hosts"`               // by name
	Streams   []streamResult `json:"streams"`             // by name
	Disagrees []string       `json:"disagrees,omitempty"` // settings of the cell that are not the same on all hosts
}

// hostResult is a host of a cell. Of one that is away only the first fields are set.
type hostResult struct {
	Host      string                   `json:"host"`
	Away      bool                     `json:"away"`
	Seconds   int64                    `json:"seconds,omitempty"` // since another host has heard of it
	Version   string                   `json:"version,omitempty"`
	Join      string                   `json:"join,omitempty"`    // state of its machine join
	Health    string                   `json:"health,omitempty"`  // state of its machine health
	Streams   string                   `json:"streams,omitempty"` // state of its machine streams
	Cause     string                   `json:"cause,omitempty"`
	Reason    string                   `json:"reason,omitempty"`
	Since     time.Time                `json:"since,omitzero"` // that it is not well
	Restarts  int                      `json:"restarts"`       // of its broker within the last hour
	Current   bool                     `json:"current"`
	Leader    bool                     `json:"leader"` // of JetStream
	Leads     []string                 `json:"leads"`  // streams
	Lag       uint64                   `json:"lag"`    // messages that it is behind in a stream, the most of all
	Used      int64                    `json:"used"`
	Limit     int64                    `json:"limit"`
	Free      int64                    `json:"free"`
	Size      int64                    `json:"size"`
	Nodes     int                      `json:"nodes"`
	Clients   int                      `json:"clients"`
	Leafnodes map[string]leafnodeState `json:"leafnodes,omitempty"` // by region
	Progress  *transferFar             `json:"progress,omitempty"`  // of the copying, while it moves in with others
	Left      []string                 `json:"left,omitempty"`      // what was not copied when it moved in with others since it was started, and why
	Settings  map[string]any           `json:"settings,omitempty"`
	Differs   []string                 `json:"differs,omitempty"` // the settings of the cell that its configuration has otherwise
	// Keys is the state of its machine keys: well, ending or revoked; KeysReason says which of its keys and certificates.
	Keys       string `json:"keys,omitempty"`
	KeysReason string `json:"keys_reason,omitempty"`
	// Published is what its machine deployer says of the machines that the cell publishes for its hosts; nothing where it runs without them.
	Published *publishedHere `json:"published,omitempty"`
}

// publishedHere is what a host runs of what the channel overlay publishes.
type publishedHere struct {
	State    string   `json:"state"`             // of its machine deployer
	Serial   int64    `json:"serial"`            // of the list that counts; 0 is none
	Machines []string `json:"machines"`          // of the list that are meant for it
	Unknown  []string `json:"unknown,omitempty"` // of which that cannot be said
	Refused  string   `json:"refused,omitempty"` // why a newer list is refused, in one word
	Reason   string   `json:"reason,omitempty"`  // the same for people
}

// leafnodeState is how a host's connection to a region is.
type leafnodeState struct {
	Connected bool `json:"connected"`
	// Waiting is how many messages wait for the region, or are on their way to it, by stream that this host leads.
	Waiting map[string]uint64 `json:"waiting,omitempty"`
}

// transferFar is how far the copying of a host's streams is.
type transferFar struct {
	Stream  string `json:"stream"`
	Done    int    `json:"done"`
	Streams int    `json:"streams"`
	Copied  uint64 `json:"copied"`
	Of      uint64 `json:"of"`
	// Consumers are durable ones that are copied.
	Consumers int `json:"consumers"`
}

// transferAnswer is what a host says of it.
type transferAnswer struct {
	transferFar
	Left []string
}

// neighborAnswer is a host as another one sees it.
type neighborAnswer struct {
	Name    string `json:"name"`
	Away    bool   `json:"away"`
	Seconds int64  `json:"seconds"`
}

// hostAnswer is what the machines join, health, streams, settings, keys and deployer of a host answer.
type hostAnswer struct {
	Host, Machine, State, Version, Cause, Reason string
	Serial                                       int64
	Names, Unknown                               []string
	Refused                                      string
	Since                                        int64
	Restarts                                     int
	Settings                                     map[string]any
	Differs                                      []string
	Progress                                     *transferAnswer
	Broker                                       struct {
		Current        bool
		Leader         string
		Leads          []string
		Lag, Held      map[string]uint64
		Copies         map[string]int
		Leaderless     []string
		Hosts          []neighborAnswer
		Used, Limit    int64
		Free, Size     int64
		Nodes, Clients int
		Leafnodes      map[string]leafnodeState
	}
}

const (
	hostsService = "hosts"
	doingHosts   = "asking the hosts of the cell how they are"
	hostsFirst   = 5 * time.Second        // for the first answer
	hostsQuiet   = 700 * time.Millisecond // after an answer no further one is expected
	// machinesOfAHost answer, each by itself.
	machinesOfAHost = 6
)

// Run prints a line a host. Where one is away, not well or behind, a stream lacks copies or a leader, or they disagree, the result is a partial one.
func (v *fleetHostsVerb) Run(inv *invocation) error {
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	answers, err := m.askHosts()
	if err != nil {
		return err
	}
	r := hostsOf(answers)
	if inv.json {
		err = inv.printJSON(r)
	} else {
		inv.hosts(r)
	}
	if err != nil {
		return err
	}
	return r.faults()
}

// askHosts asks all hosts and waits until those that are known have answered, or no further one does.
func (m *member) askHosts() ([]hostAnswer, error) {
	inbox := m.NewInbox()
	sub, err := m.SubscribeSync(inbox)
	if err == nil {
		err = m.PublishRequest(m.serviceSubject(hostsService), inbox, nil)
	}
	if err != nil {
		return nil, m.failed(doingHosts, err)
	}
	var answers []hostAnswer
	for wait := hostsFirst; !complete(answers); wait = hostsQuiet {
		ctx, cancel := m.patience()
		timer := time.AfterFunc(wait, cancel)
		msg, err := sub.NextMsgWithContext(ctx)
		timer.Stop()
		cancel()
		if err != nil {
			if len(answers) > 0 && m.ctx.Err() == nil {
				break
			}
			return nil, m.silentHosts(err)
		}
		var a hostAnswer
		if err := json.Unmarshal(msg.Data, &a); err != nil || a.Host == "" {
			continue // a host of another release that refuses, or answers otherwise: it counts as one that does not answer
		}
		answers = append(answers, a)
	}
	return answers, nil
}

func (m *member) silentHosts(err error) error {
	if m.ctx.Err() == nil && (errors.Is(err, context.Canceled) || isSilence(err)) {
		return fail(exitUnreachable, "each host's machine health does: statecraft states --state DIR/state shows it on a host; hosts of an earlier release than this program do not", doingHosts+": no host answers")
	}
	return m.failed(doingHosts, err)
}

// complete reports whether every host that is known has answered all that it has to say.
func complete(answers []hostAnswer) bool {
	said := map[string]int{}
	for _, a := range answers {
		said[a.Host]++
		for _, n := range a.Broker.Hosts {
			said[n.Name] += 0
		}
	}
	for _, n := range said {
		if n < machinesOfAHost {
			return false
		}
	}
	return len(said) > 0
}

// hostsOf puts the answers together.
func hostsOf(answers []hostAnswer) fleetHostsResult {
	hosts, lag := map[string]*hostResult{}, map[string]uint64{}
	of := func(name string) *hostResult {
		if hosts[name] == nil {
			hosts[name] = &hostResult{Host: name, Away: true, Leads: []string{}}
		}
		return hosts[name]
	}
	for _, a := range answers {
		of(a.Host).take(a)
		for name, n := range a.Broker.Lag {
			lag[name] = max(lag[name], n)
		}
	}
	for _, a := range answers {
		for _, n := range a.Broker.Hosts {
			if h := of(n.Name); h.Away && (h.Seconds == 0 || n.Seconds > 0 && n.Seconds < h.Seconds) {
				h.Seconds = n.Seconds
			}
		}
	}
	r := fleetHostsResult{Streams: streamsOf(answers)}
	for name, h := range hosts {
		h.Lag = lag[name]
		r.Hosts = append(r.Hosts, *h)
	}
	slices.SortFunc(r.Hosts, func(a, b hostResult) int { return cmp.Compare(a.Host, b.Host) })
	r.Disagrees = disagreements(r.Hosts)
	return r
}

// take takes what one of the host's machines has answered.
func (h *hostResult) take(a hostAnswer) {
	h.Away = false
	if a.Machine == "keys" {
		h.Keys, h.KeysReason = a.State, a.Reason
		return
	}
	if a.Machine == "streams" {
		h.Streams = a.State
		return
	}
	if a.Machine == "deployer" {
		h.Published = &publishedHere{State: a.State, Serial: a.Serial, Machines: append([]string{}, a.Names...), Unknown: a.Unknown, Refused: a.Refused, Reason: a.Reason}
		return
	}
	if a.Machine == "settings" {
		h.Differs = a.Differs
		return
	}
	if a.Machine == "join" {
		h.Join, h.Version, h.Settings = a.State, a.Version, a.Settings
		if len(a.Differs) > 0 {
			h.Differs = a.Differs
		}
		if a.Progress != nil {
			h.Left = a.Progress.Left
		}
		if a.Progress != nil && a.Progress.Done < a.Progress.Streams {
			h.Progress = &a.Progress.transferFar
		}
		if h.Reason == "" {
			h.Reason = a.Reason
		}
		return
	}
	b := a.Broker
	h.Health, h.Cause, h.Restarts = a.State, a.Cause, a.Restarts
	if a.Reason != "" {
		h.Reason = a.Reason
	}
	if a.Since > 0 {
		h.Since = time.Unix(a.Since, 0).UTC()
	}
	h.Current, h.Leader, h.Leads = b.Current, b.Leader == a.Host, append([]string{}, b.Leads...)
	h.Used, h.Limit, h.Free, h.Size, h.Nodes, h.Clients = b.Used, b.Limit, b.Free, b.Size, b.Nodes, b.Clients
	h.Leafnodes = b.Leafnodes
}

// disagreements says which settings of the cell a host has otherwise, and which are not the same on all hosts that answer, where none says so of
// itself, as those of releases before.
func disagreements(hosts []hostResult) []string {
	var said []string
	seen := map[string]bool{}
	for _, h := range hosts {
		for _, name := range h.Differs {
			seen[name] = true
			said = append(said, fmt.Sprintf("%s of %s is not the cell's", name, h.Host))
		}
	}
	var first *hostResult
	for i := range hosts {
		h := &hosts[i]
		if h.Settings == nil {
			continue
		}
		if first == nil {
			first = h
			continue
		}
		for name, value := range h.Settings {
			was, has := first.Settings[name]
			if has && !reflect.DeepEqual(value, was) && !seen[name] {
				seen[name] = true
				said = append(said, fmt.Sprintf("%s is not the same on %s and %s", name, first.Host, h.Host))
			}
		}
	}
	slices.Sort(said)
	return said
}

// mostLeftOut bounds how many things are named on the line of a host.
const mostLeftOut = 3

// hosts prints a line a host.
func (inv *invocation) hosts(r fleetHostsResult) {
	rows := [][]string{{"HOST", "HEALTH", "CURRENT", "LEADS", "LAG", "STREAMS", "DISK FREE", "NODES", "VERSION", "SAID"}}
	for _, h := range r.Hosts {
		if h.Away {
			said := ""
			if h.Seconds > 0 {
				said = fmt.Sprintf("not heard of for %s", time.Duration(h.Seconds)*time.Second)
			}
			rows = append(rows, []string{h.Host, "away", "-", "-", "-", "-", "-", "-", "-", said})
			continue
		}
		rows = append(rows, []string{
			h.Host, h.stateText(), yesNo(h.Current), h.leadsText(), fmt.Sprint(h.Lag), mebibytes(h.Used) + " of " + mebibytes(h.Limit),
			mebibytes(h.Free) + " of " + mebibytes(h.Size), fmt.Sprint(h.Nodes), orDash(h.Version), h.said(),
		})
	}
	inv.table(rows)
}

// stateText is its health, and how it stands to the cell while it does not serve.
func (h *hostResult) stateText() string {
	if h.Join != "" && h.Join != "member" {
		return orDash(h.Health) + " (" + h.Join + ")"
	}
	return orDash(h.Health)
}

func (h *hostResult) leadsText() string {
	text := counted(len(h.Leads), "stream")
	if h.Leader {
		text = "JetStream, " + text
	}
	return text
}

func (h *hostResult) said() string {
	var said []string
	if text := strings.TrimSuffix(h.Cause+": "+h.Reason, ": "); text != "" {
		said = append(said, strings.TrimPrefix(text, ": "))
	}
	if h.KeysReason != "" {
		said = append(said, h.KeysReason)
	}
	said = append(said, h.Published.said()...)
	if !h.Since.IsZero() {
		said = append(said, "since "+instant(h.Since))
	}
	if p := h.Progress; p != nil {
		said = append(said, fmt.Sprintf("%d of %d streams copied, %s up to %d of %d", p.Done, p.Streams, p.Stream, p.Copied, p.Of))
	}
	for _, region := range slices.Sorted(maps.Keys(h.Leafnodes)) {
		l := h.Leafnodes[region]
		if !l.Connected {
			said = append(said, "not connected to "+region)
		}
		for _, stream := range slices.Sorted(maps.Keys(l.Waiting)) {
			if n := l.Waiting[stream]; n > 0 {
				said = append(said, fmt.Sprintf("%d messages of %s wait for %s", n, stream, region))
			}
		}
	}
	if n := len(h.Left); n > 0 {
		said = append(said, fmt.Sprintf("not copied: %s", strings.Join(h.Left[:min(n, mostLeftOut)], ", ")))
		if n > mostLeftOut {
			said = append(said, fmt.Sprintf("and %d more, which --json names", n-mostLeftOut))
		}
	}
	return strings.Join(said, "; ")
}

// said is what is published for the host, and what of it is refused.
func (p *publishedHere) said() (said []string) {
	if p == nil {
		return nil
	}
	if n := len(p.Machines); n > 0 {
		said = append(said, fmt.Sprintf("runs what is published for hosts (list %d): %s", p.Serial, strings.Join(p.Machines[:min(n, mostLeftOut)], ", ")))
		if n > mostLeftOut {
			said = append(said, fmt.Sprintf("and %d more, which --json names", n-mostLeftOut))
		}
	}
	if p.Refused != "" {
		said = append(said, "refuses what is published for hosts ("+p.Refused+"): "+p.Reason)
	}
	return said
}

func yesNo(holds bool) string {
	if holds {
		return "yes"
	}
	return "no"
}

// mebibytes is a number of bytes as people compare it.
func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
