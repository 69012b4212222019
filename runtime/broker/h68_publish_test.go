package broker

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// formerPublisher is what the right registry_publish opened when clients wrote to the buckets themselves.
func formerPublisher() []string {
	return slices.Concat(readBucket("SPECS"), readStream("OBJ_BUNDLES"), []string{
		"$KV.SPECS.>", "$O.BUNDLES.>", "$JS.API.STREAM.MSG.GET.OBJ_BUNDLES", "$JS.API.STREAM.PURGE.OBJ_BUNDLES",
	})
}

// TestH68APublisherPutsNoForeignRecordThrough has who may publish put a record of the register under a key of SPECS, and read it with the register's
// subject, a node's, or that of a revocation for where the answer is to go. By the subjects that the right once opened all of it comes through.
func TestH68APublisherPutsNoForeignRecordThrough(t *testing.T) {
	o := newOverlay(t)
	former := startBroker(t, o.config(t), func(e Evidence, k *Knowledge) Decision {
		d := Decide(e, k)
		if d.Permissions != nil && d.Permissions.Publish != nil && slices.Contains(d.Permissions.Publish.Allow, ServiceSubject(e.Key.NKey(), "publish")) {
			d.Permissions.Publish.Allow = append(d.Permissions.Publish.Allow, formerPublisher()...)
		}
		return d
	})
	for name, tt := range map[string]struct {
		b       *Broker
		through bool
	}{"by the former right": {former, true}, "as decided": {o.broker(t), false}} {
		t.Run(name, func(t *testing.T) {
			s := fleetScene(t, o, tt.b)
			js, err := jetstream.New(s.overlay)
			if err != nil {
				t.Fatal(err)
			}
			node, err := s.attacker.SubscribeSync("node." + s.a + ".in.>")
			if err != nil {
				t.Fatal(err)
			}
			flush(t, s.attacker)
			thief := o.connect(t, tt.b.ClientURL(), o.client(t, "thief", "registry_publish"))
			const record = `{"identity": "n1.example", "public_key": "of the thief"}`
			if err := thief.Publish("$KV.SPECS.scratch", []byte(record)); err != nil {
				t.Fatal(err)
			}
			flush(t, thief)
			for _, to := range []string{"$KV.NODES.n1=example", "$KV.REVOKED.key.x", "node." + s.a + ".in.operate.reprovision"} {
				if err := thief.PublishRequest("$JS.API.DIRECT.GET.KV_SPECS.$KV.SPECS.scratch", to, nil); err != nil {
					t.Fatal(err)
				}
			}
			flush(t, thief, s.overlay)
			has := func(bucket, key string) bool {
				kv, err := js.KeyValue(t.Context(), bucket)
				if err != nil {
					t.Fatal(err)
				}
				e, err := kv.Get(t.Context(), key)
				return err == nil && string(e.Value()) == record
			}
			if tt.through {
				await(t, "the register is changed", func() bool { return has("NODES", "n1=example") })
				await(t, "the key is banned", func() bool { return has("REVOKED", "key.x") })
			} else if has("SPECS", "scratch") || has("NODES", "n1=example") || has("REVOKED", "key.x") {
				t.Error("a record came through")
			}
			if hears(node, tt.through) != tt.through {
				t.Errorf("the node hears it: %t", !tt.through)
			}
		})
	}
}

// TestH68RegistryPublishOpensServicesOnly asks each service of the registry as who may publish and as who may view, and then each part of the server's API that
// the right once opened.
func TestH68RegistryPublishOpensServicesOnly(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	host := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	if _, err := host.Subscribe("client.>", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	flush(t, host)
	publishes, views := o.client(t, "alice", "registry_publish"), o.client(t, "bob", "fleet_view")
	for service, writes := range map[string]bool{"registry": false, "bundle": false, "publish": true, "store": true, "store.overlay1": true} {
		if _, err := o.connect(t, b.ClientURL(), publishes).Request(ServiceSubject(publishes.key.Public().NKey(), service), nil, patience); err != nil {
			t.Errorf("who publishes asks %s: %v", service, err)
		}
		wait := patience
		if writes {
			wait = quietly
		}
		if _, err := o.connect(t, b.ClientURL(), views).Request(ServiceSubject(views.key.Public().NKey(), service), nil, wait); (err == nil) == writes {
			t.Errorf("who views asks %s: %v", service, err)
		}
	}
	for _, subject := range formerPublisher() {
		for _, right := range Rights() {
			if right.Name == "registry_publish" && slices.Contains(right.Publish, subject) {
				t.Errorf("the right opens %s", subject)
			}
		}
	}
}
