package diag

import (
	"cmp"
	"slices"
)

// Entry documents one code.
type Entry struct {
	Code  Code
	Title string // a few words
	// Explanation says what is wrong with it, in a sentence or two for an operator.
	Explanation string
	// Bad is a small complete document that has this finding and no other, Good the same one mended. Documents
	// of several files are in txtar form ("-- name --" before each). Bad is empty where a document that small
	// cannot show it.
	Bad, Good string
}

// Entries returns every code of the project in ascending order. The first digit says what it is about:
// 0 a document, 1 the keys of a manifest, 2 its watchers, 3 expressions, templates and properties, 4 the
// graph of states, 5 machines that run together, 6 scenario files, 7 traces.
func Entries() []Entry {
	all := slices.Concat(
		documentEntries, valueEntries, manifestEntries, watcherEntries, expressionEntries, markEntries, propertyEntries, execEntries, scheduleEntries,
		transitionEntries, graphEntries, progressEntries, setEntries, scenarioEntries, traceEntries, keyvalueEntries, policyEntries, messagingEntries,
		credentialsEntries, secretsEntries, groupEntries,
		archiveEntries, deliveryEntries, inventoryEntries, ingestEntries,
	)
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

// Explain returns the entry of a code, and false for one that does not exist.
func Explain(code Code) (Entry, bool) {
	all := Entries()
	i, ok := slices.BinarySearchFunc(all, code, func(e Entry, c Code) int { return cmp.Compare(e.Code, c) })
	if !ok {
		return Entry{}, false
	}
	return all[i], true
}
