package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestTheFirstPublicationByItsHints follows the hints of publish as somebody who has a token with the right to publish and nothing else: the first
// leads to a key of their own, the next to the operator who lets it sign, and then it is published.
func TestTheFirstPublicationByItsHints(t *testing.T) {
	c := newHostedCell(t)
	r := &registryCell{fleetCell: c, as: c.client("alice", "registry_publish")}
	key := filepath.Join(r.as, overlay.PublisherKeyFile)
	web := r.machine("web", "1.0.0", "busy")
	answer(t, r.publish(web), false).wants(t, exitFailed, "statecraft keys new "+key, letSign("KEY", registry.RoleSpec))
	var made keyResult
	answer(t, &keysNewVerb{File: key}, true).decode(t, &made)
	rotate := letSign(made.PublicKey, registry.RoleSpec)
	answer(t, r.publish(web), false).wants(t, exitRefused, "no_root", "the key "+made.PublicKey+" may not sign yet", rotate)
	prepared := filepath.Join(t.TempDir(), "spec.json")
	preparing := r.publish(web)
	preparing.Prepare = prepared
	answer(t, preparing, false).wants(t, exitRefused, rotate)

	operator := contextFlags{As: filepath.Join(c.dir, "operator")}
	root := filepath.Join(c.dir, "authority", "root.key")
	rotating := func(key string) *keysRotateVerb {
		return &keysRotateVerb{contextFlags: operator, Role: "spec", Add: []string{key}, Key: []string{root}, Expires: "365d"}
	}
	answer(t, &keysRotateVerb{contextFlags: r.flags().contextFlags, Role: "spec", Add: []string{made.PublicKey}, Key: []string{root}, Expires: "365d"}, false).
		wants(t, exitRefused, "no_root", "--as CELL/operator")
	answer(t, rotating(made.PublicKey), false).wants(t, exitOK, made.PublicKey)
	answer(t, r.publish(web), false).wants(t, exitOK, "published channel default")

	// Another key that nobody has let sign, and one of two that must.
	other := filepath.Join(t.TempDir(), "other.key")
	var stranger keyResult
	answer(t, &keysNewVerb{File: other}, true).decode(t, &stranger)
	again := r.publish(r.machine("web", "1.0.1", "busy"))
	again.Key = []string{other}
	answer(t, again, false).wants(t, exitRefused, "unsigned", letSign(stranger.PublicKey, registry.RoleSpec))
	two := rotating(stranger.PublicKey)
	two.Threshold = 2
	answer(t, two, false).wants(t, exitOK, "2 of ")
	answer(t, again, false).wants(t, exitRefused, "unsigned", "--prepare FILE", made.PublicKey)

	// One that is taken out, as after a theft, is not offered to sign again.
	answer(t, &keysRotateVerb{contextFlags: operator, Role: "spec", Remove: []string{stranger.PublicKey}, Threshold: 1, Key: []string{root}, Expires: "365d"}, false).
		wants(t, exitOK, made.PublicKey)
	a := answer(t, again, false)
	a.wants(t, exitRefused, "unsigned", "the key "+stranger.PublicKey+" was taken out by root 4", made.PublicKey)
	if strings.Contains(a.errs, "--add") {
		t.Errorf("a key that was taken out is to be let sign: %v", a)
	}
}

// TestTheHintForARightKeepsTheOthers: a token that is issued again has the rights that are named, so that the hint names those that there were.
func TestTheHintForARightKeepsTheOthers(t *testing.T) {
	c := newHostedCell(t)
	c.record("n1", nodeFields("n1", "active"))
	viewer := c.client("viewer", "token_revoke", "fleet_view")
	issue := "statecraft token issue client --dir DIR --name viewer --right fleet_view --right %s --output " + viewer
	answer(t, &fleetRetireVerb{contextFlags{As: viewer}, "n1"}, false).
		wants(t, exitRefused, strings.Replace(issue, "%s", "fleet_approve --right token_revoke", 1), "the rights that are named, and no other")
	a := answer(t, &fleetReprovisionVerb{contextFlags: contextFlags{As: viewer}, Rate: "10/s", Nodes: []string{"n1"}}, false)
	a.wants(t, exitRefused, strings.Replace(issue, "%s", "fleet_operate --right token_revoke", 1))
	if strings.Contains(a.out+a.errs, "unreachable") || strings.Contains(a.out+a.errs, "accepted") {
		t.Errorf("a node that was not told is said to have been: %v", a)
	}
}

// TestTheFleetShowsWhoIsRevokedAndWhoComesBack: a node whose name or key is revoked is not shown as if it were well, and one that asks with its own key is
// not taken for another.
func TestTheFleetShowsWhoIsRevokedAndWhoComesBack(t *testing.T) {
	c := newHostedCell(t)
	as, view := c.revoker(t), contextFlags{As: c.client("viewer", "fleet_view")}
	for _, name := range []string{"n1.example", "n2", "n3"} {
		fields := nodeFields(name, "active")
		fields["public_key"] = strings.Repeat(name[1:2], 64)
		c.record(identity.Identity(name), fields)
	}
	answer(t, &tokenRevokeVerb{contextFlags: as, Node: "n1.example", Reason: "lost"}, false).wants(t, exitOK)
	answer(t, &tokenRevokeVerb{contextFlags: as, Key: strings.Repeat("2", 64), Reason: "stolen"}, false).wants(t, exitOK)
	until(t, func() bool {
		return strings.Count(answer(t, &fleetLsVerb{contextFlags: view}, false).out, "active (revoked)") == 2
	})
	answer(t, &fleetShowVerb{contextFlags: view, Node: "n2"}, false).wants(t, exitOK, "active (revoked)", `"by":"revoker"`)

	operator := contextFlags{As: c.client("operator", "fleet_view", "fleet_operate")}
	answer(t, &fleetReprovisionVerb{contextFlags: operator, Rate: "10/s", Match: "n1.*"}, false).wants(t, exitFailed, "no node is meant")

	// Another key takes the identity of the second: that is not revoked.
	fields := nodeFields("n2", "active")
	fields["revoked"] = map[string]any{"key": strings.Repeat("2", 64), "by": "revoker", "at": 1767610800}
	c.record("n2", fields)
	if a := answer(t, &fleetLsVerb{contextFlags: view}, false); strings.Count(a.out, "revoked") != 1 {
		t.Errorf("another key is shown as revoked: %v", a)
	}
	fields = nodeFields("n3", retired)
	fields["asked"] = []any{map[string]any{"key": otherKey, "at": 1767607200, "join_id": "j1"}}
	c.record("n3", fields)
	answer(t, &fleetLsVerb{contextFlags: view}, false).
		wants(t, exitOK, "retired (its own key asks for it)", "n3 is retired and has asked to come back, with its own key; statecraft fleet approve n3 "+otherKey)
}

// TestATokenIsGivenAsTheFolderThatHasIt: the folder of a client, its context.json and its nats.json are as good as a file with the token.
func TestATokenIsGivenAsTheFolderThatHasIt(t *testing.T) {
	c := newHostedCell(t)
	as, victim := c.revoker(t), c.client("victim", "fleet_view")
	for _, given := range []string{victim, filepath.Join(victim, "context.json"), filepath.Join(victim, "nats.json")} {
		answer(t, &tokenInspectVerb{Dir: c.dir, Token: given}, false).wants(t, exitOK, "victim", "verified")
	}
	answer(t, &tokenRevokeVerb{contextFlags: as, Token: victim, Reason: "lost"}, false).wants(t, exitOK, "revoked id ")
	until(t, func() bool {
		return answer(t, &fleetLsVerb{contextFlags: contextFlags{As: victim}}, false).code == exitRefused
	})
	// Its times are in the one format that all tables have.
	if a := answer(t, &tokenRevokedVerb{as}, false); regexp.MustCompile(`\dT\d`).MatchString(a.out) {
		t.Errorf("a time in another format: %v", a)
	}
	empty := t.TempDir()
	answer(t, &tokenInspectVerb{Token: empty}, false).wants(t, exitUsage, filepath.Join(empty, "context.json"), "a client's folder")
	if err := os.WriteFile(filepath.Join(empty, "context.json"), []byte(`{"cell": "main"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	answer(t, &tokenInspectVerb{Token: empty}, false).wants(t, exitInvalid, "there is no token in "+empty)
}

// TestANodeThatWasTurnedAwayUsesAnotherJoinTokenAtOnce: whoever starts it with another one does not wait for the minutes that it rests.
func TestANodeThatWasTurnedAwayUsesAnotherJoinTokenAtOnce(t *testing.T) {
	c := newHostedCell(t)
	join, state := filepath.Join(c.dir, "join.jwt"), filepath.Join(t.TempDir(), "n1")
	other := filepath.Join(t.TempDir(), "other.jwt")
	if err := os.WriteFile(other, []byte(statecraft(t, "token", "issue", "join", "--dir", c.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	answer(t, &tokenRevokeVerb{contextFlags: c.revoker(t), Token: join, Reason: "lost"}, false).wants(t, exitOK, "revoked id ")
	enrollment := func(join, want string) {
		t.Helper()
		node := exec.Command("statecraft", "node", "run", "--join", join, "--identity", "n1.example", "--state", state)
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = node.Process.Signal(syscall.SIGTERM)
			_ = node.Wait()
		}()
		until(t, func() bool {
			a := answer(t, &statesVerb{stateFlags: stateFlags{State: state}, Machine: "enrollment"}, false)
			return strings.Contains(a.out, want)
		})
	}
	enrollment(join, "start the node with another one, by statecraft node run --join FILE")
	enrollment(other, "active since")
}

// TestWhoRevokesThemselvesIsToldSoAndNothingElse: the session that the revocation ends is no lost connection.
func TestWhoRevokesThemselvesIsToldSoAndNothingElse(t *testing.T) {
	c := newHostedCell(t)
	as := c.revoker(t)
	a := answer(t, &tokenRevokeVerb{contextFlags: as, Token: filepath.Join(c.dir, "authority", "client.jwt"), Reason: "stolen"}, false)
	a.wants(t, exitOK, "revoked key ", "this bans revoker, too", "statecraft token issue client --dir DIR --name revoker --right token_revoke --output "+as.As)
	if strings.Contains(a.errs, "lost") || strings.Contains(strings.ToLower(a.errs), "authorization") {
		t.Errorf("it says more than that: %v", a)
	}
}

// documented are the commands of the first block below a text of a document.
func documented(t *testing.T, file, text string) []string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, filepath.Join("..", "..", "docs", file)), text)
	_, rest, indented := strings.Cut(rest, "\n\n    ")
	block, _, _ := strings.Cut(rest, "\n\n")
	if !found || !indented {
		t.Fatalf("%s has no commands below %q", file, text)
	}
	return strings.Split(block, "\n    ")
}

// asDocumented runs a command of a document beside the folder cell.
func (c *fleetCell) asDocumented(command string) string {
	c.t.Helper()
	shell := exec.Command("sh", "-c", command)
	shell.Dir = filepath.Dir(c.dir)
	out, err := shell.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// TestTheDocumentedCommandsOfPublishersAndStolenIssuers runs what docs/publishing.md says of somebody's first publication, and docs/operations.md of an
// issuer of clients that was stolen, after which the operator is let in.
func TestTheDocumentedCommandsOfPublishersAndStolenIssuers(t *testing.T) {
	c := newHostedCell(t)
	t.Setenv("STATECRAFT_CONTEXT", filepath.Join(c.dir, "operator"))
	manifests, err := filepath.Abs(filepath.Join("..", "..", "manifests"))
	if err == nil {
		err = os.Symlink(manifests, filepath.Join(filepath.Dir(c.dir), "manifests"))
	}
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	for _, command := range documented(t, "publishing.md", "## The first publication") {
		out := c.asDocumented(strings.Replace(command, "KEY", key, 1))
		if after, ok := strings.CutPrefix(out, "public key  "); ok {
			key, _, _ = strings.Cut(after, "\n")
		}
	}
	if key == "" {
		t.Error("no key was made")
	}
	c.asDocumented("statecraft registry show --as alice")
	for _, command := range documented(t, "operations.md", "After the theft of an issuer of clients") {
		c.asDocumented(command)
	}
	c.asDocumented("statecraft fleet ls")
	answer(t, &fleetLsVerb{contextFlags: contextFlags{As: c.admins}}, false).wants(t, exitRefused, "refuses the token of admin")
}
