package main

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// later signs a list as a later release would: change makes its content of that of a list of this one.
func (r *registryCell) later(spec *registry.Spec, change func(payload string) string) []byte {
	r.t.Helper()
	signer, err := (&invocation{ctx: r.t.Context()}).loadKey(filepath.Join(r.as, overlay.PublisherKeyFile), "")
	if err != nil {
		r.t.Fatal(err)
	}
	envelope, err := registry.Sign(spec, signer)
	if err != nil {
		r.t.Fatal(err)
	}
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		r.t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		r.t.Fatal(err)
	}
	text := change(string(payload))
	if text == string(payload) {
		r.t.Fatalf("nothing of %s is changed", payload)
	}
	e.Payload = base64.StdEncoding.EncodeToString([]byte(text))
	e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(signer.Sign(dsse.PAE(e.PayloadType, []byte(text))))
	out, err := json.Marshal(e)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// Who publishes with this release over the list of a later one keeps what is not known here, and says so; what is critical there stops them.
func TestH74PublishingOverAListOfALaterReleaseLosesNothingOfIt(t *testing.T) {
	r := newRegistryCell(t)
	answer(t, r.publish(r.machine("web", "1.0.0", "busy")), false).wants(t, exitOK, "")
	spec := *r.present()
	spec.Serial, spec.Extensions = 2, map[string]json.RawMessage{"example.net/change": json.RawMessage(`4711`)}
	more := func(payload string) string {
		return strings.NewReplacer(`"expires"`, `"deadline":{"hours":4},"expires"`, `"verify"`, `"user":"web","verify"`).Replace(payload)
	}
	put := func(envelope []byte) {
		t.Helper()
		if _, err := r.specs().Put(t.Context(), "spec.default", envelope); err != nil {
			t.Fatal(err)
		}
	}
	put(r.later(&spec, more))
	names := []string{"deadline", "example.net/change", "machines.user"}
	answer(t, r.publish(r.machine("web", "1.1.0", "busy"), r.machine("db", "1.0.0", "busy")), false).wants(t, exitOK, strings.Join(names, ", ")+" of a later release")
	now := r.present()
	if now.Serial != 3 || len(now.Machines) != 2 || now.Machines[1].Version != "1.1.0" || now.Machines[1].Unknown["user"] != "web" || !slices.Equal(now.PassedOver(), names) {
		t.Errorf("published %+v", now)
	}
	if a := answer(t, &registryShowVerb{shelfFlags: r.flags()}, false); !strings.Contains(a.out, strings.Join(names, ", ")) {
		t.Errorf("registry show prints\n%s", a.out)
	}

	critical := *now
	critical.Serial = 9
	envelope := r.later(&critical, func(payload string) string {
		return strings.Replace(payload, `"deadline"`, `"critical":["deadline"],"deadline"`, 1)
	})
	put(envelope)
	for _, v := range []interface{ Run(*invocation) error }{
		r.publish(r.machine("web", "1.2.0", "busy")), r.retract("db"), &registryShowVerb{shelfFlags: r.flags()},
	} {
		answer(t, v, false).wants(t, exitRefused, "deadline")
	}
	if e, err := r.specs().Get(t.Context(), "spec.default"); err != nil || string(e.Value()) != string(envelope) {
		t.Errorf("the list was written over: %v", err)
	}
}
