// Package delivery holds the watchers that bring machines to where they run: archive, machines, machine, and depot, which
// serves what others may not read for themselves. What may run is decided by package registry; when, by manifests.
package delivery

import (
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// Services are what the watchers use of their host. The zero Services do for reading manifests: looks that need a service fail then.
type Services struct {
	Pool     *messaging.Pool
	Deployer watchers.Deployer
	Spawner  watchers.Spawner
	// Stores finds what an identity trusts; nil is nobody, yet.
	Stores func(id string) (*registry.Store, error)
	// Slots is where the machines of an identity are deployed.
	Slots func(id string) (*registry.Slots, error)
	// Cell names the cell that an identity belongs to; "" is none.
	Cell func(id string) (string, error)
	// Bundles is the subject by which an identity asks for objects of the overlay; nil is that of a node.
	Bundles func(id string) string
}

// Types returns the types archive, depot, machine and machines.
func Types(s Services) []watchers.Type {
	return []watchers.Type{archiveType(s), depotType(s), machineType(s), machinesType(s)}
}
