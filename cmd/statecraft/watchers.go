package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// watchersVerb lists the watcher types or describes one of them.
type watchersVerb struct {
	Type string `arg:"" optional:"" help:"Describe this type only."`
}

// Run prints the list, or the description.
func (v *watchersVerb) Run(inv *invocation) error {
	refs, err := all.References()
	if err != nil {
		return fmt.Errorf("reading the reference: %w", err)
	}
	if v.Type != "" {
		return v.describe(inv, refs)
	}
	if inv.json {
		return inv.printJSON(refs)
	}
	for _, r := range refs {
		inv.printf("%-20s  %s\n", strings.Join(append([]string{r.Type}, r.Aliases...), ", "), r.Summary)
	}
	return nil
}

func (v *watchersVerb) describe(inv *invocation, refs []all.Reference) error {
	i := slices.IndexFunc(refs, func(r all.Reference) bool { return r.Type == v.Type || slices.Contains(r.Aliases, v.Type) })
	switch {
	case i < 0:
		return v.unknown()
	case inv.json:
		return inv.printJSON(refs[i])
	default:
		inv.printf("%s", refs[i].Markdown())
		return nil
	}
}

// unknown says what to use instead of a type that there is not.
func (v *watchersVerb) unknown() error {
	types := catalogue()
	if t, known := types.Type(v.Type); known {
		return usage(t.Unsupported, "the watcher type %q cannot be used", v.Type)
	}
	hint := "the types are " + strings.Join(types.Names(), ", ")
	if near := strict.Nearest(v.Type, types.Names()); near != "" {
		hint = "did you mean " + near + "?"
	}
	return usage(hint, "there is no watcher type %q", v.Type)
}
