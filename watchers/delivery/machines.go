package delivery

import (
	"errors"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of a machines watcher beyond those every type has.
const (
	outcomeChanged = "changed"
	outcomeNothing = "nothing"
)

// The events that the instances are given.
const (
	eventChanged  = "changed"
	eventUnwanted = "unwanted"
)

// machinesSpec is the properties of a machines watcher.
type machinesSpec struct {
	// DataItem is the key of the machine's data that says what is to run: a signed spec as a text or mapping, or a list of them. With public_key
	// it is Choria's own: a mapping of plugins and signature. Without it what was accepted last counts.
	DataItem string `yaml:"data_item"`
	// RootsItem is the key of the machine's data with trust roots, a text or mapping or a list of them, which are taken before the spec.
	RootsItem string `yaml:"roots_item"`
	// Channel is the channel that the spec is to be for.
	Channel watchers.Text `yaml:"channel" default:"default"`
	// PurgeUnknown removes machines that this watcher has deployed and that are no longer listed, or not for this node.
	PurgeUnknown bool `yaml:"purge_unknown"`
	// PublicKey is a key in hex, of which Choria's items are signed. It is weaker than a spec of ours: an old item can come back, and none ends.
	PublicKey watchers.Text `yaml:"public_key"`
	// PluginManageInterval is how often what runs is compared with what is to run; the watcher's own interval comes first.
	PluginManageInterval strict.Duration `yaml:"plugin_manage_interval" alias:"machine_manage_interval" default:"2m" min:"2s"`
	// PluginsDirectory is where the payloads go, absolute; by default it is where the machines of this machine's identity are.
	PluginsDirectory watchers.Text `yaml:"plugins_directory"`
	// ManagerMachinePrefix is known for the sake of Choria's manifests. What manages a machine here is an instance of the template, and no file.
	ManagerMachinePrefix string `yaml:"manager_machine_prefix" default:"mm"`
	// Template is the manifest of which there is an instance for each machine, with the machine's name as its key and the input machine (its
	// entry), target (plugins_directory) and manager. It is given the events changed, with machine in the payload, and unwanted.
	Template string `yaml:"template" default:"bundle"`
}

// The codes of what a machines watcher's properties can have wrong.
const (
	CodeMachinesKey      diag.Code = "SC441" // a public key that is none
	CodeMachinesInterval diag.Code = "SC442" // an interval that is too short
	CodeMachinesTogether diag.Code = "SC443" // properties that need each other, or do not go together
	CodeMachinesTarget   diag.Code = "SC445" // a folder that cannot be
)

// machinesInterval is the shortest there may be.
const machinesInterval = 2 * time.Second

var errNotSet = errors.New("a public key is 64 digits of hex")

// Validate checks what is known before a look.
func (s *machinesSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := archiveFindings{w: w}
	f.text("public_key", s.PublicKey, CodeMachinesKey, optional(checkKey))
	f.text("plugins_directory", s.PluginsDirectory, CodeMachinesTarget, optional(checkTarget))
	if w.Interval > 0 && w.Interval < machinesInterval {
		f.list.Add(diag.Error, CodeMachinesInterval, w.Place("interval"), "write 2s or more", "an interval of %s is too short for machines", w.Interval)
	}
	switch {
	case !s.PublicKey.Empty() && s.DataItem == "":
		f.add("public_key", CodeMachinesTogether, "give data_item, the key of the data that a kv watcher sets", "public_key needs data_item")
	case !s.PublicKey.Empty() && s.RootsItem != "":
		f.add("roots_item", CodeMachinesTogether, "leave out one of them", "an item that is signed by public_key has no trust root")
	}
	return f.list
}

func checkKey(text string) error {
	if _, err := identity.ParsePublicKey(text); err != nil {
		return errNotSet
	}
	return nil
}

func machinesType(s Services) watchers.Type {
	lists := map[string]machine.ValueType{
		"serial": machine.Integer, "root": machine.Integer, "names": machine.Array, "unknown": machine.Array, "reason": machine.String, "detail": machine.String,
	}
	compiled := &compiledMatches{}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "machines", Aliases: []string{"plugins"},
			Outcomes: []machine.Outcome{
				{Name: outcomeChanged, Class: machine.Success, Payload: lists,
					Doc: "an instance was started, or told; names are the machines that are to run, unknown those of which it cannot be said"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Success, Payload: lists, Doc: "all that is to run has its instance"},
				{Name: outcomeNothing, Class: machine.Success, Payload: lists, Doc: "nothing was ever accepted"},
				{Name: outcomeRefused, Class: machine.Failure, Payload: lists,
					Doc: "a spec or trust root was refused, or the last good one has ended; the last good one counts on. Also an entry that cannot be"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: lists, Doc: "it could not be found out or done"},
			},
		},
		Summary: "Verifies the list of machines that are to run, and keeps an instance of a template for each that is for this node.",
	}, func(spec *machinesSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{
			New: func() watchers.Watcher {
				return &machines{spec: spec, services: s, compiled: compiled, told: map[string]registry.Entry{}}
			},
			Interval: spec.PluginManageInterval.Std(),
		}
	})
}
