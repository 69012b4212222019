package inventory

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// Services are what the watchers use of their host. The zero Services do for reading manifests.
type Services struct {
	Pool     *messaging.Pool
	Deployer watchers.Deployer     // lists what an identity runs; nil lists nothing
	Metrics  prometheus.Registerer // of what ingest takes in; nil keeps none
	Build    string                // the program's version; "" is the fact statecraft.version
}

// Types returns the types ingest, inventory and view.
func Types(s Services) []watchers.Type {
	return []watchers.Type{ingestType(s), inventoryType(s), viewType(s)}
}
