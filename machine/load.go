package machine

import (
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Load reads, checks and compiles a manifest. All problems are returned at once, in the order of the
// document. The Definition is nil when the list holds an error. file is only used in diagnostics; src
// is kept and must not change.
func Load(file string, src []byte, catalogue Catalogue) (*Definition, diag.List) {
	root, list := strict.Parse(file, src)
	if root == nil {
		return nil, list.Sort()
	}
	if list := tooOld(root); len(list) > 0 {
		return nil, list
	}
	m, found := decode(file, src, root)
	list = append(list, found...)
	d, found := compile(m, catalogue)
	list = append(list, found...)
	list = append(list, check(d, catalogue)...).Sort()
	if list.HasErrors() {
		return nil, list
	}
	d.writes = writesOf(m, catalogue)
	return d, list
}
