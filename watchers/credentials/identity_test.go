package credentials

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestLifeOfANode walks an assignment through all steps and holds outcome, payload and refreshes of each.
func TestLifeOfANode(t *testing.T) {
	f := newFleet(t)
	token := sign(t, f.enrollment, f.nodeClaims(12*time.Hour))
	claims, err := identity.Inspect(token)
	must(t, err)
	bare := map[string]any{"public_key": f.key.Public().String(), "nkey": f.key.Public().NKey(), "pending": false}
	assigned := func(pending bool) map[string]any {
		return map[string]any{
			"public_key": f.key.Public().String(), "nkey": f.key.Public().NKey(), "pending": pending, "identity": "web1.example", "cell": "c1",
			"token_id": claims.ID, "expires": "2026-03-02T00:00:00Z", "expired": false, "proof": "p1", "upgrade": "2.1.0",
		}
	}
	data := map[string]any{"assignment": with(with(f.document(token), "proof", "p1"), "upgrade", "2.1.0")}
	for _, step := range []struct {
		properties, outcome string
		payload             map[string]any
		refreshes           int
	}{
		{"action: ensure", "success", bare, 0},
		{"action: check", "missing", bare, 0},
		{"action: activate", "missing", bare, 0},
		{"{action: stage, document: data.assignment}", "success", bare, 0},
		{"{action: stage, document: data.assignment}", "success", bare, 0},
		{"action: activate", "success", assigned(true), 1},
		{"action: activate", "success", assigned(true), 1},
		{"action: check", "success", assigned(true), 1},
		{"action: provide", "success", assigned(true), 1},
		{"action: rollback", "success", bare, 2},
		{"action: rollback", "success", bare, 2},
		{"{action: stage, document: data.assignment}", "success", bare, 2},
		{"action: activate", "success", assigned(true), 3},
		{"action: commit", "success", assigned(false), 3},
		{"action: commit", "success", assigned(false), 3},
		{"action: rollback", "success", assigned(false), 3},
		{"action: forget", "success", bare, 4},
		{"action: forget", "success", bare, 4},
		{"action: provide", "missing", bare, 4},
	} {
		got := f.do("identity", step.properties, data)
		if diff := cmp.Diff(step.payload, got.Payload); diff != "" || got.Outcome != step.outcome {
			t.Fatalf("%s: %s, %s (-want +got):\n%s", step.properties, got.Outcome, got.Message, diff)
		}
		if len(f.refreshed) != step.refreshes {
			t.Fatalf("%s: refreshed %v, want %d", step.properties, f.refreshed, step.refreshes)
		}
	}
	if want := slices.Repeat([]string{"web1.example"}, 4); !slices.Equal(f.refreshed, want) {
		t.Errorf("refreshed %v", f.refreshed)
	}
}

func TestEnsureMakesAKey(t *testing.T) {
	f := newFleet(t)
	store, err := identity.OpenStore("")
	must(t, err)
	f.node.Store = store
	if got := f.do("identity", "action: check", nil); got.Outcome != OutcomeMissing {
		t.Errorf("without a key: %+v", got)
	}
	first := f.do("identity", "action: ensure", nil)
	second := f.do("identity", "action: ensure", nil)
	if k, err := store.Key(); err != nil || first.Payload["public_key"] != k.Public().String() {
		t.Errorf("%+v, the key is %v, %v", first, k, err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the second time (-first +second):\n%s", diff)
	}
	replaced := f.do("identity", "action: replace_key", nil)
	if replaced.Outcome != machine.OutcomeSuccess || replaced.Payload["public_key"] == first.Payload["public_key"] {
		t.Errorf("replaced: %+v", replaced)
	}
	if len(f.refreshed) != 2 { // the key that was made, and the other one
		t.Errorf("refreshed %v", f.refreshed)
	}
}

// TestD29DamageIsReported damages what the node has, and mends it the way that manifests do.
func TestD29DamageIsReported(t *testing.T) {
	f := newFleet(t)
	dir := t.TempDir()
	var err error
	f.node.Store, err = identity.OpenStore(dir)
	must(t, err)
	f.key, _, err = f.node.Store.EnsureKey()
	must(t, err)
	f.assign(12 * time.Hour)
	if got := f.do("identity", "action: check", nil); got.Outcome != machine.OutcomeSuccess {
		t.Fatalf("before: %+v", got)
	}
	assignments, err := filepath.Glob(filepath.Join(dir, "assignment-*"))
	must(t, err)
	must(t, os.Truncate(assignments[0], 50))
	if got := f.do("identity", "action: check", nil); got.Outcome != OutcomeDamaged || got.Message == "" {
		t.Errorf("a damaged assignment: %+v", got)
	}
	if got := f.do("identity", "action: forget", nil); got.Outcome != machine.OutcomeSuccess || len(f.refreshed) != 1 {
		t.Errorf("forget: %+v, refreshed %v", got, f.refreshed)
	}
	must(t, os.Truncate(filepath.Join(dir, "key"), 0))
	for _, action := range []string{"ensure", "check"} {
		if got := f.do("identity", "action: "+action, nil); got.Outcome != OutcomeDamaged {
			t.Errorf("%s of a damaged key: %+v", action, got)
		}
	}
	if got := f.do("identity", "action: replace_key", nil); got.Outcome != machine.OutcomeSuccess {
		t.Errorf("replace_key: %+v", got)
	}
}

// TestEndedTokenIsReported holds that an assignment whose token has ended is whole, and said to have ended.
func TestEndedTokenIsReported(t *testing.T) {
	f := newFleet(t)
	f.assign(12 * time.Hour)
	f.now = noon.Add(12*time.Hour - time.Second)
	if got := f.do("identity", "action: check", nil); got.Outcome != machine.OutcomeSuccess || got.Payload["expired"] != false {
		t.Errorf("in the last second: %+v", got)
	}
	f.now = f.now.Add(time.Second)
	if got := f.do("identity", "action: check", nil); got.Outcome != machine.OutcomeSuccess || got.Payload["expired"] != true {
		t.Errorf("at the end: %+v", got)
	}
}

// TestProvidedFilesThatCannotBe fails, and leaves the node what it has.
func TestProvidedFilesThatCannotBe(t *testing.T) {
	f := newFleet(t)
	given := filepath.Join(f.dir, "given")
	document := with(f.document(sign(t, f.enrollment, f.nodeClaims(time.Hour))), "certificate", "pem")
	for _, properties := range []string{"{action: stage, document: data.assignment}", "action: activate", "action: commit"} {
		if got := f.do("identity", properties, map[string]any{"assignment": document}); got.Outcome != machine.OutcomeSuccess {
			t.Fatalf("%s: %+v", properties, got)
		}
	}
	must(t, os.WriteFile(given, nil, 0o600))
	if got := f.do("identity", "action: provide", nil); got.Outcome != machine.OutcomeFail || got.Payload["cell"] != "c1" {
		t.Errorf("where a file stands in the way: %+v", got)
	}
	must(t, os.Remove(given))
	if got := f.do("identity", "action: provide", nil); got.Outcome != machine.OutcomeSuccess {
		t.Errorf("after that: %+v", got)
	}
	if text, err := os.ReadFile(filepath.Join(given, "certificate.pem")); err != nil || string(text) != "pem" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestTokenOfAnotherKeyIsDamage(t *testing.T) {
	f := newFleet(t)
	f.assign(12 * time.Hour)
	_, err := f.node.Store.ReplaceKey()
	must(t, err)
	if got := f.do("identity", "action: check", nil); got.Outcome != OutcomeDamaged {
		t.Errorf("%+v", got)
	}
}

func TestD29WrongAssignmentsAreNotStaged(t *testing.T) {
	f := newFleet(t)
	good := sign(t, f.enrollment, f.nodeClaims(12*time.Hour))
	stranger := &identity.Signer{Key: newKey(t)}
	foreign := f.nodeClaims(12 * time.Hour)
	foreign.PublicKey = stranger.Key.Public().String()
	short := f.nodeClaims(time.Minute)
	for name, tt := range map[string]struct {
		document any
		message  string
	}{
		"none":                   {nil, "no assignment"},
		"no mapping":             {"text", "not a mapping"},
		"another form":           {map[string]any{"identity": 7}, "no assignment"},
		"no token":               {f.document(""), "not a token"},
		"another's token":        {f.document(sign(t, f.enrollment, foreign)), "another key"},
		"a stranger's signature": {f.document(sign(t, stranger, f.nodeClaims(time.Hour))), "not signed by an issuer"},
		"an expired token":       {f.document(sign(t, f.enrollment, short)), "expired"},
		"another cell":           {with(f.document(good), "cell", "c2"), "somebody else"},
		"another identity":       {with(f.document(good), "identity", "web2"), "somebody else"},
	} {
		got := f.do("identity", "{action: stage, document: data.assignment}", map[string]any{"assignment": tt.document})
		if got.Outcome != machine.OutcomeFail || !strings.Contains(got.Message, tt.message) {
			t.Errorf("%s: %+v", name, got)
		}
		if got := f.do("identity", "action: activate", nil); got.Outcome != OutcomeMissing {
			t.Fatalf("%s: something is staged: %+v", name, got)
		}
	}
}

func with(m map[string]any, key string, value any) map[string]any {
	m[key] = value
	return m
}

func TestLooksWithoutKeys(t *testing.T) {
	for _, typ := range Types(nil, nil) {
		properties := map[string]string{"identity": "action: check", "token": "{action: verify, purpose: node, token: data.t}"}[typ.Name]
		prepared, list := prepare(typ, properties)
		if list.HasErrors() {
			t.Fatal(list)
		}
		got := prepared.New().(checker).Check(t.Context(), newFleet(t).look("x", map[string]any{"t": "x"}))
		if got.Outcome != machine.OutcomeFail || !strings.Contains(got.Message, "run the machine on a node") {
			t.Errorf("%s: %+v", typ.Name, got)
		}
	}
	f := newFleet(t)
	if got := f.as("overlay1", "identity", "action: ensure", nil); got.Outcome != machine.OutcomeFail || !strings.Contains(got.Message, "no node's identity") {
		t.Errorf("on an overlay host: %+v", got)
	}
	if got := f.as("stranger", "identity", "action: ensure", nil); got.Outcome != machine.OutcomeFail || !strings.Contains(got.Message, "nobody here") {
		t.Errorf("as a stranger: %+v", got)
	}
}
