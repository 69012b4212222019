package credentials

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

const issueNode = `
action: issue
issuer: enrollment
purpose: node
lifetime: 12h
audience: data.key
subject: "'node ' + data.name"
claims: "{identity: data.name, public_key: data.key, cell: data.cell, collectives: ['mcollective'], permissions: {streams: true}, cidr: ['10.0.0.0/8']}"
document: "{state: state, n: 7}"
`

func (f *fleet) placement() map[string]any {
	return map[string]any{"name": "web1.example", "key": f.key.Public().String(), "cell": "c1"}
}

// TestIssueAndVerify issues on the overlay and verifies on the node.
func TestIssueAndVerify(t *testing.T) {
	f := newFleet(t)
	issued := f.as("overlay1", "token", issueNode, f.placement())
	if issued.Outcome != machine.OutcomeSuccess {
		t.Fatalf("%+v", issued)
	}
	if issued.Payload["expires"] != "2026-03-02T01:00:00Z" || issued.Payload["id"] == "" || len(issued.Payload) != 3 {
		t.Errorf("payload %v", issued.Payload)
	}
	got := f.do("token", `{action: verify, purpose: node, token: data.t, audience: data.key, expect: "{n: 7, cell: 'c1', public_key: data.key, collectives: ['mcollective']}"}`,
		with(f.placement(), "t", issued.Payload["token"]))
	want := map[string]any{
		"issuer": f.enrollment.Key.Public().String(), "subject": "node web1.example", "audience": f.key.Public().String(), "id": issued.Payload["id"],
		"issued": "2026-03-01T13:00:00Z", "not_before": "2026-03-01T13:00:00Z", "expires": "2026-03-02T01:00:00Z", "purpose": "node",
		"identity": "web1.example", "public_key": f.key.Public().String(), "cell": "c1", "collectives": []any{"mcollective"},
		"permissions": map[string]any{"streams": true}, "cidr": []any{"10.0.0.0/8"}, "document": map[string]any{"state": "s", "n": 7.0},
	}
	if diff := cmp.Diff(want, plainNumbers(t, got.Payload)); diff != "" || got.Outcome != machine.OutcomeSuccess {
		t.Errorf("%s, %s (-want +got):\n%s", got.Outcome, got.Message, diff)
	}
	declared := tokenPayload()
	for name := range got.Payload {
		if _, ok := declared[name]; !ok {
			t.Errorf("the field %s is not declared", name)
		}
	}
}

func TestIssueAJoinToken(t *testing.T) {
	f := newFleet(t)
	properties := `
action: issue
issuer: enrollment
purpose: join
lifetime: 1h
claims: "{identity: 'web*', cell: 'c1', urls: ['tls://b1:4222'], max_uses: 3, controller: data.key, pins: ['p'], extensions: {a: 1}}"
`
	issued := f.as("overlay1", "token", properties, f.placement())
	c, err := identity.Inspect(fmt.Sprint(issued.Payload["token"]))
	if err != nil || c.Join == nil || c.Join.Identities != "web*" || c.Join.MaxUses != 3 || c.Identity != "" {
		t.Fatalf("%+v, %+v, %v", issued, c, err)
	}
	verified := f.do("token", `{action: verify, purpose: join, token: data.t}`, map[string]any{"t": issued.Payload["token"]})
	declared := tokenPayload()
	for name := range verified.Payload {
		if _, ok := declared[name]; !ok {
			t.Errorf("the field %s is not declared", name)
		}
	}
	if fmt.Sprint(verified.Payload["max_uses"]) != "3" || verified.Payload["identity"] != "web*" {
		t.Errorf("%+v", verified)
	}
}

func TestIssueRefuses(t *testing.T) {
	f := newFleet(t)
	for name, tt := range map[string]struct{ from, to, message string }{
		"another cell":          {"cell: data.cell", "cell: 'c2'", "not signed by an issuer that may"},
		"a longer life":         {"lifetime: 12h", "lifetime: 25h", "not signed by an issuer that may"},
		"another purpose":       {"purpose: node", "purpose: service", "not signed by an issuer that may"},
		"no such signer":        {"issuer: enrollment", "issuer: other", `the signer "other": there is no key`},
		"no key of its own":     {"issuer: enrollment", "issuer: self", "there is no key"},
		"a claim without value": {"cell: data.cell", "cell: data.nothing", "cell has no value"},
		"an unknown claim":      {"cell: data.cell", "cel: data.cell", "did you mean cell"},
		"a claim of the signer": {"cell: data.cell", "cell: data.cell, exp: 9999999999", `no claim "exp"`},
		"the chain":             {"cell: data.cell", "cell: data.cell, chain: []", `no claim "chain"`},
		"a claim's wrong type":  {"cell: data.cell", "cell: 7", "type"},
		"no identity":           {"identity: data.name", "identity: 'A'", "is no identity"},
		"an audience of nobody": {"audience: data.key", "audience: data.nothing", "gives no text"},
		"a document of nothing": {`document: "{state: state, n: 7}"`, "document: data.nothing", "has no value"},
		"an empty purpose":      {"purpose: node", `purpose: '{{ lookup "data.nothing" "" }}'`, "purpose: there is none"},
	} {
		properties := strings.Replace(issueNode, tt.from, tt.to, 1)
		if properties == issueNode {
			t.Fatalf("%s: nothing is changed", name)
		}
		got := f.as("overlay1", "token", properties, f.placement())
		if got.Outcome != machine.OutcomeFail || !strings.Contains(got.Message, tt.message) || got.Payload["token"] != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestD24Refusals holds the reason of each.
func TestD24Refusals(t *testing.T) {
	f := newFleet(t)
	stranger := &identity.Signer{Key: newKey(t)}
	node := f.nodeClaims(12 * time.Hour)
	late, forB := node, node
	late.NotBefore = f.now.Add(2 * time.Minute)
	forB.Audience = "b"
	good := sign(t, f.enrollment, node)
	for name, tt := range map[string]struct {
		token      any
		properties string
		reason     string
	}{
		"nothing":             {nil, "purpose: node", "malformed"},
		"a number":            {7, "purpose: node", "malformed"},
		"rubbish":             {"x", "purpose: node", "malformed"},
		"a changed one":       {good[:len(good)-10] + "AAAAAAAAAA", "purpose: node", "signature"},
		"a stranger's":        {sign(t, stranger, node), "purpose: node", "issuer"},
		"another purpose":     {good, "purpose: client", "purpose"},
		"another audience":    {sign(t, f.enrollment, forB), "purpose: node, audience: \"'a'\"", "audience"},
		"expired":             {sign(t, f.enrollment, f.nodeClaims(58*time.Minute)), "purpose: node", "expired"},
		"not yet valid":       {sign(t, f.enrollment, late), "purpose: node", "not_yet_valid"},
		"another signer":      {good, "purpose: node, signed_by: data.other", "issuer"},
		"a signer of nothing": {good, "purpose: node, signed_by: data.nothing", "malformed"},
		"nobody as signer":    {good, "purpose: node, signed_by: \"'" + strings.Repeat("0", 64) + "'\"", "malformed"},
		"a mismatch":          {good, "purpose: node, expect: \"{cell: 'c2'}\"", "mismatch"},
		"an absent field":     {good, "purpose: node, expect: \"{nonce: 'x'}\"", "mismatch"},
		"nothing expected":    {good, "purpose: node, expect: \"{nonce: data.nothing}\"", "mismatch"},
		"another type":        {good, "purpose: node, expect: \"{cell: ['c1']}\"", "mismatch"},
	} {
		data := map[string]any{"t": tt.token, "other": stranger.Key.Public().String()}
		got := f.do("token", "{action: verify, token: data.t, "+tt.properties+"}", data)
		if diff := cmp.Diff(map[string]any{"reason": tt.reason}, got.Payload); diff != "" || got.Outcome != OutcomeRefused || got.Message == "" {
			t.Errorf("%s: %s, %s (-want +got):\n%s", name, got.Outcome, got.Message, diff)
		}
		text, isText := tt.token.(string)
		if isText && len(text) > 10 && strings.Contains(got.Message, text[len(text)-20:]) {
			t.Errorf("%s: the token is in the message", name)
		}
	}
}

// TestD24EmptyAudienceIsNotAny holds that what a manifest asks for is never left out because it has no value.
func TestD24EmptyAudienceIsNotAny(t *testing.T) {
	f := newFleet(t)
	data := map[string]any{"t": sign(t, f.enrollment, f.nodeClaims(12*time.Hour)), "empty": ""}
	if got := f.do("token", "{action: verify, purpose: node, token: data.t}", data); got.Outcome != machine.OutcomeSuccess {
		t.Fatalf("the token does not verify without: %+v", got)
	}
	for _, extra := range []string{"audience: data.nothing", "audience: data.empty", "expect: data.nothing"} {
		if got := f.do("token", "{action: verify, purpose: node, token: data.t, "+extra+"}", data); got.Outcome != machine.OutcomeFail {
			t.Errorf("%s: %+v", extra, got)
		}
	}
}

// TestProofs has a node sign for itself, as the handshake does.
func TestProofs(t *testing.T) {
	f := newFleet(t)
	nonce := f.as("overlay1", "token", "action: nonce", nil).Payload["nonce"]
	data := map[string]any{"nonce": nonce, "key": f.key.Public().String()}
	proof := f.do("token", `{action: issue, purpose: proof, lifetime: 1m, audience: data.key, document: "{nonce: data.nonce, identity: identity}"}`, data)
	if proof.Outcome != machine.OutcomeSuccess {
		t.Fatalf("%+v", proof)
	}
	data["t"] = proof.Payload["token"]
	verify := `{action: verify, purpose: proof, token: data.t, signed_by: data.key, audience: data.key, expect: "{nonce: data.nonce, identity: 'web1.example'}"}`
	if got := f.as("overlay1", "token", verify, data); got.Outcome != machine.OutcomeSuccess || got.Payload["issuer"] != data["key"] {
		t.Errorf("%+v", got)
	}
	data["nonce"] = f.as("overlay1", "token", "action: nonce", nil).Payload["nonce"]
	if got := f.as("overlay1", "token", verify, data); got.Outcome != OutcomeRefused || got.Payload["reason"] != "mismatch" {
		t.Errorf("with another nonce: %+v", got)
	}
	f.now = f.now.Add(3 * time.Minute)
	if got := f.as("overlay1", "token", verify, data); got.Payload["reason"] != "expired" {
		t.Errorf("later: %+v", got)
	}
}

func TestNonces(t *testing.T) {
	f, seen := newFleet(t), map[any]bool{}
	for range 100 {
		got := f.do("token", "action: nonce", nil)
		n, ok := got.Payload["nonce"].(string)
		if got.Outcome != machine.OutcomeSuccess || !ok || len(n) != 64 || seen[n] || strings.Trim(n, "0123456789abcdef") != "" {
			t.Fatalf("%+v", got)
		}
		seen[n] = true
	}
}

func TestStore(t *testing.T) {
	f := newFleet(t)
	before := f.assign(2 * time.Hour)
	renewed := sign(t, f.enrollment, f.nodeClaims(12*time.Hour))
	c, err := identity.Inspect(renewed)
	must(t, err)
	for range 2 {
		got := f.do("token", "{action: store, token: data.t}", map[string]any{"t": renewed})
		want := watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"id": c.ID, "expires": "2026-03-02T00:00:00Z"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if a, err := f.node.Store.Active(); err != nil || a.Token != renewed || a.Token == before || len(f.refreshed) != 1 {
		t.Errorf("%v, %v, refreshed %v", a, err, f.refreshed)
	}
}

// TestD27WrongTokensAreNotStored keeps the last good one.
func TestD27WrongTokensAreNotStored(t *testing.T) {
	f := newFleet(t)
	before := f.assign(2 * time.Hour)
	other, moved := f.nodeClaims(12*time.Hour), f.nodeClaims(12*time.Hour)
	other.PublicKey = newKey(t).Public().String()
	moved.Identity = "web2"
	for name, tt := range map[string]struct {
		token  any
		reason string
	}{
		"nothing":        {nil, "malformed"},
		"rubbish":        {"x", "malformed"},
		"another's":      {sign(t, f.enrollment, other), "audience"},
		"another name's": {sign(t, f.enrollment, moved), "audience"},
		"a stranger's":   {sign(t, &identity.Signer{Key: newKey(t)}, f.nodeClaims(time.Hour)), "issuer"},
		"expired":        {sign(t, f.enrollment, f.nodeClaims(time.Minute)), "expired"},
	} {
		got := f.do("token", "{action: store, token: data.t}", map[string]any{"t": tt.token})
		if got.Outcome != OutcomeRefused || got.Payload["reason"] != tt.reason {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if a, err := f.node.Store.Active(); err != nil || a.Token != before || len(f.refreshed) != 0 {
		t.Errorf("%v, refreshed %v", err, f.refreshed)
	}
	must(t, f.node.Store.Forget())
	if got := f.do("token", "{action: store, token: data.t}", map[string]any{"t": before}); got.Outcome != machine.OutcomeFail {
		t.Errorf("without an assignment: %+v", got)
	}
}
