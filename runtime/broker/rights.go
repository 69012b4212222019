package broker

import (
	"slices"

	"github.com/statecraft-io/statecraft/watchers/consumers"
)

// The rights of overlays' services: exactly one of them in a token.
const (
	RightFleetService      = "fleet_service"
	RightEnrollmentService = "enrollment_service"
	RightUplinkService     = "uplink_service"
)

// RightEventsRead is the right to consume events and inventories, and ConsumersService the service by which that is done: with the client's own ServiceSubject as the
// prefix of JetStream's API.
const (
	RightEventsRead  = "events_read"
	ConsumersService = "consumers"
)

// Right is a name in a client's token and what it opens.
type Right struct {
	Name, Doc string
	// Services are the services of the overlay that the client may ask, each under ServiceSubject. They hold where an answer goes against the
	// client's own inbox, and do what they are asked with the rights of the host.
	Services []string
	// Publish and Subscribe are plain subjects. No right but admin's may have one below which somebody answers where the asker says, as JetStream and NATS's own
	// services do.
	Publish, Subscribe []string
	// Own are subjects to publish to that contain the client's key, which is written KEY.
	Own []string
}

// ServiceSubject is where the client with this key, in the form of NATS, asks a service of the overlay. The broker lets nobody else publish there.
func ServiceSubject(key, service string) string { return "client." + key + ".out." + service }

// rights are those of clients. Names that are not here open nothing.
var rights = []Right{
	{
		Name:      "fleet_view",
		Doc:       "read the nodes of the cell and what is published in it, ask for inventories and how the hosts are, and see the events of nodes and machines",
		Services:  append([]string{"hosts", "inventory", "nodes"}, registryServices()...),
		Subscribe: []string{"choria.lifecycle.event.>", "choria.machine.>", "overlay.event.>"},
	},
	{
		Name:     "fleet_operate",
		Doc:      "tell nodes what to do, by the words that their machines listen to",
		Services: []string{"operate"},
	},
	{
		Name:     "fleet_approve",
		Doc:      "say who belongs to the cell: which key may take over the identity of a node, and which nodes are retired",
		Services: []string{"approve", "retire"},
	},
	{
		Name:     "token_revoke",
		Doc:      "revoke tokens, keys and names for good, and list what is revoked",
		Services: []string{"revoke", "revoked"},
	},
	{
		Name:     "registry_publish",
		Doc:      "publish machines: send signed lists, trust roots and bundles to the hosts of the cell, which verify them by their signatures and digests, and read them",
		Services: append(registryServices(), "publish", "store", "store.*"),
	},
	{
		Name:     RightEventsRead,
		Doc:      "read the cell's events, inventories and signed heads of journals from its streams, by consumers of its own, with any NATS client; docs/consumers.md",
		Services: []string{ConsumersService + ".>"},
		Own:      []string{consumers.AckSubject("KEY")},
	},
	{
		Name:      "admin",
		Doc:       "everything in the account FLEET",
		Publish:   []string{">"},
		Subscribe: []string{">"},
	},
}

// Rights lists the rights that a client's token can name.
func Rights() []Right { return slices.Clone(rights) }

// registryServices are those by which it is read what is published: its revisions, and ranges of bundles.
func registryServices() []string { return []string{"registry", "bundle"} }

// readBucket is what nats.go publishes to get and to watch the keys of a bucket. Its watcher makes an ordered consumer, removes it, and
// answers its flow control, whose subject has domain and account before the stream (see featureFlags); brokers of the release before this one ask
// without both.
func readBucket(bucket string) []string { return readStream("KV_" + bucket) }

// readStream is the same for the stream that lies behind a bucket or an object store.
func readStream(stream string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.DIRECT.GET." + stream + ".>",
		"$JS.API.CONSUMER.CREATE." + stream + ".>",
		"$JS.API.CONSUMER.DELETE." + stream + ".>",
		"$JS.FC." + stream + ".>",
		"$JS.FC.*.*." + stream + ".>",
	}
}
