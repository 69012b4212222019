package credentials

import (
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// joinToken is a join token of the cell, which takes the place of others.
func (f *fleet) joinToken(id string, issued time.Time, replaces ...string) string {
	f.Helper()
	return sign(f, f.enrollment, identity.Claims{
		ID: id, Purpose: identity.PurposeJoin, Cell: "c1", IssuedAt: issued, Expires: issued.Add(24 * time.Hour),
		Join: &identity.JoinClaims{URLs: []string{"tls://b1:4223"}, Controller: f.root.Key.Public().String(), Replaces: replaces},
	})
}

// TestAnAssignmentHasTheJoinTokenThatReplacesTheNodes issues assignments to nodes that have come by one token or another, and lets the node take them.
func TestAnAssignmentHasTheJoinTokenThatReplacesTheNodes(t *testing.T) {
	f := newFleet(t)
	first, next := f.joinToken("first", noon.Add(-time.Hour)), f.joinToken("next", noon.Add(time.Minute), "first")
	f.overlay.Join = next
	issue := `{action: issue, issuer: enrollment, purpose: assignment, lifetime: 1h, audience: data.key,
  renew_join: "{id: data.join, since: data.since}", document: data.document}`
	document := f.document(sign(t, f.enrollment, f.nodeClaims(12*time.Hour)))
	for name, tt := range map[string]struct {
		join  string
		since any
		want  string
	}{
		"before":             {"first", noon.Unix(), next},
		"as a number":        {"first", float64(noon.Unix()), next},
		"after":              {"first", noon.Add(time.Hour).Unix(), ""},
		"by another":         {"other", noon.Unix(), ""},
		"by none":            {"", noon.Unix(), ""},
		"nobody knows since": {"first", nil, ""},
	} {
		got := f.as("overlay1", "token", issue, map[string]any{"join": tt.join, "since": tt.since, "document": document, "key": f.key.Public().String()})
		if got.Outcome != machine.OutcomeSuccess {
			t.Fatalf("%s: %+v", name, got)
		}
		claims, err := identity.Inspect(got.Payload["token"].(string))
		must(t, err)
		a := new(identity.Assignment)
		must(t, a.UnmarshalJSON(claims.Document))
		if a.Join != tt.want {
			t.Errorf("%s: the assignment has the join token %q, want %q", name, a.Join, tt.want)
		}
	}

	f.overlay.Join = "damaged"
	got := f.as("overlay1", "token", issue, map[string]any{"join": "first", "since": noon.Unix(), "document": document, "key": f.key.Public().String()})
	if got.Outcome != machine.OutcomeSuccess || !strings.Contains(f.log.String(), "join_token_not_given") {
		t.Errorf("a host whose copy is damaged: %+v, its log says %s", got, f.log.String())
	}

	must(t, f.node.Store.SetJoinToken(first))
	if got := f.do("identity", "{action: stage, document: data.assignment}", map[string]any{"assignment": with(document, "join", f.joinToken("x", noon))}); got.Outcome != machine.OutcomeSuccess ||
		!strings.Contains(got.Message, "keeps its join token") {
		t.Errorf("a join token that replaces nothing: %+v", got)
	}
	for _, step := range []string{"{action: stage, document: data.assignment}", "action: activate", "action: commit"} {
		if got := f.do("identity", step, map[string]any{"assignment": with(document, "join", next)}); got.Outcome != machine.OutcomeSuccess || got.Message != "" {
			t.Errorf("%s: %+v", step, got)
		}
	}
	if kept, err := f.node.Store.JoinToken(); err != nil || kept != next {
		t.Errorf("the node keeps %q, %v", kept, err)
	}
}
