package machine

import (
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Load is LoadText of a manifest whose folder is not at hand.
func Load(file string, src []byte, catalogue Catalogue) (*Definition, diag.List) {
	return LoadText(Text{File: file, Source: src}, catalogue)
}

// LoadText reads, checks and compiles a manifest. All problems are returned at once, in the order of the
// document. The Definition is nil when the list holds an error.
func LoadText(t Text, catalogue Catalogue) (*Definition, diag.List) {
	root, list := strict.Parse(t.File, t.Source)
	if root == nil {
		return nil, list.Sort()
	}
	if list := tooOld(root); len(list) > 0 {
		return nil, list
	}
	m, found := decode(t.File, t.Source, root)
	list = append(list, found...)
	m.readBeside(t.Files, catalogue)
	d, found := compile(m, catalogue)
	list = append(list, found...)
	list = append(list, check(d, catalogue, t.Files, list)...).Sort()
	if list.HasErrors() {
		return nil, list
	}
	d.writes, d.files = writesOf(m, catalogue), filesRead(m)
	return d, list
}
