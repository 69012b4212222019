package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// maxGaps bounds what a ledger carries; retention's own gap is one, however much it drops.
const maxGaps = 63

// ledger is what each segment's head repeats, so that nothing older has to be read when the log is opened, and as the
// segments that could tell it are dropped. The last one in a segment counts.
type ledger struct {
	Dropped *Gap   `json:"dropped,omitempty"` // all that retention ever dropped
	Through uint64 `json:"through,omitempty"` // the number of the newest dropped segment
	Gaps    []Gap  `json:"gaps,omitempty"`    // the others that are in segments still kept, oldest first
}

// drop adds segments that are to be removed.
func (l ledger) drop(segs []segment) ledger {
	gap := Gap{Reason: GapRetention, First: segs[0].began().UTC()}
	if l.Dropped != nil {
		gap = *l.Dropped
	}
	for _, seg := range segs {
		gap.Records += seg.records
		gap.Last = latest(gap.Last, seg.newest().UTC())
		l.Through = max(l.Through, seg.number)
	}
	l.Dropped = &gap
	l.Gaps = slices.DeleteFunc(slices.Clone(l.Gaps), func(g Gap) bool { return g.Last.Before(gap.Last) })
	return l
}

// note adds gaps of other reasons.
func (l ledger) note(gaps ...Gap) ledger {
	l.Gaps = slices.Concat(l.Gaps, gaps)
	l.Gaps = l.Gaps[max(0, len(l.Gaps)-maxGaps):]
	return l
}

// all are the gaps, oldest first.
func (l ledger) all() []Gap {
	if l.Dropped == nil {
		return slices.Clone(l.Gaps)
	}
	return slices.Concat([]Gap{*l.Dropped}, l.Gaps)
}

func parseLedger(data []byte) (l ledger, err error) {
	if err := json.Unmarshal(data, &l); err != nil {
		return ledger{}, fmt.Errorf("ledger: %w", err)
	}
	return l, nil
}

// encode is JSON of the package's own types, which always can be encoded but for years beyond 9999.
func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode gap: %w", err)
	}
	return data, nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
