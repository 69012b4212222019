package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of a machine watcher beyond those every type has.
const (
	outcomeRefused   = "refused"
	outcomeTooOld    = "too_old"
	outcomeWaiting   = "waiting"
	outcomeUnhealthy = "unhealthy"
	outcomeAbsent    = "absent"
)

// What a machine watcher does.
const (
	actionRun     = "run"
	actionConfirm = "confirm"
	actionFind    = "find"
	actionRemove  = "remove"
)

// machineSpec is the properties of a machine watcher.
type machineSpec struct {
	// Action is what to do: run lets the machine of a folder run, or replaces the one of its name; confirm waits until it
	// is in a home state; find looks whether it is there; remove stops it.
	Action string `yaml:"action,required" enum:"run|confirm|find|remove"`
	// Name is the machine's name.
	Name watchers.Text `yaml:"name,required"`
	// Directory is the machine's folder, absolute, with its machine.yaml; for run.
	Directory watchers.Text `yaml:"directory"`
	// Version is the version that the manifest must have; without it any.
	Version watchers.Text `yaml:"version"`
	// Content identifies what the folder holds, such as the sha256 of its archive: while a machine of this folder and content runs, nothing is
	// read again.
	Content watchers.Text `yaml:"content"`
	// Verify is the checksum file that the manifest is held against before the machine runs, and the whole folder before each of its looks.
	Verify watchers.Text `yaml:"verify"`
	// VerifyChecksum is the sha256 of that file in hex. Without it nothing is held against anything.
	VerifyChecksum watchers.Text `yaml:"verify_checksum"`
	// For is how long the machine must be in a home state before it is confirmed, as far as looks see it.
	For strict.Duration `yaml:"for"`
	// Payload also removes the payloads of this name that were deployed where the machines of this machine's identity are; for remove.
	Payload bool `yaml:"payload"`
}

// CodeMachineTogether is a property that the action needs, or has no use for.
const CodeMachineTogether diag.Code = "SC440"

var (
	machineForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	errName       = errors.New("the name is not that of a machine: letters, digits, _ and -, beginning with a letter")
	errDirectory  = errors.New("the directory is not an absolute path")
	errNoDeployer = errors.New("this program runs no machines of bundles; run the machine in a node")
	errNoManifest = errors.New("the checksum file does not list machine.yaml")
)

// Validate holds the properties against the action.
func (s *machineSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	if s.Action == actionRun && s.Directory.Empty() {
		list.Add(diag.Error, CodeMachineTogether, w.Place("properties"), "give directory, the folder with the machine.yaml", "run has no directory")
	}
	if !s.Verify.Empty() && s.VerifyChecksum.Empty() {
		list.Add(diag.Error, CodeMachineTogether, w.Properties.Get("verify").Pos, "add verify_checksum, the sha256 of that file", "verify needs verify_checksum")
	}
	for _, p := range []struct {
		key    string
		given  bool
		action string
	}{
		{"directory", !s.Directory.Empty(), actionRun}, {"version", !s.Version.Empty(), actionRun}, {"content", !s.Content.Empty(), actionRun},
		{"verify", !s.Verify.Empty(), actionRun}, {"verify_checksum", !s.VerifyChecksum.Empty(), actionRun},
		{"for", s.For > 0, actionConfirm}, {"payload", s.Payload, actionRemove},
	} {
		if p.given && p.action != s.Action {
			list.Add(diag.Error, CodeMachineTogether, w.Properties.Get(p.key).Pos, "leave it out, or set action: "+p.action,
				"%s says nothing where the action is %s", p.key, s.Action)
		}
	}
	return list
}

func machineType(s Services) watchers.Type {
	payload := map[string]machine.ValueType{"name": machine.String, "version": machine.String, "state": machine.String, "reason": machine.String, "replaces": machine.Boolean}
	outcome := func(name string, class machine.OutcomeClass, doc string, of ...string) machine.Outcome {
		return machine.Outcome{Name: name, Class: class, Payload: payload, Doc: doc, Of: of}
	}
	waiting := outcome(outcomeWaiting, machine.Neutral, "of confirm: it has not been in a home state for long enough; it is looked at again by itself", actionConfirm)
	waiting.Again = true
	ofRelease := maps.Clone(payload)
	ofRelease["release"] = machine.String
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "machine", Verb: "action", On: []machine.Place{machine.OnNode, machine.OnOverlay},
			Outcomes: []machine.Outcome{
				outcome(machine.OutcomeSuccess, machine.Success, "the machine runs now, where replaces is set in place of a built-in one; it is confirmed; it is there; or it and what was to be removed is gone"),
				outcome(watchers.OutcomeUnchanged, machine.Success, "of run: it ran like this before", actionRun),
				{Name: outcomeTooOld, Class: machine.Failure, Payload: ofRelease, Of: []string{actionRun},
					Doc: "of run: its manifest requires another release of this program, which the payload names; what ran before runs on"},
				outcome(outcomeRefused, machine.Failure, "of run: it cannot run, however often it is tried: its manifest has findings, or is of another machine, "+
					"or its name is that of a machine that was not deployed so; what ran before runs on", actionRun),
				waiting,
				outcome(outcomeUnhealthy, machine.Failure, "of confirm: it has failed", actionConfirm),
				outcome(outcomeAbsent, machine.Failure, "of confirm and find: there is no such machine", actionConfirm, actionFind),
				outcome(machine.OutcomeFail, machine.Failure, "what was to be done could not be done; trying again may help"),
			},
		},
		Summary: "Runs the machine of a folder, looks how it is, or stops it.",
	}, func(spec *machineSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		p := &watchers.Prepared{New: func() watchers.Watcher { return &runner{spec: spec, services: s} }}
		if spec.Action == actionConfirm || spec.Action == actionFind {
			p.New, p.Waits = func() watchers.Watcher { return &confirmer{spec: spec, deployer: s.Deployer} }, true
		}
		return p
	})
}

// runner runs machines, and stops them.
type runner struct {
	spec     *machineSpec
	services Services
}

// Check runs or removes.
func (r *runner) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	name, err := machineName(look, r.spec.Name)
	switch {
	case err != nil:
		return watchers.Failed(err)
	case r.services.Deployer == nil:
		return watchers.Failure(errNoDeployer.Error())
	case r.spec.Action == actionRemove:
		return r.remove(ctx, look, name)
	}
	o, err := r.order(look, name)
	if err != nil {
		return machineReport(machine.OutcomeFail, name, watchers.Standing{}, err.Error())
	}
	deployed, err := r.services.Deployer.Deploy(ctx, o)
	var findings diag.List
	switch standing, _ := r.services.Deployer.Standing(look.Identity, name); {
	case errors.As(err, &findings) && machine.TooOld(findings):
		rep := machineReport(outcomeTooOld, name, standing, err.Error())
		rep.Payload["release"] = machine.Release
		return rep
	case errors.As(err, &findings), errors.Is(err, watchers.ErrUndeployable):
		return machineReport(outcomeRefused, name, standing, err.Error())
	case err != nil:
		return machineReport(machine.OutcomeFail, name, standing, err.Error())
	default:
		outcome := machine.OutcomeSuccess
		if !deployed.Changed {
			outcome = watchers.OutcomeUnchanged
		}
		rep := machineReport(outcome, name, standing, "")
		rep.Payload["replaces"] = deployed.Replaces
		return rep
	}
}

func machineName(look *watchers.Look, text watchers.Text) (string, error) {
	name, err := look.Expand(text)
	if err == nil && !machineForm.MatchString(name) {
		err = fmt.Errorf("%.70q: %w", name, errName)
	}
	return name, err
}

// machineReport says how a machine is. Reasons fit into an event. There is no state event beside it: the machine tells the same by its own, and thousands of
// nodes take one at once.
func machineReport(outcome, name string, s watchers.Standing, reason string) watchers.Report {
	const longest = 2000
	rep := watchers.Report{
		Outcome: outcome, Message: reason,
		Payload: map[string]any{"name": name, "version": s.Version, "state": s.State, "reason": reason[:min(len(reason), longest)], "replaces": false},
	}
	if reason == "" {
		rep.Message = strings.TrimSpace(name+" "+s.Version) + " is " + s.State // one that is gone has no version
	}
	return rep
}

// order expands the properties.
func (r *runner) order(look *watchers.Look, name string) (watchers.DeployOrder, error) {
	o := watchers.DeployOrder{Identity: look.Identity, Name: name}
	var verify, sum string
	for _, p := range []struct {
		key   string
		text  watchers.Text
		into  *string
		check func(string) error
	}{
		{"directory", r.spec.Directory, &o.Directory, checkDirectory}, {"version", r.spec.Version, &o.Version, anyText},
		{"content", r.spec.Content, &o.Content, anyText}, {"verify", r.spec.Verify, &verify, optional(checkVerify)},
		{"verify_checksum", r.spec.VerifyChecksum, &sum, optional(checkDigest)},
	} {
		text, err := look.Expand(p.text)
		if err == nil {
			err = p.check(text)
		}
		if err != nil {
			return o, fmt.Errorf("%s: %w", p.key, err)
		}
		*p.into = text
	}
	if sum == "" {
		return o, nil
	}
	return o, signed(&o, verify, sum)
}

func checkDirectory(text string) error {
	if !filepath.IsAbs(text) {
		return errDirectory
	}
	return nil
}

// remove stops a machine, and removes its payloads after that.
func (r *runner) remove(ctx context.Context, look *watchers.Look, name string) watchers.Report {
	err := r.services.Deployer.Remove(ctx, look.Identity, name)
	if err == nil && r.spec.Payload {
		var slots *registry.Slots
		if slots, err = slotsOf(look.Identity, "", r.services); err == nil {
			err = slots.Remove(name)
		}
	}
	if err != nil {
		return machineReport(machine.OutcomeFail, name, watchers.Standing{}, fmt.Sprintf("removing %s: %v", name, err))
	}
	return machineReport(machine.OutcomeSuccess, name, watchers.Standing{State: "gone"}, "")
}

const (
	firstConfirm = 20 * time.Millisecond
	lastConfirm  = 2 * time.Second
)

// confirmer looks how a machine is, soon again while it is not decided.
type confirmer struct {
	spec     *machineSpec
	deployer watchers.Deployer

	pause atomic.Int64 // ns before the next look; 0 while nothing is undecided
	home  time.Time    // since when the looks of this activation have seen it in home states
}

// Plan implements watchers.Planner.
func (c *confirmer) Plan(p watchers.Planning) watchers.Due {
	pause := time.Duration(c.pause.Load())
	switch {
	case p.Moment == watchers.Started || p.Moment == watchers.Entered:
		return watchers.Due{After: 1}
	case pause > 0:
		return watchers.Due{After: pause}
	default:
		return watchers.Due{After: p.Interval}
	}
}

// Check looks once.
func (c *confirmer) Check(_ context.Context, look *watchers.Look) watchers.Report {
	pause := time.Duration(c.pause.Swap(0))
	if look.Moment == watchers.Started || look.Moment == watchers.Entered {
		pause, c.home = 0, time.Time{}
	}
	name, err := machineName(look, c.spec.Name)
	if err != nil {
		return watchers.Failed(err)
	}
	if c.deployer == nil {
		return watchers.Failure(errNoDeployer.Error())
	}
	s, ok := c.deployer.Standing(look.Identity, name)
	switch {
	case !ok:
		return machineReport(outcomeAbsent, name, s, "the machine "+name+" does not run")
	case c.spec.Action == actionFind:
		return machineReport(machine.OutcomeSuccess, name, s, "")
	case s.Failed:
		return machineReport(outcomeUnhealthy, name, s, fmt.Sprintf("%s %s has ended as %s", name, s.Version, s.State))
	case !s.Home:
		c.home = time.Time{}
	case c.home.IsZero():
		c.home = look.At
	}
	if s.Home && look.At.Sub(c.home) >= c.spec.For.Std() {
		return machineReport(machine.OutcomeSuccess, name, s, "")
	}
	c.pause.Store(int64(min(max(firstConfirm, 2*pause), lastConfirm)))
	return machineReport(outcomeWaiting, name, s, "")
}
