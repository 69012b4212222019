// Package cell holds the watchers by which a host of a cell looks after its own part of it: broker reads the health of the embedded
// broker and starts it anew, certificates tells when its keys end or are revoked, leafnodes says
// whether it is connected to servers elsewhere, instances how many instances of its templates run, member says how the
// host stands to its cell and lets it serve, transfer copies streams from one broker
// to another. It opens no connection and decides nothing: what is done when is in the machines.
package cell

import (
	"reflect"

	"github.com/statecraft-io/statecraft/watchers"
)

// Services are what the types use of their host. The zero Services do for reading manifests: looks fail then and say so.
type Services struct {
	Broker Broker
	Member Member
	// Certificates are the host's own.
	Certificates Certificates
	Templates    Templates
}

// Types returns the types broker, certificates, instances, leafnodes, member and transfer.
func Types(s Services, c Dialled) []watchers.Type {
	if v := reflect.ValueOf(c); v.Kind() == reflect.Pointer && v.IsNil() {
		c = nil // a nil *messaging.Pool is no nil interface
	}
	return []watchers.Type{brokerType(s.Broker), certificatesType(s.Certificates), instancesType(s.Templates), leafnodesType(s.Broker), memberType(s.Member), transferType(c)}
}
