package runtime

import (
	"slices"

	"github.com/statecraft-io/statecraft/watchers"
)

// noteHolders notes which active watchers hold something, for looks of this machine and of others.
func (u *unit) noteHolders() {
	var all []watchers.Holder
	for i := range u.watches {
		if h, ok := u.watches[i].watcher.(watchers.Holder); ok && u.watches[i].activation != 0 {
			all = append(all, h)
		}
	}
	u.holders.Store(&all)
}

// holding reports whether everything is still held that the machine believes to hold. A holder is not asked for itself.
func (u *unit) holding(itself watchers.Watcher) bool {
	all := u.holders.Load()
	return all == nil || !slices.ContainsFunc(*all, func(h watchers.Holder) bool { return h != itself && !h.Holds() })
}
