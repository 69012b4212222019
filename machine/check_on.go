package machine

import (
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// programs are the places in the words of the command line.
var programs = map[Place]string{OnHost: "statecraft run", OnNode: "a node", OnOverlay: "an overlay host"}

// CheckOn finds the watchers of a machine that cannot work at a place, because what they need is not there. "" is no place, where nothing is
// found. A watcher that names a connection of the site's own is left out: what is behind that is not known.
func CheckOn(d *Definition, on Place, cat Catalogue) diag.List {
	var list diag.List
	if on == "" {
		return nil
	}
	for i := range d.Manifest.Watchers {
		w := &d.Manifest.Watchers[i]
		t, known := findType(w, cat)
		if !known || t.On == nil || slices.Contains(t.On, on) || on != OnHost && ownConnection(w) {
			continue
		}
		var where []string
		for _, place := range t.On {
			where = append(where, programs[place])
		}
		list.Add(diag.Error, "SC510", w.Place("type"), "run the machine on "+strings.Join(where, " or "),
			"watcher %s: the type %s has nothing to work with on %s", w.Name, w.Type, programs[on])
	}
	return list
}

func ownConnection(w *WatcherSpec) bool {
	n := w.Properties.Get("connection")
	return n != nil && n.Value != "fleet"
}
