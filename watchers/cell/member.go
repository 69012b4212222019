package cell

import (
	"context"
	"errors"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Member is a host's place in its cell. The host implements it.
type Member interface {
	// Standing says how the host stands to its cell. It asks nothing over the network.
	Standing() (Standing, error)
	// Open lets the host serve: it listens for nodes, and runs all of its machines. Streams that were set aside count as copied then. It may be
	// asked again.
	Open(ctx context.Context) error
	// Login returns a name that a client or a service has logged in under, each once for as long as the process lasts; not ok where there is no
	// other one.
	Login() (login Login, ok bool)
}

// Login is a name that is no node's.
type Login struct {
	Token string // the name in lower case, with = for the dot
	Kind  string // client or service
}

// How a host stands to its cell.
const (
	StandsAlone = "alone"  // it is the only host
	Founds      = "founds" // it is one of those that the cell began with
	Joins       = "joins"  // the cell was there before it
	Moves       = "moves"  // it was alone, and has streams that are to be copied
)

// Standing is how a host stands to its cell.
type Standing struct {
	Kind    string
	Founder bool     // it is one of the hosts that the cell began with
	Version string   // of the program
	Hosts   int      // of the cell, by the host's configuration
	Streams []string // that are to be copied, for Moves
	// Settings are those of the configuration that are the cell's, by name, and so should be the same on all hosts.
	Settings map[string]any
}

const openTimeout = 2 * time.Minute

var errNoMember = errors.New("this program is no host of a cell; run the machine with overlay run")

// memberSpec is the properties of a member watcher.
type memberSpec struct {
	// Action is look, which says how the host stands to its cell, or open, which lets the host serve nodes and run all of its machines: until
	// then it runs the machines join and health only; or logins, which tells a name that a client or a service has logged in to this host under,
	// each once, at most one a look.
	Action string `yaml:"action,required" enum:"look|open|logins"`
}

func memberType(m Member) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "member",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: map[string]machine.ValueType{
					"standing": machine.String, "founder": machine.Boolean, "hosts": machine.Integer, "streams": machine.Array, "settings": machine.Object, "version": machine.String,
					"token": machine.String, "kind": machine.String,
				}, Doc: "look: standing is alone (the only host of its cell), founds (one that the cell began with), joins (the cell was there before it) or moves (it " +
					"was alone and has streams that are to be copied), founder whether it is one that the cell began with; open: it serves, without a payload; logins: " +
					"token is the name in lower case with = for the dot, kind is client or service"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "the host's folder cannot be read, or the host cannot serve"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Doc: "logins: nobody has logged in under a name that was not told"},
			},
		},
		Summary: "Says how the host stands to its cell, lets it serve, or tells under which names others than nodes log in.",
	}, func(spec *memberSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &member{spec: spec, member: m} }, Timeout: openTimeout}
	})
}

type member struct {
	spec   *memberSpec
	member Member
}

// Check implements watchers.Checker.
func (w *member) Check(ctx context.Context, _ *watchers.Look) watchers.Report {
	if w.member == nil {
		return watchers.Failure(errNoMember.Error())
	}
	if w.spec.Action == "open" {
		if err := w.member.Open(ctx); err != nil {
			return watchers.Failed(err)
		}
		return watchers.Report{Outcome: machine.OutcomeSuccess, Message: "the host serves"}
	}
	if w.spec.Action == "logins" {
		login, ok := w.member.Login()
		if !ok {
			return watchers.Report{Outcome: watchers.OutcomeUnchanged}
		}
		return watchers.Report{
			Outcome: machine.OutcomeSuccess, Payload: map[string]any{"token": login.Token, "kind": login.Kind}, Message: login.Kind + " " + login.Token + " has logged in",
		}
	}
	s, err := w.member.Standing()
	if err != nil {
		return watchers.Failed(err)
	}
	streams := []any{}
	for _, name := range s.Streams {
		streams = append(streams, name)
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{
		"standing": s.Kind, "founder": s.Founder, "hosts": s.Hosts, "streams": streams, "settings": s.Settings, "version": s.Version,
	}, Message: "the host " + map[string]string{
		StandsAlone: "is alone in its cell", Founds: "is one of those that the cell began with", Joins: "joins a cell that was there before it",
		Moves: "was alone, and moves in with others",
	}[s.Kind]}
}
