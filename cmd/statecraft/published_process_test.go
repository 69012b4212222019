package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestH77AHostThatIsKilledRunsWhatIsPublished kills a host at several moments after something was published for it, and after it was taken back. Started
// again it runs what the list names, and says by whose word.
func TestH77AHostThatIsKilledRunsWhatIsPublished(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: a host that is killed while it takes a published machine; it takes half a minute, run it without -short")
	}
	c := newCell(t, 1)
	c.start("o1")
	c.watched = c.operator()
	c.replicated(1)
	as := filepath.Join(c.dir, "operator")
	statecraft(t, "keys", "new", filepath.Join(as, overlayKey))
	key, err := identity.LoadKey(filepath.Join(as, overlayKey))
	if err != nil {
		t.Fatal(err)
	}
	statecraft(t, "keys", "rotate", "--as", as, "--role", registry.ChannelRole(registry.OverlayChannel), "--add", key.Public().String(),
		"--key", filepath.Join(c.dir, "authority", "root.key"))

	for i, pause := range []time.Duration{0, 20 * time.Millisecond, 300 * time.Millisecond} {
		version := fmt.Sprintf("0.2.%d", i)
		statecraft(t, "publish", "--as", as, "--channel", registry.OverlayChannel, builtInAs(t, "names", version))
		c.killed(pause)
		want := runtime.Origin{Kind: runtime.OriginPublished, Channel: registry.OverlayChannel, Serial: uint64(i) + 1, Signers: []string{key.Public().String()}}
		c.running("names", version, want)
	}
	statecraft(t, "registry", "retract", "--as", as, "--channel", registry.OverlayChannel, "names")
	c.killed(0)
	c.running("names", "0.1.0", runtime.Origin{Kind: runtime.OriginBuiltIn, Release: buildVersion().Version})
	eventually(t, clusterWithin, func(context.Context) error {
		if _, err := os.Lstat(filepath.Join(c.dir, "hosts", "o1", "published", "names")); !os.IsNotExist(err) {
			return fmt.Errorf("its files are there still: %w", err)
		}
		return nil
	})
}

// builtInAs is a folder with a built-in machine of a host, under another version.
func builtInAs(t *testing.T, name, version string) string {
	t.Helper()
	text, err := manifests.Files.ReadFile("overlay/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "\nversion: 0.1.0\n", "\nversion: "+version+"\n", 1))
	if err := os.WriteFile(filepath.Join(dir, runtime.ManifestName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killed kills the first host after a while, and starts it again.
func (c *cluster) killed(after time.Duration) {
	c.t.Helper()
	time.Sleep(after) // at another moment each time
	p := c.hosts["o1"]
	if err := p.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = p.Wait()
	c.start("o1")
}

// running waits until the first host runs a machine in a version, by somebody's word.
func (c *cluster) running(name, version string, want runtime.Origin) {
	c.t.Helper()
	eventually(c.t, clusterWithin, func(context.Context) error {
		a := answer(c.t, &verifyVerb{stateFlags: stateFlags{State: filepath.Join(c.dir, "hosts", "o1")}}, true)
		var got hostVerified
		if err := json.Unmarshal([]byte(a.out), &got); err != nil {
			return errors.Join(err, errors.New(a.errs))
		}
		for _, m := range got.Machines {
			if m.Name == name && m.Version == version && fmt.Sprint(m.Origin) == fmt.Sprint(want) {
				return nil
			}
		}
		return fmt.Errorf("it runs %+v", got.Machines)
	})
}

// TestH77PublishingForHostsSaysWhoMaySign leads who publishes for hosts to a key of their own, and to the role that it needs.
func TestH77PublishingForHostsSaysWhoMaySign(t *testing.T) {
	c := newHostedCell(t)
	r := &registryCell{fleetCell: c, as: filepath.Join(c.dir, "operator")}
	verb := r.publish(builtInAs(t, "names", "0.2.0"))
	verb.Channel = registry.OverlayChannel
	role := registry.ChannelRole(registry.OverlayChannel)
	file := filepath.Join(r.as, overlayKey)
	answer(t, verb, false).wants(t, exitFailed, "statecraft keys new "+file, letSign("KEY", role))
	var made keyResult
	answer(t, &keysNewVerb{File: file}, true).decode(t, &made)
	answer(t, verb, false).wants(t, exitRefused, "unsigned", letSign(made.PublicKey, role))
	answer(t, &keysRotateVerb{contextFlags: contextFlags{As: r.as}, Role: "gate", Add: []string{made.PublicKey}, Expires: "1d",
		Key: []string{filepath.Join(c.dir, "authority", "root.key")}}, false).wants(t, exitUsage, `role "gate" is unknown`)
	answer(t, &keysRotateVerb{contextFlags: contextFlags{As: r.as}, Role: role, Add: []string{made.PublicKey}, Expires: "1d",
		Key: []string{filepath.Join(c.dir, "authority", "root.key")}}, false).wants(t, exitOK, role+"  1 of "+made.PublicKey)
	answer(t, verb, false).wants(t, exitOK, "published channel overlay, serial 1")
}
