package runtime

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// Offer is a machine that is to run together with others.
type Offer struct {
	// Text is the manifest. It is not read again where the deployment has its definition.
	Text machine.Text
	// Deployment is all but the definition.
	Deployment Deployment
	// Vouch says whether it may run, once it has passed the checks. Nil asks nobody.
	Vouch Vouch
	// Replaces is what runs until the offer does and goes on where that is refused, nil for nothing or for what has the same name.
	Replaces *machine.Definition
	beside   *beside
}

// beside is what was asked for when a manifest was loaded, whether it is there or not.
type beside struct {
	names []string
	stamp string // as besideStamp gives it, of each file as it was before it was read
}

// besideStamp is a cheap sign of change of files beside a manifest.
func besideStamp(manifest string, names []string) string {
	var b strings.Builder
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(filepath.Dir(manifest), name)); err != nil {
			fmt.Fprintf(&b, "%s %v\n", name, reason(err))
		} else {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// OfferFolder reads a manifest of a machine that is to run, with what it is to know of its folder. The error is that of reading.
func OfferFolder(manifest string, vouch Vouch) (Offer, error) {
	o, err := OfferText(manifest)
	if err != nil {
		return o, fmt.Errorf("reading a machine: %w", err)
	}
	o.Vouch = vouch
	if o.Deployment.Directory, err = filepath.Abs(filepath.Dir(manifest)); err != nil {
		return o, fmt.Errorf("reading a machine: %w", err)
	}
	if filepath.Base(manifest) == ManifestName {
		o.Deployment.Content, err = folderDigest(o.Deployment.Directory)
	}
	return o, err
}

// OfferText reads a manifest that is to be checked. The error is that of reading.
func OfferText(manifest string) (Offer, error) {
	text, err := ReadText(manifest)
	o := Offer{Text: text, beside: &beside{}}
	o.Text.Files = func(name string) ([]byte, error) {
		o.beside.names = append(o.beside.names, name)
		o.beside.stamp += besideStamp(manifest, []string{name})
		return text.Files(name)
	}
	return o, err
}

// Together is what became of offers.
type Together struct {
	// Ready are those that may run, in the order of SortForDeployment.
	Ready []Deployment
	// Refused are those that may not.
	Refused []Refused
	// Findings are all, in each and between them.
	Findings diag.List
}

// Refused is an offer that may not run.
type Refused struct {
	File string
	Name string // "" where the manifest gives no machine
	// Err is why: a diag.List, or what Vouch said.
	Err error
	// Between is whether it is right by itself and does not fit the others.
	Between bool
}

// Err is why not all of it may run, nil where it may. Findings come first, and what Vouch said stands for itself.
func (t *Together) Err() error {
	if err := t.Findings.Err(); err != nil {
		return err
	}
	for _, r := range t.Refused {
		return r.Err
	}
	return nil
}

// Load holds machines that are to run together, beside what runs already, against each other. It is how everything comes to run, and how check, publish
// and a deployer tell whether it would. What does not fit is refused by itself, so that the others may run: of two that do not fit the offer, and of two
// offers the one that asks for what the other does not have. What runs gives way to an offer of the same name.
func Load(offers []Offer, running []*machine.Definition, catalogue machine.Catalogue) Together {
	l := &loading{running: running}
	var t Together
	for _, o := range offers {
		def, found := o.Deployment.Definition, diag.List(nil)
		if def == nil {
			def, found = machine.LoadText(o.Text, catalogue)
		}
		t.Findings = append(t.Findings, found...)
		err := found.Err()
		o.Deployment.Definition = def
		if err == nil && o.Vouch != nil {
			err = o.Vouch(&o.Deployment)
		}
		if err != nil {
			t.Refused = append(t.Refused, refuse(&o, err))
			continue
		}
		l.offers = append(l.offers, &o)
	}
	l.fit()
	for _, o := range l.offers {
		if found := l.refused[o]; len(found) > 0 {
			t.Findings = append(t.Findings, found...)
			r := refuse(o, found)
			r.Between = true
			t.Refused = append(t.Refused, r)
			continue
		}
		t.Ready = append(t.Ready, o.Deployment)
	}
	for _, c := range l.clashes() {
		if c.Severity != diag.Error && l.concerns(c) {
			t.Findings = append(t.Findings, c.Diagnostic)
		}
	}
	t.Findings = t.Findings.Sort()
	SortForDeployment(t.Ready)
	return t
}

// SortForDeployment sorts templates before others, as who starts instances of them must find them, and otherwise by name.
func SortForDeployment(ds []Deployment) {
	rank := func(d Deployment) int {
		if d.Definition.Manifest.Kind == machine.KindTemplate {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ds, func(a, b Deployment) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Definition.Manifest.Name, b.Definition.Manifest.Name))
	})
}

func refuse(o *Offer, err error) Refused {
	r := Refused{File: o.Text.File, Err: err}
	if d := o.Deployment.Definition; d != nil {
		r.Name = d.Manifest.Name
	}
	return r
}

// loading is offers that are each right by themselves.
type loading struct {
	running []*machine.Definition
	offers  []*Offer
	refused map[*Offer]diag.List // why each does not fit
}

// fit refuses offers until the rest fits, and then takes back in what fits with that.
func (l *loading) fit() {
	l.refused = map[*Offer]diag.List{}
	for {
		again := false
		for _, c := range l.clashes() {
			if o := l.blamed(c); o != nil {
				l.refused[o] = append(l.refused[o], c.Diagnostic)
				again = true
			}
		}
		if !again {
			break
		}
	}
	for _, o := range l.offers {
		found, out := l.refused[o]
		if !out {
			continue
		}
		delete(l.refused, o)
		if slices.ContainsFunc(l.clashes(), func(c machine.Clash) bool { return l.blamed(c) != nil }) {
			l.refused[o] = found
		}
	}
}

// blamed is the offer that a clash is held against, nil where it is no error, or not theirs.
func (l *loading) blamed(c machine.Clash) *Offer {
	if c.Severity != diag.Error {
		return nil
	}
	if o := l.offer(c.Machine); o != nil {
		return o
	}
	return l.offer(c.With)
}

// offer is that of a definition, nil where it is none or refused.
func (l *loading) offer(d *machine.Definition) *Offer {
	for _, o := range l.offers {
		if _, out := l.refused[o]; !out && o.Deployment.Definition == d {
			return o
		}
	}
	return nil
}

// concerns reports whether a clash is between an offer and something else.
func (l *loading) concerns(c machine.Clash) bool {
	return l.offer(c.Machine) != nil || l.offer(c.With) != nil
}

// clashes are those between all that would run.
func (l *loading) clashes() []machine.Clash {
	var set []*machine.Definition
	for _, d := range l.running {
		if !slices.ContainsFunc(l.offers, func(o *Offer) bool { return l.replaces(o, d) }) {
			set = append(set, d)
		}
	}
	for _, o := range l.offers {
		if _, out := l.refused[o]; !out {
			set = append(set, o.Deployment.Definition)
		}
	}
	return machine.Clashes(set)
}

// replaces reports whether an offer that is not refused runs in place of a definition.
func (l *loading) replaces(o *Offer, d *machine.Definition) bool {
	_, out := l.refused[o]
	return !out && (o.Replaces == d || o.Deployment.Definition.Manifest.Name == d.Manifest.Name)
}
