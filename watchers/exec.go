package watchers

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// maxGatherDelay bounds the random delay of a first run that gather_initial_state asks for.
const maxGatherDelay = 30 * time.Second

// Exec is the watcher type that runs a command. It needs sandbox.Main at the start of the program where manifests
// declare sandboxes.
func Exec() Type {
	// With parse_output the output is an object.
	success := map[string]machine.ValueType{
		"exit_code": machine.Integer, "duration_ms": machine.Integer, "output": machine.Any, "truncated": machine.Boolean,
	}
	fail := maps.Clone(success)
	fail["output"], fail["stderr"] = machine.String, machine.String
	return Define(Type{
		WatcherType: machine.WatcherType{
			Name:        "exec",
			CommandLine: []string{"command"}, Sets: execSets, Programs: execPrograms,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: success, Doc: "the command ended with exit code 0"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: fail,
					Doc: "the command ended with another exit code, could not be started, or gave no valid data"},
			},
		},
		Summary: "Runs a command and reports how it ended.",
	}, prepareExec)
}

// execSets are the data keys that a command's output names, which only its run shows.
func execSets(w *machine.WatcherSpec) []string {
	if w.Properties.Get("parse_as_data").True() {
		return []string{machine.AnyKey}
	}
	return nil
}

// execPrograms is a command that is looked for in the machine's directory only.
func execPrograms(w *machine.WatcherSpec) []string {
	command := w.Properties.Get("command")
	if command == nil || w.Properties.Get("shell").True() {
		return nil
	}
	words, err := splitWords(command.Value, w.Marked)
	if err != nil || len(words) == 0 || words[0].filled() || !strings.Contains(words[0].text, "/") || strings.ContainsAny(words[0].text, "{$") {
		return nil
	}
	if path := words[0].text; !filepath.IsAbs(path) && !machine.EscapesDirectory(path) {
		return []string{path}
	}
	return nil
}

func prepareExec(spec *execSpec, _ *machine.WatcherSpec) *Prepared {
	return &Prepared{
		New:             func() Watcher { return &execWatcher{spec: spec} },
		Timeout:         spec.Timeout.Std(),
		Governor:        spec.Governor,
		GovernorTimeout: spec.GovernorTimeout.Std(),
		OnLeave:         machine.Finish,
		Survives:        spec.Disown,
		Scratch:         true,
	}
}

// execWatcher runs one command of one machine.
type execWatcher struct {
	spec    *execSpec
	planned Due
	files   execFiles
}

// Plan is Choria's habit: a command runs on entry and at intervals, and at the machine's start only when asked for. In our
// own format, and where a machine goes on after a restart, it runs at the start as well.
func (e *execWatcher) Plan(p Planning) Due {
	switch p.Moment {
	case Started:
		e.planned = e.first(p)
	case Entered:
		e.planned = soon(0)
	case Looked:
		e.planned = Due{After: p.Interval}
	}
	return e.planned
}

func (e *execWatcher) first(p Planning) Due {
	switch {
	case p.Strict || p.Resumed:
		return soon(0)
	case e.spec.GatherInitialState:
		longest := maxGatherDelay
		if p.Interval > 0 {
			longest = min(longest, p.Interval)
		}
		return soon(p.Random(longest))
	default:
		return Due{After: p.Interval}
	}
}

// soon is after a delay that may be none; the zero Due would be never.
func soon(delay time.Duration) Due { return Due{After: max(delay, 1)} }

// Check runs the command once. Cancelling kills it with all it started, unless it is disowned.
func (e *execWatcher) Check(ctx context.Context, look *Look) Report {
	run, err := e.prepare(look)
	if err != nil {
		return e.failed(err)
	}
	result, err := run.command.Run(ctx)
	run.end(ctx)
	return e.report(result, err)
}
