package inventory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// everyMachine asks for all machines.
const everyMachine = "*"

// maxGroups bounds what machines are told apart by: nodes say their versions and states themselves.
const maxGroups = 10_000

var errGroups = refusal{messaging.CodeTooLarge, "there are more versions and states of machines than an answer holds; ask for one machine by its name"}

// groups counts nodes by what they run. The texts are parts of documents.
type groups map[MachineInUse]int

// sumUp puts into an answer who runs what of the machines that are asked for.
func (q *question) sumUp(ctx context.Context, hits []*entry, a *Answer) error {
	sum := groups{}
	var mu sync.Mutex // of sum
	at, err := watchers.ParsePath("machines")
	if err != nil {
		return err
	}
	err = inStrides(ctx, len(hits), func() func(i int) error {
		return func(i int) error {
			running := machinesOf(hits[i].document, at, q.Machines)
			mu.Lock()
			defer mu.Unlock()
			for _, m := range running {
				sum[m]++
			}
			if len(sum) > maxGroups {
				return errGroups
			}
			return ctx.Err()
		}
	})
	switch {
	case errors.Is(err, errGroups):
		return errGroups
	case err != nil:
		return errTooLong
	}
	for m, n := range sum {
		m.Nodes = n
		a.Machines = append(a.Machines, m)
	}
	slices.SortFunc(a.Machines, func(x, y MachineInUse) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Version, y.Version), strings.Compare(x.State, y.State), strings.Compare(x.Digest, y.Digest))
	})
	size, err := encoded(a.Machines)
	if err == nil && len(size) > q.room {
		return errGroups
	}
	return err
}

// machinesOf lists the machines of a document by a name.
func machinesOf(document *watchers.Document, at watchers.Path, name string) []MachineInUse {
	var list []MachineInUse
	document.Each(at, func(key, value string) {
		if m := gjson.Parse(value); m.IsObject() && (name == everyMachine || name == key) {
			list = append(list, MachineInUse{Name: key, Version: text(m, "version"), Digest: text(m, "digest"), State: text(m, "state")})
		}
	})
	return list
}

func text(m gjson.Result, name string) string {
	if v := m.Get(name); v.Type == gjson.String {
		return v.Str
	}
	return ""
}
