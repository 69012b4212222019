package factgather

import (
	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	outcomeChanged   = "changed"
	outcomeUnchanged = "unchanged"
)

// Type is the watcher type that gathers the host's facts.
func Type() watchers.Type {
	payload := map[string]machine.ValueType{
		"sha256": machine.String, "count": machine.Integer, "failed": machine.Integer, "bytes": machine.Integer,
	}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "facts",
			Outcomes: []machine.Outcome{
				{Name: outcomeChanged, Class: machine.Success, Payload: payload,
					Doc: "the facts were gathered, and what does not change by itself is new or different"},
				{Name: outcomeUnchanged, Class: machine.Success, Payload: payload,
					Doc: "the facts were gathered; at most uptime, load and the like are different"},
			},
			Writes: writes,
		},
		Summary: "Gathers what the host is, adds the facts of files, commands and directories, and replaces the host's facts.",
	}, func(spec *Spec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return newWatcher(spec) }, Timeout: spec.patience()}
	})
}

// writes names the file that the document is written to.
func writes(w *machine.WatcherSpec) []string {
	if w.Properties == nil {
		return nil
	}
	if file := w.Properties.Get("file"); file != nil && file.Value != "" {
		return []string{file.Value}
	}
	return nil
}
