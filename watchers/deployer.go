package watchers

import (
	"context"
	"errors"
)

// ErrUndeployable is the cause where a machine cannot run whatever is tried: its folder holds another than was ordered, or its name is another's.
var ErrUndeployable = errors.New("this machine cannot run here")

// Deployer lets watchers run machines in their own host. The host implements it; names are those that machines of the same identity know.
type Deployer interface {
	// Deploy runs the machine of a folder, or replaces the one of its name. The error of a manifest with findings is a diag.List, and
	// ErrUndeployable is wrapped where trying again is of no use; what ran before runs on then.
	Deploy(ctx context.Context, o DeployOrder) (Deployed, error)
	// Remove stops a machine that Deploy runs. Nil where there is none. A built-in machine that it had replaced begins anew.
	Remove(ctx context.Context, identity, name string) error
	// Standing is how a machine is; ok is false where there is none. A built-in machine that may be replaced does not count. A template that was deployed
	// is well.
	Standing(identity, name string) (s Standing, ok bool)
	// Machines are all that run as an identity, templates and their instances left out, by name.
	Machines(identity string) map[string]Standing
	// Instances are the inputs of a template's instances, by key. They are not to be changed.
	Instances(identity, template string) map[string]map[string]any
	// Signal gives an instance of a template an event; false where there is none of that key. An event that the instance does not take is an error.
	Signal(ctx context.Context, identity, template, key, event string, payload map[string]any) (bool, error)
}

// DeployOrder says which machine is to run.
type DeployOrder struct {
	Identity  string
	Directory string // the payload, absolute; its machine.yaml is the manifest
	Name      string // that the manifest must have
	Version   string // that the manifest must have; "" is any
	Manifest  string // sha256 that the manifest must have, hex; "" is any
	// Files are the sha256 that files of the folder must have, hex, by path; one that is read with the manifest must be there. Nil is any.
	Files map[string]string
	// Content identifies what the folder holds. Where a machine of this folder and content runs already, nothing is read; "" always reads.
	Content string
	// Intact is asked before every look that may use the payload, and must be quick; an error is the look's failure. Nil asks nothing.
	Intact func() error
}

// Deployed is what runs now.
type Deployed struct {
	Version, Digest string // of the manifest
	Changed         bool   // it did not run like this before
	Replaces        bool   // there is a built-in machine of its name
}

// Standing is how a machine is.
type Standing struct {
	Version, Digest string
	State           string
	Home            bool // the state is a home state or, where the manifest declares none, no final failure
	Failed          bool // the state is a final failure
	Started         bool // its start, or its going on with this version, is recorded
}
