package identity

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	good := []string{"a", "7", "n1.example.net", "a-b_c.d", "a..b", strings.Repeat("a", 253)}
	for _, text := range good {
		if got, err := Parse(text); err != nil || string(got) != text {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	bad := []string{"", "A", "a=b", ".a", "a.", "-a", "a-", "_a", "a b", "a*", "a>", "a\n", "é", "a\x00b", strings.Repeat("a", 254)}
	for _, text := range bad {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestFromTokenRefusesWhatTokenNeverWrites(t *testing.T) {
	for _, token := range []string{"", "a.b", "=a", "a=", "A", "a*", ">"} {
		if got, err := FromToken(token); err == nil {
			t.Errorf("%q is %q", token, got)
		}
	}
}

func TestTokenIsOneTokenAndComesBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,40}[a-z0-9])?`).Draw(r, "identity")
		id, err := Parse(text)
		if err != nil {
			r.Fatal(err)
		}
		token := id.Token()
		if strings.ContainsAny(token, ".*> ") {
			r.Fatalf("%q is no token", token)
		}
		if back, err := FromToken(token); err != nil || back != id {
			r.Fatalf("%q comes back as %q, %v", id, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"n1.example", "A", "a=b", "", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := Parse(text)
		if err != nil {
			return
		}
		if back, err := FromToken(id.Token()); err != nil || back != id || strings.ContainsAny(id.Token(), ". \t\n*>") {
			t.Errorf("%q gives the token %q, then %q, %v", id, id.Token(), back, err)
		}
	})
}

func TestMatchPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true}, {"*", "anything", true}, {"*", "", true}, {"web*", "web1", true}, {"web*", "web", true},
		{"web*", "db1", false}, {"*.example", "n1.example", true}, {"*.example", "n1.example.net", false}, {"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxc", false}, {"web1", "web1", true}, {"web1", "web12", false}, {"a*a", "a", false}, {"a*ab", "aaab", true},
		// A pattern in place of the name.
		{"web*", "web-*", true}, {"web*", "*", false}, {"web*", "w*", false}, {"*", "*", true}, {"*b", "a*", false}, {"web1", "web*", false},
	} {
		if got := MatchPattern(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q matches %q: %t", tt.pattern, tt.name, got)
		}
	}
}

// TestNarrowPatternAllowsNothingMore draws patterns and names: what the inner one allows, the outer one allows too.
func TestNarrowPatternAllowsNothingMore(t *testing.T) {
	letters := rapid.StringMatching(`[ab*]{0,6}`)
	rapid.Check(t, func(r *rapid.T) {
		outer, inner := letters.Draw(r, "outer"), letters.Draw(r, "inner")
		name := rapid.StringMatching(`[ab]{0,8}`).Draw(r, "name")
		if inner != "" && MatchPattern(outer, inner) && MatchPattern(inner, name) && !MatchPattern(outer, name) {
			r.Fatalf("%q is within %q, but allows %q", inner, outer, name)
		}
	})
}
