package credentials

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func viaJSON(t *rapid.T, from any) (out map[string]any) {
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func drawnClaims(t *rapid.T) *identity.Claims {
	text := func(name string) string { return rapid.SampledFrom([]string{"", "x", "<é\u2028>"}).Draw(t, name) }
	texts := func(name string) []string {
		return rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "<b>"}), 0, 2).Draw(t, name)
	}
	raw := func(name string) json.RawMessage {
		return json.RawMessage(rapid.SampledFrom([]string{"", "null", `{"a":[1.50,"<"],"b":{"c":null}}`, "7"}).Draw(t, name))
	}
	c := &identity.Claims{
		Issuer: text("issuer"), Subject: text("subject"), Audience: text("audience"), ID: text("id"), IssuedAt: noon, Expires: noon.Add(time.Hour),
		Purpose:  rapid.SampledFrom([]identity.Purpose{identity.PurposeNode, identity.PurposeJoin, identity.PurposeIssuer, "hello"}).Draw(t, "purpose"),
		Identity: identity.Identity(text("identity")), PublicKey: text("key"), OU: text("ou"), Cell: text("cell"), Collectives: texts("collectives"),
		CIDR: texts("cidr"), Permissions: rapid.MapOfN(rapid.SampledFrom([]string{"a", "b"}), rapid.Bool(), 0, 2).Draw(t, "permissions"),
		Chain: texts("chain"), Document: json.RawMessage(rapid.SampledFrom([]string{"", "{}", `{"n":1e3,"m":{"x":[true]}}`}).Draw(t, "document")),
	}
	switch c.Purpose {
	case identity.PurposeJoin:
		c.Identity = ""
		c.Join = &identity.JoinClaims{
			URLs: texts("urls"), SRVDomain: text("srv"), Pins: texts("pins"), Controller: text("controller"), Identities: text("identities"),
			MaxUses: rapid.IntRange(0, 3).Draw(t, "uses"), Facts: text("facts"), Registration: text("registration"), Extensions: raw("extensions"),
		}
	case identity.PurposeIssuer:
		c.Limits = &identity.IssuerLimits{
			Purposes: rapid.SliceOfN(rapid.Just(identity.PurposeNode), 0, 2).Draw(t, "purposes"), Identities: text("identities"), Cells: texts("cells"),
			MaxLifetime: time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second,
		}
	}
	return c
}

// TestFieldsAreThoseOfTheToken holds the payload against the claims as a token has them.
func TestFieldsAreThoseOfTheToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawnClaims(t)
		want := viaJSON(t, c)
		for long, short := range map[string]string{"issuer": "iss", "subject": "sub", "id": "jti"} {
			if value, ok := want[short]; ok {
				want[long] = value
			}
			delete(want, short)
		}
		delete(want, "aud")
		if c.Audience != "" {
			want["audience"] = c.Audience
		}
		for _, name := range []string{"iat", "exp", "chain"} {
			delete(want, name)
		}
		want["issued"], want["expires"] = "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"
		got, err := fields(c)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func drawnValue() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.SampledFrom([]any{nil, true, "", "web1", "<b>", "\xff", 7, 7.5, json.Number("1e3"), map[string]any{"a": 1}}),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]any{"a", "b", "\xfe", 7, nil}), 0, 3), func(v []any) any { return v }),
	)
}

func TestNormalIsWhatJSONGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mapping := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "\xfd", "é"}), drawnValue(), 0, 3).Draw(t, "mapping")
		got, err := normal(mapping)
		if diff := cmp.Diff(viaJSON(t, mapping), got); diff != "" || err != nil {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

// TestPlainClaimsAreWhatJSONGives holds claims that are taken as they are against those of JSON, which must take them as well.
func TestPlainClaimsAreWhatJSONGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		purpose := rapid.SampledFrom([]string{"node", "hello", "join", "issuer", "\xff"}).Draw(t, "purpose")
		mapping := rapid.MapOfN(rapid.SampledFrom(claimNames()), drawnValue().Filter(func(v any) bool { return v != nil }), 0, 4).Draw(t, "mapping")
		got, ok := plainClaims(purpose, mapping)
		if !ok {
			return
		}
		mapping["purpose"] = purpose
		text, err := json.Marshal(mapping)
		if err != nil {
			t.Fatal(err)
		}
		want := new(identity.Claims)
		if err := json.Unmarshal(text, want); err != nil {
			t.Fatalf("%v is taken: %v", mapping, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
	for _, purpose := range []string{"node", "hello"} {
		mapping := map[string]any{"identity": "web1", "public_key": "k", "ou": "o", "cell": "c1", "collectives": []any{"main"}}
		if _, ok := plainClaims(purpose, mapping); !ok {
			t.Errorf("what a token of purpose %s has is left to JSON", purpose)
		}
	}
}
