package watchers

import "context"

// Deployer lets watchers run machines in their own host. The host implements it; names are those that machines of the same identity know.
type Deployer interface {
	// Deploy runs the machine of a folder, or replaces the one of its name. The error of a manifest with findings is a diag.List; what ran
	// before runs on then.
	Deploy(ctx context.Context, o DeployOrder) (Deployed, error)
	// Remove stops a machine. Nil where there is none.
	Remove(ctx context.Context, identity, name string) error
	// Standing is how a machine is; ok is false where there is none.
	Standing(identity, name string) (s Standing, ok bool)
	// Machines are all that run as an identity, templates left out, by name.
	Machines(identity string) map[string]Standing
	// Instances are the keys of a template's instances.
	Instances(identity, template string) []string
	// Signal gives an instance of a template an event; false where there is none of that key.
	Signal(ctx context.Context, identity, template, key, event string, payload map[string]any) (bool, error)
}

// DeployOrder says which machine is to run.
type DeployOrder struct {
	Identity  string
	Directory string // the payload, absolute; its machine.yaml is the manifest
	Name      string // that the manifest must have
	Version   string // that the manifest must have; "" is any
	// Intact is asked before every look that may use the payload, and must be quick; an error is the look's failure. Nil asks nothing.
	Intact func() error
}

// Deployed is what runs now.
type Deployed struct {
	Version, Digest string // of the manifest
	Changed         bool   // it did not run like this before
}

// Standing is how a machine is.
type Standing struct {
	Version, Digest string
	State           string
	Home            bool // the state is a home state or, where the manifest declares none, no final failure
	Failed          bool // the state is a final failure
	Started         bool // its start is recorded
}
