package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

const corpusManifest = `format: 2
requires: ">=` + machine.Release + `"
name: web
version: 1.2.0
initial_state: idle
states: {idle: {home: true}}
data: {done: {type: integer, default: 0}}
transitions:
  - {name: go, from: [idle], destination: busy}
  - {name: done, from: [busy], destination: idle, set: {done: "${ data.done + 1 }"}}
watchers:
  - {name: begin, type: timer, state_match: [idle], fail_transition: go, properties: {timer: 1h}}
  - {name: work, type: exec, state_match: [busy], success_transition: done, fail_transition: done, properties: {command: "./work ${ data.done }"}}
`

// corpusWriter writes the documents of this release.
type corpusWriter struct {
	t                                     *testing.T
	dir                                   string
	root, publisher, issuer, holder, peer *identity.Key
	above                                 *identity.Signer // by whom tokens are signed
}

func newCorpusWriter(t *testing.T, dir string) *corpusWriter {
	w := &corpusWriter{t: t, dir: dir, root: corpusKey(t, 0), publisher: corpusKey(t, 1), issuer: corpusKey(t, 2), holder: corpusKey(t, 3), peer: corpusKey(t, 4)}
	signer, err := (&identity.Signer{Key: w.root}).Delegate(w.issuer, w.claims(identity.Claims{ID: "issuer", Subject: "enrollment", Cell: "lon1", Limits: &identity.IssuerLimits{
		Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeJoin, identity.PurposeClient, identity.PurposeService, identity.PurposeAssignment},
		Cells:    []string{"lon1"},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	w.above = signer
	return w
}

// claims are complete, and good in corpusTime.
func (w *corpusWriter) claims(c identity.Claims) identity.Claims {
	c.IssuedAt, c.Expires = corpusTime.Add(-time.Hour), corpusTime.Add(365*24*time.Hour)
	return c
}

func (w *corpusWriter) token(c identity.Claims) string {
	w.t.Helper()
	c.ID, c.Cell = string(c.Purpose), "lon1"
	token, err := w.above.Sign(w.claims(c))
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *corpusWriter) write(name string, content []byte) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *corpusWriter) sign(document any, signers ...registry.Signer) []byte {
	w.t.Helper()
	envelope, err := registry.Sign(document, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return append(envelope, '\n')
}

func (w *corpusWriter) firstRoot() *registry.Root {
	return &registry.Root{
		Type: registry.RootType, Version: 1, Issued: corpusTime, Expires: corpusTime.Add(365 * 24 * time.Hour), Roles: map[string]registry.Role{
			registry.RoleRoot: {Keys: []identity.PublicKey{w.root.Public()}, Threshold: 1},
			registry.RoleSpec: {Keys: []identity.PublicKey{w.publisher.Public()}, Threshold: 1},
		},
	}
}

func (w *corpusWriter) spec(b *registry.Bundle) *registry.Spec {
	m := packedMachine{bundle: b}
	e := m.entry()
	e.Match, e.Governor = "identity('^web')", "slow"
	return &registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: "lon1", Serial: 7, Issued: corpusTime, Expires: corpusTime.Add(90 * 24 * time.Hour), Machines: []registry.Entry{e},
	}
}

func (w *corpusWriter) bundle() *registry.Bundle {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "web")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	for name, content := range map[string]string{"machine.yaml": corpusManifest, "work": "#!/bin/sh\nexit 0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := registry.Pack(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// writeCorpus writes the documents of this release into a new folder.
func writeCorpus(t *testing.T, dir string) {
	w := newCorpusWriter(t, dir)
	b := w.bundle()
	first := w.firstRoot()
	second, err := first.Next(registry.RootChange{
		Role: registry.RoleSpec, Add: []identity.PublicKey{w.peer.Public()}, Serials: map[string]uint64{"default": 3}, Issued: corpusTime, Expires: first.Expires,
	})
	if err != nil {
		t.Fatal(err)
	}
	spec := w.spec(b)
	w.write("root.1.json", w.sign(first, w.root))
	w.write("root.2.json", w.sign(second, w.root))
	w.write("spec.json", w.sign(spec, w.publisher, w.peer))
	w.write("web.tgz", b.Data)
	list, err := json.Marshal(spec.Machines)
	if err != nil {
		t.Fatal(err)
	}
	w.write("choria.json", fmt.Appendf(nil, "{\"plugins\":%q,\"signature\":%q}\n", base64.StdEncoding.EncodeToString(list), hex.EncodeToString(w.publisher.Sign(list))))
	w.tokens()
	w.kept()
	w.revocations()
}

func (w *corpusWriter) nodeToken() string {
	return w.token(identity.Claims{
		Purpose: identity.PurposeNode, Subject: "web1.example", Identity: "web1.example", PublicKey: w.holder.Public().String(), OU: "ops",
		Collectives: []string{"main"}, Permissions: map[string]bool{"streams": true}, CIDR: []string{"10.0.0.0/8"},
	})
}

func (w *corpusWriter) joinToken() string {
	return w.token(identity.Claims{Purpose: identity.PurposeJoin, OU: "ops", Join: &identity.JoinClaims{
		URLs: []string{"tls://127.0.0.1:4223"}, SRVDomain: "example.net", Pins: []string{"cGlu"}, Controller: w.root.Public().String(), MaxUses: 10, Identities: "web*",
		Facts: "/etc/facts.json", Registration: "/etc/registration.json", Extensions: json.RawMessage(`{"rack":"a1"}`),
	}})
}

func (w *corpusWriter) clientToken() string {
	return w.token(identity.Claims{Purpose: identity.PurposeClient, Subject: "alice", PublicKey: w.holder.Public().String(), Permissions: map[string]bool{"fleet_view": true}})
}

func (w *corpusWriter) assignment() *identity.Assignment {
	return &identity.Assignment{
		Identity: "web1.example", Cell: "lon1", URLs: []string{"tls://127.0.0.1:4222"}, Token: w.nodeToken(), Roots: []string{w.root.Public().String()},
		Configuration: json.RawMessage(`{"role":"web"}`), Policies: json.RawMessage(`{"action":{"puppet":"allow"}}`), Proof: "proof", Message: "welcome",
	}
}

// tokens are one of each purpose that this release signs.
func (w *corpusWriter) tokens() {
	document, err := json.Marshal(w.assignment())
	if err != nil {
		w.t.Fatal(err)
	}
	for purpose, token := range map[identity.Purpose]string{
		identity.PurposeIssuer: w.above.Chain[0], identity.PurposeNode: w.nodeToken(), identity.PurposeJoin: w.joinToken(), identity.PurposeClient: w.clientToken(),
		identity.PurposeService: w.token(identity.Claims{Purpose: identity.PurposeService, Identity: "overlay1", PublicKey: w.peer.Public().String(), Permissions: map[string]bool{"overlay": true}}),
		identity.PurposeAssignment: w.token(identity.Claims{
			Purpose: identity.PurposeAssignment, Audience: w.holder.Public().String(), Identity: "web1.example", Document: document,
		}),
	} {
		w.write(filepath.Join("tokens", string(purpose)+".jwt"), []byte(token+"\n"))
	}
}

// kept is what a node, a host and a client keep.
func (w *corpusWriter) kept() {
	client, err := json.MarshalIndent(map[string]any{"cell": "lon1", "urls": []string{"tls://127.0.0.1:4222"}, "ca": "", "token": w.clientToken()}, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("client/context.json", append(client, '\n'))
	store := corpusStore(w.t, filepath.Join(w.dir, "trust"))
	for _, name := range []string{"root.1.json", "root.2.json"} {
		if _, err := store.AcceptRoot([]byte(strings.TrimSpace(read(w.t, filepath.Join(w.dir, name)))), corpusTime); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, _, err := store.Accept([]byte(strings.TrimSpace(read(w.t, filepath.Join(w.dir, "spec.json")))), corpusWant); err != nil {
		w.t.Fatal(err)
	}
	folder := filepath.Join(w.dir, "node")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		w.t.Fatal(err)
	}
	seed := hex.EncodeToString(bytes.Repeat([]byte{'c', 3}, 16)) + "\n" // of corpusKey(3), as a store writes it
	sum := sha256.Sum256([]byte(seed))
	w.write("node/key", []byte(hex.EncodeToString(sum[:])+"\n"+seed))
	node, err := identity.OpenStore(folder)
	for _, do := range []func() error{
		func() error { return err }, func() error { return node.SetJoinToken(w.joinToken()) }, func() error { return node.SetName("web1.example") },
		func() error { return node.Stage(w.assignment()) }, func() error { return node.Activate() }, func() error { return node.Commit() },
	} {
		if err := do(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// corpusRevocation is a key of the bucket REVOKED, and its value.
type corpusRevocation struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// revocations are one of each kind; a test of runtime/broker reads them.
func (w *corpusWriter) revocations() {
	var all []corpusRevocation
	for _, r := range []broker.Revocation{
		{Kind: broker.RevokedToken, Value: "join"}, {Kind: broker.RevokedKey, Value: w.holder.Public().String()}, {Kind: broker.RevokedIdentity, Value: "web1=example", Purpose: identity.PurposeNode},
		{Kind: broker.RevokedHost, Value: "overlay1", Purpose: identity.PurposeService}, {Kind: broker.RevokedClient, Value: "alice", Purpose: identity.PurposeClient},
	} {
		r.Reason, r.By, r.At = "lost", "alice", corpusTime
		value, err := r.Encode()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, corpusRevocation{r.Key(), value})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("revocations.json", append(text, '\n'))
}

// writeLater writes what releases to come might write, made of what this one does.
func writeLater(t *testing.T, dir string) {
	w := newCorpusWriter(t, dir)
	all := map[string]wanted{}
	put := func(name, content string, want wanted) {
		all[name] = want
		w.write(name, []byte(content+"\n"))
	}
	root, spec := w.firstRoot(), w.spec(w.bundle())
	root.Version = 2
	ofSpec := `"spec":{"keys":["` + w.publisher.Public().String() + `"],`
	for name, d := range map[string]struct {
		changes []string
		want    wanted
	}{
		"root-more.json": {[]string{`"roles":{`, `"roles":{"gate":{"keys":["p256:abc"],"threshold":1},`, `"expires"`, `"delegations":[{"to":"release"}],"expires"`,
			`"issued"`, `"extensions":{"example.net/owner":"ops"},"issued"`, ofSpec, ofSpec + `"limits":{"hours":8},`,
		}, wanted{Passed: []string{"delegations", "example.net/owner", "roles.gate", "roles.spec.limits"}}},
		"root-requires.json": {[]string{ofSpec, ofSpec + `"requires":["gate"],`}, wanted{Refused: `unsupported "gate"`}},
		"root-critical.json": {[]string{`"expires"`, `"critical":["quorum"],"expires"`}, wanted{Refused: `unsupported "quorum"`}},
		"root-type.json":     {[]string{"root.v1", "root.v2"}, wanted{Refused: "unsupported statecraft.root.v2"}},
	} {
		put(name, w.changed(root, w.root, d.changes...), d.want)
	}
	for name, d := range map[string]struct {
		changes []string
		want    wanted
	}{
		"spec-more.json": {[]string{`"expires"`, `"deadline":{"hours":4},"expires"`, `"issued"`, `"extensions":{"example.net/change":4711},"issued"`, `"verify"`, `"user":"web","verify"`},
			wanted{Passed: []string{"deadline", "example.net/change", "machines.user"}}},
		"spec-critical.json":  {[]string{`"expires"`, `"critical":["machines.user"],"expires"`, `"verify"`, `"user":"web","verify"`}, wanted{Refused: `unsupported "machines.user"`}},
		"spec-extension.json": {[]string{`"expires"`, `"critical":["example.net/gate"],"expires"`, `"issued"`, `"extensions":{"example.net/gate":1},"issued"`}, wanted{Refused: `unsupported "example.net/gate"`}},
		"spec-type.json":      {[]string{"spec.v1", "spec.v9"}, wanted{Refused: "unsupported statecraft.spec.v9"}},
	} {
		put(name, w.changed(spec, w.publisher, d.changes...), d.want)
	}
	w.laterTokens(put)
	for name, m := range map[string]struct{ head, more, refused string }{
		"machine-requires.yaml": {`requires: ">=99.1"`, "sample: {every: 1h}\n", "SC119 too_old " + machine.Release + " >=99.1"},
		"machine-format.yaml":   {"", "format: 3\n", "SC103 formats 1 and 2"},
		"machine-unknown.yaml":  {"", "sample: {every: 1h}\n", "sample"},
	} {
		text := strings.Replace(corpusManifest, `requires: ">=`+machine.Release+`"`, m.head, 1) + m.more
		if strings.HasPrefix(m.more, "format") {
			text = strings.Replace(text, "format: 2\n", "", 1)
		}
		put(name, strings.TrimSuffix(text, "\n"), wanted{Refused: m.refused})
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	w.write("wanted.json", append(text, '\n'))
}

// changed is a document with texts in place of others, signed as it is then.
func (w *corpusWriter) changed(document any, by *identity.Key, changes ...string) string {
	w.t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(w.sign(document, by), &e); err != nil {
		w.t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		if !bytes.Contains(payload, []byte(changes[i])) {
			w.t.Fatalf("%s is not in %s", changes[i], payload)
		}
		payload = bytes.Replace(payload, []byte(changes[i]), []byte(changes[i+1]), 1)
	}
	e.Payload = base64.StdEncoding.EncodeToString(payload)
	e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(by.Sign(dsse.PAE(e.PayloadType, payload)))
	out, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(out)
}

// laterTokens are tokens with claims, and of an issuer with a limit, that this release does not know.
func (w *corpusWriter) laterTokens(put func(name, content string, want wanted)) {
	resigned := func(token string, by *identity.Key, change func(claims map[string]any)) string {
		parts := strings.Split(token, ".")
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		claims := map[string]any{}
		if err == nil {
			err = json.Unmarshal(text, &claims)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		change(claims)
		if text, err = json.Marshal(claims); err != nil {
			w.t.Fatal(err)
		}
		body := parts[0] + "." + base64.RawURLEncoding.EncodeToString(text)
		return body + "." + base64.RawURLEncoding.EncodeToString(by.Sign([]byte(body)))
	}
	put("token-more.jwt", resigned(w.nodeToken(), w.issuer, func(c map[string]any) { c["agents"], c["crit"] = []string{"puppet.*"}, []string{"cidr"} }), wanted{})
	put("token-critical.jwt", resigned(w.nodeToken(), w.issuer, func(c map[string]any) { c["signer"], c["crit"] = "required", []string{"signer"} }), wanted{Refused: "later release signer"})
	limited := resigned(w.above.Chain[0], w.root, func(c map[string]any) { c["limits"].(map[string]any)["signer"] = "required" })
	put("token-limit.jwt", resigned(w.nodeToken(), w.issuer, func(c map[string]any) { c["chain"] = []string{limited} }), wanted{Refused: "later release limits.signer"})
	document, err := json.Marshal(w.assignment())
	if err != nil {
		w.t.Fatal(err)
	}
	put("token-assignment.jwt", resigned(w.token(identity.Claims{
		Purpose: identity.PurposeAssignment, Audience: w.holder.Public().String(), Identity: "web1.example", Document: document,
	}), w.issuer, func(c map[string]any) { c["document"].(map[string]any)["deadline"] = 4 }), wanted{})
}
