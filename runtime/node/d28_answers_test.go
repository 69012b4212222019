package node_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestD28WhatHelpersSay holds what becomes of a node against the fields of the answer.
func TestD28WhatHelpersSay(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	script := helper(t,
		"input=$(cat)", `echo "$input" >> `+seen, `case "$input" in`,
		`*'"identity":"defer.example"'*) echo '{"defer": true, "msg": "not yet"}';;`,
		`*'"identity":"deny.example"'*) echo '{"deny": true, "msg": "not ours"}';;`,
		`*'"identity":"off.example"'*) echo '{"shutdown": true, "msg": "decommissioned"}';;`,
		`*) echo '{"configuration": {"colour": "red"}, "action_policies": {"service": "allow *"}, "opa_policies": {"main": "package x"}}';;`,
		"esac")
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = script })
	for name, want := range map[string]struct{ state, reason string }{
		"defer.example": {"pending", "not yet"}, "deny.example": {"pending", "not ours"}, "off.example": {"shut_down", "decommissioned"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMember(t, name, t.TempDir(), c.join, nil)
			eventually(t, "the node knows the answer", func() bool { return m.reason() == want.reason && m.state() == want.state })
		})
	}
	t.Run("taken", func(t *testing.T) {
		m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
		m.becomes("active")
		got, err := m.store.Active()
		if err != nil {
			t.Fatal(err)
		}
		given := fmt.Sprintf("%s %s", got.Configuration, got.Policies)
		if diff := cmp.Diff(`{"colour":"red"} {"action":{"service":"allow *"},"opa":{"main":"package x"}}`, given); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("released", func(t *testing.T) {
		m := newMember(t, "off.example", t.TempDir(), c.join, nil)
		m.becomes("shut_down")
		if fired, err := m.agent.Host().Fire(t.Context(), "enrollment", "release", nil, "operator"); err != nil {
			t.Fatal(fired, err)
		}
		eventually(t, "it asks again and is sent away again", func() bool { return m.entered("shut_down") == 2 })
	})
	input, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"identity", "ed25519_pubkey", "inventory", "jwt", "history", "cells", "csr"} {
		if !strings.Contains(string(input), `"`+key+`":`) {
			t.Errorf("the helper was not given %s: %s", key, input)
		}
	}
}

// answering is a helper that answers for each node what the file of its name in a folder says.
func answering(t testing.TB, answers map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for id, answer := range answers {
		write(t, filepath.Join(dir, id), answer, 0o600)
	}
	return helper(t, `id=$(sed -n 's/.*"identity":"\([a-z0-9.-]*\)".*/\1/p')`, `cat "`+dir+`/$id"`)
}

const aCertificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

// everything is an answer with all that a node can be given.
const everything = `{
	"configuration": {"colour": "red"}, "action_policies": {"service": "allow *"}, "opa_policies": {"main": "package x"},
	"certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "ca": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
	"upgrade": "2.1.0-rc1+b7", "overlay": "test", "msg": "welcome", "defer": false, "shutdown": null,
	"server_claims": {"collectives": ["main", "web"], "ou": "ops", "permissions": {"streams": false}}
}`

// claimsOf is what the node's token says beside its name.
func claimsOf(t testing.TB, m *member) string {
	t.Helper()
	given, err := m.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	c, err := identity.Inspect(given.Token)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(c.Collectives, c.OU, c.Permissions)
}

// TestD28AnswersAreHonoured gives a node everything that there is. It is in the assignment, in files, in the register, in the event that the
// fleet is told, and in the tokens, also in the one after.
func TestD28AnswersAreHonoured(t *testing.T) {
	overlays := shortLived(t, "4s")
	c := newCell(t, func(o *overlay.InitOptions) {
		overlays(o)
		o.Helper = answering(t, map[string]string{"n1.example": everything})
	})
	heard, err := c.operator().SubscribeSync("choria.lifecycle.event.provisioned.*")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, nil)
	m.becomes("active")
	first, err := m.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"2.1.0-rc1+b7", "welcome", aCertificate, aCertificate, `{"colour":"red"}`}
	got := []string{first.Upgrade, first.Message, first.Certificate, first.CertificateCA, string(first.Configuration)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the assignment: -want +got\n%s", diff)
	}
	if got := m.data("upgrade"); got != "2.1.0-rc1+b7" {
		t.Errorf("the node's machine has the version %v", got)
	}
	files := map[string]string{
		"certificate.pem": aCertificate, "ca.pem": aCertificate, "policies/service.policy": "allow *", "policies/rego/main.rego": "package x",
	}
	eventually(t, "the files are there", func() bool { return cmp.Equal(files, filesBelow(t, filepath.Join(dir, "identity", "given"))) })
	const claims = "[main web]opsmap[]"
	if got := claimsOf(t, m); got != claims {
		t.Errorf("the token says %s, want %s", got, claims)
	}
	r := record(t, c.bucket("NODES"), "n1.example")
	if diff := cmp.Diff(map[string]any{"collectives": []any{"main", "web"}, "ou": "ops"}, r["claims"]); diff != "" || r["upgrade"] != "2.1.0-rc1+b7" {
		t.Errorf("the register has the version %v and the claims: -want +got\n%s", r["upgrade"], diff)
	}
	told, err := heard.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ Data map[string]any }
	if err := json.Unmarshal(told.Data, &event); err != nil || event.Data["upgrade"] != "2.1.0-rc1+b7" {
		t.Errorf("the fleet is told %s (%v)", told.Data, err)
	}
	eventually(t, "the node has its next token", func() bool { return m.expires().After(time.Now().Add(time.Minute)) })
	if got := claimsOf(t, m); got != claims {
		t.Errorf("the next token says %s, want %s", got, claims)
	}
}

// filesBelow is the content of the files of a folder, each of which only its owner may read.
func filesBelow(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", at, info.Mode())
		}
		if e.IsDir() {
			return nil
		}
		content, err := os.ReadFile(at)
		name, _ := filepath.Rel(dir, at)
		found[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

// TestD28AnswersThatCannotBe has helpers that ask for what nodes cannot be given. Each is refused with what is wrong, and nothing is
// written.
func TestD28AnswersThatCannotBe(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"overlay":       {`{"overlay": "elsewhere"}`, "overlay is elsewhere, and this is test"},
		"version":       {`{"upgrade": "../2"}`, "upgrade is no version"},
		"number":        {`{"upgrade": 2}`, "upgrade is not of the type string"},
		"certificate":   {`{"certificate": "MIIB"}`, "certificate is no certificate in PEM"},
		"authority":     {`{"ca": "MIIB"}`, "ca is no certificate in PEM"},
		"private":       {`{"ca": "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"}`, "ca holds a private key"},
		"escape":        {`{"action_policies": {"../x": ""}}`, "action_policies: ../x is not the name of a file, or no text"},
		"policy":        {`{"opa_policies": {"x": {"allow": true}}}`, "opa_policies: x is not the name of a file, or no text"},
		"policies":      {`{"opa_policies": ["x"]}`, "opa_policies is not of the type object"},
		"configuration": {`{"configuration": "x"}`, "configuration is not of the type object"},
		"claim":         {`{"server_claims": {"pub_subjects": [">"]}}`, "server_claims: pub_subjects is nothing that nodes are given"},
		"right":         {`{"server_claims": {"permissions": {"admin": true}}}`, "server_claims: admin is not a right that nodes are given"},
		"perhaps":       {`{"server_claims": {"permissions": {"streams": "no"}}}`, "server_claims: streams is not a right that nodes are given"},
		"collective":    {`{"server_claims": {"collectives": ["main", "a.>"]}}`, "a.> is not the name of a collective"},
		"collectives":   {`{"collectives": "main"}`, "collectives is not of the type array"},
		"twice":         {`{"collectives": ["a"], "server_claims": {"collectives": ["b"]}}`, "collectives are said twice"},
		"unknown":       {`{"key": "x"}`, "key is not known here"},
		"misspelled":    {`{"dever": true, "msg": "not yet"}`, "dever is not known here"},
		"yes":           {`{"deny": "yes"}`, "deny is not of the type boolean"},
		"large":         {`{"configuration": {"x": "` + strings.Repeat("x", 18000) + `"}}`, "it takes more than 18000 bytes"},
		"escaped":       {`{"configuration": {"x": "` + strings.Repeat("<", 4000) + `"}}`, "it takes more than 18000 bytes"},
	}
	answers := map[string]string{}
	for name, tt := range tests {
		answers[name+".example"] = tt.answer
	}
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = answering(t, answers) })
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			id := name + ".example"
			m := newMember(t, id, t.TempDir(), c.join, nil)
			eventually(t, "the node knows why it is refused", func() bool { return m.state() == "pending" && strings.Contains(m.reason(), tt.want) })
			if r := record(t, c.bucket("NODES"), id); r != nil {
				t.Errorf("the register has %v", r)
			}
		})
	}
}

// TestD28LargeAnswers gives a node as much as there may be: it fits into an assignment.
func TestD28LargeAnswers(t *testing.T) {
	answer := `{"configuration": {"x": "` + strings.Repeat("x", 17950) + `"}}`
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = answering(t, map[string]string{"n1.example": answer}) })
	newMember(t, "n1.example", t.TempDir(), c.join, nil).becomes("active")
}

// TestD28RightsOfNodes has a site that lets helpers give a right to nodes.
func TestD28RightsOfNodes(t *testing.T) {
	machines := override(t, t.TempDir(), "overlay/enrollee", "  rights:\n    type: list\n    default: []", "  rights:\n    type: list\n    default: [streams]")
	c := newCell(t, func(o *overlay.InitOptions) {
		o.Machines, o.Helper = machines, answering(t, map[string]string{"n1.example": `{"server_claims": {"permissions": {"streams": true, "admin": false}}}`})
	})
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	m.becomes("active")
	if got := claimsOf(t, m); got != "[main]map[streams:true]" {
		t.Errorf("the token says %s", got)
	}
}
