package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// releaseField is where a node's inventory has the release of its program. Programs of before there was one say none.
const releaseField = "build_info.release"

// olderNodes says how many nodes could not run a machine, as their program is of another release than its manifest requires.
type olderNodes struct {
	Name     string   `json:"name"`
	Requires string   `json:"requires"` // such as >=0.2
	Nodes    int      `json:"nodes"`
	Unsure   int      `json:"unsure"`   // those of them for which the entry's match can be answered by themselves only
	Known    int      `json:"known"`    // nodes of the cell of which there is an inventory
	Releases []string `json:"releases"` // of those nodes; "" is one that says none
}

// olderNodes asks the cell's inventories who could not run what is about to be published. Where that cannot be known it says so.
func (p *publishing) olderNodes(spec *registry.Spec) (all []olderNodes) {
	var asking []packedMachine
	for _, m := range p.packed {
		changes := slices.ContainsFunc(p.changes, func(c specChange) bool { return c.Name == m.bundle.Name })
		if changes && m.definition.Manifest.Requires.String() != "" {
			asking = append(asking, m)
		}
	}
	if len(asking) == 0 {
		return nil
	}
	unknown := func(why string) { p.inv.notef("which nodes are too old for what is published is not known: %s", why) }
	if !p.shelf.has(rightView) && !p.shelf.has(rightAdmin) {
		unknown("this client may not ask for inventories; the right " + rightView + " lets it")
		return nil
	}
	answer, err := p.shelf.ask(inventory.Query{Fields: []string{releaseField}})
	if err != nil {
		unknown(err.Error())
		return nil
	}
	p.inv.problems(answer)
	for _, m := range asking {
		e, _ := entryOf(spec, m.bundle.Name)
		if o := older(m, e, answer); o.Nodes > 0 {
			all = append(all, o)
		}
	}
	return all
}

// older counts the nodes that an entry is for and that could not run its machine.
func older(m packedMachine, e registry.Entry, answer *inventory.Answer) olderNodes {
	requires := m.definition.Manifest.Requires
	o := olderNodes{Name: e.Name, Requires: requires.String(), Known: answer.Known, Releases: []string{}}
	match, err := watchers.CompileMatch(e.Match)
	for _, n := range answer.Nodes {
		var release string // "" where the inventory has none, or no text
		_ = json.Unmarshal(n.Fields[releaseField], &release)
		if requires.Met(release) {
			continue
		}
		meant := watchers.Unknown
		if err == nil {
			meant = match.ForIdentity(n.Identity)
		}
		if meant == watchers.No {
			continue
		}
		o.Nodes++
		if meant == watchers.Unknown {
			o.Unsure++
		}
		if !slices.Contains(o.Releases, release) {
			o.Releases = append(o.Releases, release)
		}
	}
	slices.Sort(o.Releases)
	return o
}

// String is one line.
func (o olderNodes) String() string {
	upTo := ""
	if o.Unsure > 0 {
		upTo = "up to "
	}
	return fmt.Sprintf("%s requires release %s: %s%d of the %s whose inventories are known could not run it", o.Name, o.Requires, upTo, o.Nodes, nodesText(o.Known))
}

// list is the command that lists the nodes.
func (o olderNodes) list() string {
	var releases []string
	for _, release := range o.Releases {
		text := "nil"
		if release != "" {
			quoted, _ := json.Marshal(release) // a text always has a form
			text = string(quoted)
		}
		releases = append(releases, text)
	}
	return fmt.Sprintf("statecraft fleet inventory --fields %s --where '%s in [%s]'", releaseField, releaseField, strings.Join(releases, ", "))
}

// strands refuses to publish what nodes could not run, unless that is allowed.
func (p *publishing) strands(all []olderNodes) error {
	if len(all) == 0 {
		return nil
	}
	if !p.older && !p.signing.DryRun {
		var lines []string
		for _, o := range all {
			lines = append(lines, o.String())
		}
		return fail(exitInvalid, "upgrade them first, or allow it with --allow-older-nodes: they keep the version that they run; this lists them: "+all[0].list(),
			"nothing is published: %s", strings.Join(lines, "; "))
	}
	for _, o := range all {
		p.inv.notef("%s; they keep the version that they run. This lists them: %s", o, o.list())
	}
	return nil
}
