package cell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// Certificates are the keys and certificates of a host. The host implements it.
type Certificates interface {
	// Certificates lists them. It asks nothing over the network.
	Certificates() ([]Certificate, error)
}

// Certificate is a key of a host, and until when somebody vouches for it.
type Certificate struct {
	Name    string    // HostName, host, enrollment, service, tls, ca
	Key     string    // public, as hexadecimal digits; "" of TLS's
	Ends    time.Time // zero where it does not
	Revoked bool
}

// HostName is in the list for the host's name, which has no key, and is revoked for good.
const HostName = "name"

// The outcomes of certificates beside success, fail and unchanged.
const (
	outcomeEnding  = "ending"
	outcomeRevoked = "revoked"
)

const certificatesInterval = time.Minute

var errNoCertificates = errors.New("this program is no host of a cell; run the machine with overlay run")

// certificatesSpec is the properties of a certificates watcher.
type certificatesSpec struct {
	// Warn is how long before a certificate's end it is told.
	Warn strict.Duration `yaml:"warn" default:"60d" min:"1h"`
}

func certificatesType(c Certificates) watchers.Type {
	read := map[string]machine.ValueType{"reason": machine.String, "keys": machine.Object, "ends": machine.Object}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "certificates",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: read, Doc: "none ends soon, and none is revoked; told when a state is entered and when it is so again"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "the host's folder cannot be read"},
				{Name: outcomeEnding, Class: machine.Neutral, Payload: read, Doc: "one ends within warn, or has ended; reason says which and what to do"},
				{Name: outcomeRevoked, Class: machine.Neutral, Payload: read, Doc: "this host or a key of it is revoked: what it signs is refused; reason says which"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Payload: read, Doc: "as before"},
			},
		},
		Summary: "Reads until when the host's own certificates are valid, and whether its keys are revoked.",
	}, func(spec *certificatesSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &certificates{spec: spec, of: c} }, Interval: certificatesInterval}
	})
}

type certificates struct {
	spec *certificatesSpec
	of   Certificates
	told string // outcome and reason that were told last
}

// Check implements watchers.Checker.
func (w *certificates) Check(_ context.Context, look *watchers.Look) watchers.Report {
	if w.of == nil {
		return watchers.Failure(errNoCertificates.Error())
	}
	all, err := w.of.Certificates()
	if err != nil {
		return watchers.Failed(err)
	}
	rep := w.judge(all, look.At)
	told := rep.Outcome + " " + rep.Message
	if w.told == told && look.Moment == watchers.Interval {
		rep.Outcome = watchers.OutcomeUnchanged
	}
	w.told = told
	return rep
}

func (w *certificates) judge(all []Certificate, now time.Time) watchers.Report {
	keys, ends := map[string]any{}, map[string]any{}
	var ending, revoked []string
	for _, c := range all {
		if c.Key != "" {
			keys[c.Name] = c.Key
		}
		if !c.Ends.IsZero() {
			ends[c.Name] = int(c.Ends.Unix())
		}
		switch {
		case c.Revoked:
			revoked = append(revoked, c.Name)
		case c.Ends.IsZero():
		case !now.Before(c.Ends):
			ending = append(ending, fmt.Sprintf("%s ended at %s", c.Name, c.Ends.UTC().Format(time.DateOnly)))
		case c.Ends.Sub(now) <= w.spec.Warn.Std():
			ending = append(ending, fmt.Sprintf("%s ends at %s", c.Name, c.Ends.UTC().Format(time.DateOnly)))
		}
	}
	slices.Sort(ending)
	slices.Sort(revoked)
	rep := watchers.Report{Outcome: machine.OutcomeSuccess}
	const next = ": run statecraft overlay rotate with this host's name where the cell's authority is, copy the folder to the host, and start it anew"
	switch {
	case slices.Contains(revoked, HostName):
		rep.Outcome, rep.Message = outcomeRevoked, "this host is revoked by its name, for good: none of its services works any more; "+
			"stop it, and where the cell needs another host add one of another name"
	case len(revoked) > 0:
		rep.Outcome, rep.Message = outcomeRevoked, "keys of this host are revoked, so that what they sign is refused ("+strings.Join(revoked, ", ")+")"+next
	case len(ending) > 0:
		rep.Outcome, rep.Message = outcomeEnding, "of this host's certificates "+strings.Join(ending, ", ")+next
	}
	rep.Payload = map[string]any{"reason": rep.Message, "keys": keys, "ends": ends}
	return rep
}
