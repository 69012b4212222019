package strict

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	keys := []string{"name", "type", "state_match", "interval", "announce_interval", "success_transition", "fail_transition", "on", "when", "timeout", "properties"}
	for word, want := range map[string]string{
		"intervall": "interval", "intreval": "interval", "Interval": "interval", "INTERVALL": "interval", "interva": "interval",
		"nmae": "name", "nam": "name", "typ": "type", "states_match": "state_match", "statematch": "state_match", "sucess_transiton": "success_transition",
		"success-transition": "success_transition", "failtransition": "fail_transition", "onn": "on", "timout": "timeout", "whne": "when", "propreties": "properties",
		"": "", "x": "", "xy": "", "colour": "", "splay": "", "command": "", "announce": "",
		strings.Repeat("interval", 100_000): "",
	} {
		if got := Nearest(word, keys); got != want {
			t.Errorf("%.20q is near %q, want %q", word, got, want)
		}
	}
	if got := Nearest("cat", []string{"", "hat", "bat", strings.Repeat("c", 1<<20)}); got != "hat" {
		t.Errorf("of equally near words the first is wanted, got %q", got)
	}
	if got := Nearest("Größe", []string{"größe"}); got != "größe" {
		t.Errorf("case of other letters: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "ab", 1}, {"abc", "xbc", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "badc", 2},
	} {
		if got := distance([]rune(tc.a), []rune(tc.b)); got != tc.want {
			t.Errorf("%q to %q is %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestDistanceIsSymmetric(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := []rune(word.Draw(t, "a")), []rune(word.Draw(t, "b"))
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (string(a) == string(b)) || d > max(len(a), len(b)) {
			t.Fatalf("%q to %q is %d, back %d", string(a), string(b), d, distance(b, a))
		}
	})
}
