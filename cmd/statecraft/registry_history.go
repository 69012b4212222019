package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// registryHistoryVerb lists the publications of a channel.
type registryHistoryVerb struct {
	shelfFlags
}

// historyResult is what registry history --json prints.
type historyResult struct {
	Channel      string              `json:"channel"`
	Publications []publicationResult `json:"publications"` // the newest first
}

// publicationResult is one publication.
type publicationResult struct {
	Revision uint64    `json:"revision"`        // of the bucket
	At       time.Time `json:"at"`              // when the cell stored it, or the copy of it where it has grown since
	Issued   time.Time `json:"issued,omitzero"` // when it was published, as it says itself
	Valid    bool      `json:"valid"`           // its signatures are good by the present trust root
	Serial   uint64    `json:"serial,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
	Machines []string  `json:"machines,omitempty"` // name and version
	Signers  []string  `json:"signers,omitempty"`
}

// notVouchedFor marks what only an earlier trust root vouches for, such as what a key signed that was taken away since, or none.
const notVouchedFor = "(not vouched for by the present trust root)"

// Run prints a line a publication.
func (v *registryHistoryVerb) Run(inv *invocation) error {
	s, err := v.look(inv)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := s.past(v.Channel)
	if err != nil {
		return err
	}
	r := historyResult{Channel: v.Channel, Publications: []publicationResult{}}
	rows := [][]string{{"SERIAL", "PUBLISHED", "MACHINES", "SIGNED BY"}}
	for _, p := range slices.Backward(all) {
		one := publicationResult{Revision: p.Revision, At: p.At, Valid: p.Spec != nil}
		row := []string{"-", instant(p.At), notVouchedFor, "-"}
		if spec := cmp.Or(p.Spec, p.Before); spec != nil {
			signers, _ := registry.Signers(p.Envelope)
			one.Serial, one.Issued, one.Expires, one.Signers = spec.Serial, spec.Issued, spec.Expires, names(signers)
			for _, e := range spec.Machines {
				one.Machines = append(one.Machines, labelled(e))
			}
			row = []string{strconv.FormatUint(one.Serial, 10), instant(one.Issued), listed(one.Machines), listed(shortened12(one.Signers))}
			if p.Spec == nil {
				row[1], row[2] = instant(p.At), notVouchedFor+" "+row[2]
			}
		}
		r.Publications, rows = append(r.Publications, one), append(rows, row)
	}
	if inv.json {
		return inv.printJSON(r)
	}
	inv.table(rows)
	return nil
}

// names writes keys as people compare them.
func names(keys []identity.PublicKey) []string {
	list := []string{}
	for _, k := range keys {
		list = append(list, k.String())
	}
	return list
}

func shortened12(keys []string) []string {
	var list []string
	for _, k := range keys {
		list = append(list, short(k))
	}
	return list
}

// labelled is a machine of a spec in a word or two.
func labelled(e registry.Entry) string {
	if e.Version == "" {
		return e.Name
	}
	return e.Name + " " + e.Version
}

// listed puts a few names on one line.
func listed(all []string) string {
	const most = 5
	switch {
	case len(all) == 0:
		return "-"
	case len(all) > most:
		return strings.Join(all[:most], ", ") + " and " + counted(len(all)-most, "other")
	default:
		return strings.Join(all, ", ")
	}
}
