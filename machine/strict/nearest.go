package strict

import "strings"

// longestGuess bounds the work on hostile words; no key, state or event that a person mistypes is longer.
const longestGuess = 128

// Nearest returns the candidate closest to word, for "did you mean", or "" where none is near. Case does
// not matter, neighbouring letters that changed places count as one mistake, and longer words may hold
// more mistakes than short ones. Of several equally near candidates the first is returned.
func Nearest(word string, candidates []string) string {
	w := []rune(strings.ToLower(clip(word)))
	if len(w) == 0 || len(w) > longestGuess {
		return ""
	}
	best, limit := "", mistakes(len(w))+1
	for _, candidate := range candidates {
		c := []rune(strings.ToLower(clip(candidate)))
		if len(c) == 0 || len(c) > longestGuess || len(c)-len(w) >= limit || len(w)-len(c) >= limit {
			continue
		}
		if d := distance(w, c); d < limit {
			best, limit = candidate, d
		}
	}
	return best
}

// clip keeps the conversion to runes small; what it cuts is too long to be guessed anyway.
func clip(s string) string { return s[:min(len(s), 4*longestGuess+4)] }

// mistakes is how far a word of n letters may be off.
func mistakes(n int) int {
	switch {
	case n == 1:
		return 0
	case n <= 4:
		return 1
	case n <= 8:
		return 2
	default:
		return n / 3
	}
}

// distance is the optimal string alignment distance: insertions, deletions, substitutions and swaps of
// neighbours, each counting one.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
