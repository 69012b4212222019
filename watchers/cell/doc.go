// Package cell holds the watchers by which a host of a cell looks after its own part of it: broker reads the health of the embedded
// broker and starts it anew. Copier brings the streams of a broker that was alone into a cluster. It opens no connection and decides
// nothing: what is done when is in the machines.
package cell

import "github.com/statecraft-io/statecraft/watchers"

// Services are what the types use of their host. The zero Services do for reading manifests: looks fail then and say so.
type Services struct {
	Broker Broker
}

// Types returns the type broker.
func Types(s Services) []watchers.Type { return []watchers.Type{brokerType(s.Broker)} }
