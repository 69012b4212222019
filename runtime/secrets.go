package runtime

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// A unit holds its secrets in clear. What the journal and the book have of it is sealed: the record as it is stored, the snapshots that such
// records add up to, and therefore checkpoints, which need neither manifests nor the key.

// keptAfter returns the snapshot after a record as the journal would give it back.
func (u *unit) keptAfter(stored *machine.Record, head string) *machine.Snapshot {
	var kept machine.Snapshot
	if before := u.host.book.snapshot(u.name); u.snap != nil && before != nil {
		kept = *before
	}
	kept = kept.Apply(stored, head)
	return &kept
}

// restored returns what the book has of the machine, nil where that is nothing, and the secrets that are gone.
func (u *unit) restored() (snap *machine.Snapshot, gone []string) {
	kept := u.host.book.snapshot(u.name)
	if kept == nil || u.host.vault == nil {
		return kept, nil
	}
	snap, gone = u.prog.def.Restore(kept, u.host.vault)
	if snap != kept {
		u.secretive = true
		if u.who.instance != "" {
			u.input = snap.Input
		}
	}
	if len(gone) > 0 {
		u.host.noteGone(u.name, gone)
	}
	return snap, gone
}

// reseal makes the record with which the machine goes on seal what was stored in clear, and drop the secrets that are gone.
func (u *unit) reseal(rec *machine.Record, gone []string) {
	if !u.secretive || u.snap == nil {
		return
	}
	u.prog.def.Reseal(rec, u.host.book.snapshot(u.name), u.snap)
	u.prog.def.Forget(rec, u.snap, gone)
}

func (h *Host) noteGone(unit string, gone []string) {
	h.log.Error("secrets_gone", "machine", unit, "values", gone, "consequence", "the machine goes on with their defaults")
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone == nil {
		h.gone = map[string][]string{}
	}
	h.gone[unit] = gone
}

// secretsDegraded says what is wrong with secrets.
func (h *Host) secretsDegraded() (reasons []string) {
	if h.vault == nil {
		return nil
	}
	if err := h.vault.Problem(); err != nil {
		reasons = append(reasons, err.Error())
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, unit := range slices.Sorted(maps.Keys(h.gone)) {
		reasons = append(reasons, fmt.Sprintf("secrets of machine %s could not be opened and are gone: %s; give them to it again", unit, strings.Join(h.gone[unit], ", ")))
	}
	return reasons
}

// shown is a record of the machine as it may be shown. In simulations secrets are somebody's test data.
func (u *unit) shown(r *machine.Record) *machine.Record {
	if !u.secretive || u.host.simulated() {
		return r
	}
	return u.prog.def.Conceal(r)
}

func (u *unit) shownData(p *published) map[string]any {
	if !u.secretive || u.host.simulated() {
		return p.snap.Data
	}
	return p.prog.def.ConcealData(p.snap.Data)
}

// conceal takes the machine's secrets out of what a report says for people and events. What decides, payload and data, stays.
func (u *unit) conceal(rep *watchers.Report, watcher string) {
	longest := max(len(rep.Message), longestText(rep.State))
	if longest == 0 {
		return
	}
	texts := u.prog.def.SecretTexts(u.snap, &machine.Record{
		Cause: machine.Cause{Kind: machine.CauseWatcher, Name: watcher}, Payload: rep.Payload, Input: rep.Data,
	})
	var pairs []string
	for _, text := range texts {
		for _, form := range forms(text) {
			if len(form) <= longest { // tokens are longer than nearly every message
				pairs = append(pairs, form, machine.Concealed)
			}
		}
	}
	if len(pairs) == 0 {
		return
	}
	mask := strings.NewReplacer(pairs...)
	rep.Message = mask.Replace(rep.Message)
	if rep.State != nil {
		rep.State, _ = masked(rep.State, mask).(map[string]any)
	}
}

// forms are how a text may stand in a message: as it is, as it is quoted, and line by line, since a message is one line.
func forms(text string) []string {
	all := []string{text}
	if quoted := strconv.Quote(text); len(quoted) > len(text)+2 {
		all = append(all, quoted[1:len(quoted)-1])
	}
	if strings.ContainsAny(text, "\r\n") {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); len(line) >= shortestLine {
				all = append(all, line)
			}
		}
	}
	return all
}

// shortestLine is the length, in bytes, from which a line of a secret is looked for in others; it is that of secrets.
const shortestLine = 6

// longestText is the length of the longest text in a value.
func longestText(v any) (longest int) {
	switch v := v.(type) {
	case string:
		return len(v)
	case map[string]any:
		for _, e := range v {
			longest = max(longest, longestText(e))
		}
	case []any:
		for _, e := range v {
			longest = max(longest, longestText(e))
		}
	}
	return longest
}

// masked returns a value with its texts masked.
func masked(v any, mask *strings.Replacer) any {
	switch v := v.(type) {
	case string:
		return mask.Replace(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = masked(e, mask)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = masked(e, mask)
		}
		return out
	default:
		return v
	}
}
