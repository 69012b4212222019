package main

import (
	"slices"

	"github.com/statecraft-io/statecraft/machine"
)

type stub []machine.WatcherType

func (s stub) Find(name string) (*machine.WatcherType, bool) {
	for i := range s {
		if s[i].Name == name || slices.Contains(s[i].Aliases, name) {
			return &s[i], true
		}
	}
	return nil, false
}

func (s stub) Names() []string {
	var n []string
	for _, t := range s {
		n = append(n, t.Name)
	}
	slices.Sort(n)
	return n
}

// catalogue is every watcher type that this program has.
func catalogue() machine.Catalogue {
	return stub{{Name: "exec"}, {Name: "timer"}, {Name: "file"}, {Name: "schedule"}}
}
