package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/evidence"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// traceVerifyVerb holds a trace or a journal against signed heads of the journal.
type traceVerifyVerb struct {
	contextFlags
	Heads []string  `placeholder:"FILE" help:"Signed heads, one a line, as trace heads prints them. May be given several times."`
	Node  string    `placeholder:"NODE" help:"Ask the cell for the heads of this node's journal, or this host's (right events_read)."`
	Key   string    `placeholder:"KEY" help:"The public key that must have signed the heads (64 hexadecimal digits). Without it, with --node, the one that the register has, where the client may read it."`
	Since time.Time `placeholder:"TIME" help:"Leave out heads that were signed before, such as 2026-03-02T10:00:00Z: of what the host has dropped."`
	Path  string    `arg:"" help:"A trace, or the state folder of a host, or its journal."`
}

// traceVerifyResult is what trace verify --json prints.
type traceVerifyResult struct {
	Path    string         `json:"path"`
	Machine string         `json:"machine,omitempty"` // of a trace
	Log     string         `json:"log,omitempty"`     // of a journal: its id
	Records int64          `json:"records"`
	Wrong   []string       `json:"wrong"` // where its own checksums do not hold
	Heads   []headStanding `json:"heads"` // the oldest first
	Holds   int            `json:"holds"` // heads that it stands up to
	Departs int            `json:"departs"`
	// TooOld counts heads of what is not kept any more.
	TooOld int `json:"too_old"`
	// Unproven counts heads of its time that nothing ties its records to.
	Unproven int `json:"unproven"`
	// UnprovenRecords are those of a trace that a gap cuts off from all that heads vouch for.
	UnprovenRecords []evidence.TraceRecords `json:"unproven_records"`
}

// headStanding is what came of holding it against a head.
type headStanding struct {
	headResult
	Standing journal.Standing `json:"standing"`       // holds, departs, unproven, too_old or too_new
	Name     string           `json:"name,omitempty"` // of the machine, in a trace
	From     uint64           `json:"from,omitempty"` // the records of a trace that the head vouches for are From to Seq
	Seq      uint64           `json:"seq,omitempty"`
	Reason   string           `json:"reason,omitempty"`
}

// Run fails where something departs from a head, or from its own checksums.
func (v *traceVerifyVerb) Run(inv *invocation) error {
	heads, err := v.heads(inv)
	if err != nil {
		return err
	}
	info, err := os.Stat(v.Path)
	if err != nil {
		return usage("name a trace, or the state folder of a host", "verifying: %w", err)
	}
	r := traceVerifyResult{Path: v.Path, Wrong: []string{}, Heads: []headStanding{}, UnprovenRecords: []evidence.TraceRecords{}}
	if info.IsDir() {
		err = v.journal(inv, heads, &r)
	} else {
		err = v.trace(heads, &r)
	}
	if err != nil {
		return err
	}
	for _, h := range r.Heads {
		switch h.Standing {
		case journal.Holds:
			r.Holds++
		case journal.Departs:
			r.Departs++
		case journal.TooOld:
			r.TooOld++
		case evidence.Unproven:
			r.Unproven++
		}
	}
	return inv.verified(&r)
}

// heads are those to hold it against, the oldest first, each signed by the key that it must be.
func (v *traceVerifyVerb) heads(inv *invocation) ([]evidence.Signed, error) {
	if len(v.Heads) == 0 && v.Node == "" {
		return nil, usage("take them from the cell with --node NODE, or from a file with --heads FILE; a chain without one proves nothing against who can write it anew",
			"against which heads?")
	}
	var want identity.PublicKey
	if v.Key != "" {
		var err error
		if want, err = identity.ParsePublicKey(v.Key); err != nil {
			return nil, usage("statecraft fleet show NODE prints it", "--key: %w", err)
		}
	}
	heads, err := inv.readHeads(v.Heads)
	if err != nil {
		return nil, err
	}
	if v.Node != "" {
		published, key, err := v.published(inv, v.Node)
		if err != nil {
			return nil, err
		}
		if want == (identity.PublicKey{}) {
			want = key
		}
		if published, err = inv.signedBy(published, want); err != nil {
			return nil, err
		}
		heads = append(heads, published...)
		slices.SortStableFunc(heads, func(a, b evidence.Signed) int { return a.At.Compare(b.At) })
	}
	if !v.Since.IsZero() {
		heads = slices.DeleteFunc(heads, func(h evidence.Signed) bool { return h.At.Before(v.Since) })
		if len(heads) == 0 {
			return nil, usage("statecraft trace heads prints those that there are", "no head was signed since %s", instant(v.Since))
		}
	}
	known := want != identity.PublicKey{}
	if !known {
		inv.notef("the heads were signed by %s; whose key that is was not checked: give --key", strings.Join(keysOf(heads), " and by "))
	}
	for _, h := range heads {
		switch {
		case known && h.Key != want:
			return nil, fail(exitRefused, "was the node given another key since? --key takes the one that it had", "the head of %s was signed by %s, not by %s", instant(h.At), h.Key, want)
		case h.Identity != heads[0].Identity:
			return nil, usage("name heads of one journal", "the heads are of %s and of %s", heads[0].Identity, h.Identity)
		}
	}
	return heads, nil
}

// signedBy leaves out the heads of other keys, which the cell has for 30 days after a node was given another one. It fails where none is left.
func (inv *invocation) signedBy(heads []evidence.Signed, want identity.PublicKey) ([]evidence.Signed, error) {
	if want == (identity.PublicKey{}) {
		return heads, nil
	}
	var kept, others []evidence.Signed
	for _, h := range heads {
		if h.Key == want {
			kept = append(kept, h)
		} else {
			others = append(others, h)
		}
	}
	switch {
	case len(others) == 0:
	case len(kept) == 0:
		return nil, fail(exitRefused, "was the node given another key since? --key takes the one that it had", "the cell's heads were signed by %s, not by %s",
			strings.Join(keysOf(others), " and by "), want)
	default:
		inv.notef("%s left out, signed by another key than %s: --key %s holds it against those", counted(len(others), "head"), want, strings.Join(keysOf(others), " or "))
	}
	return kept, nil
}

// keysOf are the keys that heads were signed by, the last one last.
func keysOf(heads []evidence.Signed) (keys []string) {
	for _, h := range heads {
		if key := h.Key.String(); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (v *traceVerifyVerb) journal(inv *invocation, heads []evidence.Signed, r *traceVerifyResult) error {
	dir := v.Path
	if info, err := os.Stat(filepath.Join(dir, "journal")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, "journal")
	}
	c, err := evidence.CheckJournal(inv.ctx, dir, heads)
	if errors.Is(err, fs.ErrNotExist) {
		return usage("name the state folder of a host, such as DIR/state", "there is no journal in %s", dir)
	}
	if err != nil {
		return fail(exitFailed, "check who may read it; where its host drops what is old meanwhile, try again", "reading the journal %s: %w", dir, err)
	}
	r.Log, r.Records, r.Wrong = c.Log, c.Kept, append(r.Wrong, c.Wrong...)
	for i, h := range c.Heads {
		r.Heads = append(r.Heads, headStanding{headResult: showHead(heads[i]), Standing: h.Standing, Reason: h.Reason})
	}
	return nil
}

func (v *traceVerifyVerb) trace(heads []evidence.Signed, r *traceVerifyResult) error {
	f, err := os.Open(v.Path)
	if err != nil {
		return fail(exitFailed, "check who may read the file", "reading the trace: %w", err)
	}
	defer f.Close()
	c, err := evidence.CheckTrace(v.Path, f, heads)
	var list diag.List
	if errors.As(err, &list) {
		return fail(exitInvalid, "a trace is what statecraft trace exports", "%w", err)
	}
	if err != nil {
		return err
	}
	r.Machine, r.Records, r.Wrong, r.UnprovenRecords = c.Machine, int64(c.Records), append(r.Wrong, c.Wrong...), append(r.UnprovenRecords, c.Unproven...)
	for i, h := range c.Heads {
		r.Heads = append(r.Heads, headStanding{headResult: showHead(heads[i]), Standing: h.Standing, Name: h.Name, From: h.From, Seq: h.Seq, Reason: h.Reason})
	}
	return nil
}

// verified prints what came of it.
func (inv *invocation) verified(r *traceVerifyResult) error {
	if inv.json {
		if err := inv.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, text := range r.Wrong {
			inv.printf("wrong     %s\n", text)
		}
		for _, h := range r.Heads {
			text := fmt.Sprintf("segment %d, %d bytes", h.Segment, h.Size)
			if r.Machine != "" {
				text = fmt.Sprintf("%s, records %d to %d", h.Name, h.From, h.Seq)
			}
			if h.Reason != "" {
				text = h.Reason
			}
			stored := ""
			if h.Stored != nil {
				stored = " (the cell took it at " + instant(*h.Stored) + ")"
			}
			inv.printf("%-9s %s%s  %s\n", h.Standing, instant(h.At), stored, text)
		}
		for _, u := range r.UnprovenRecords {
			inv.printf("%-9s records %d to %d\n", evidence.Unproven, u.First, u.Last)
		}
	}
	held, first, last := "no head", -1, -1
	for i, h := range r.Heads {
		if h.Standing == journal.Holds {
			if first < 0 {
				first = i
			}
			held, last = "the head of "+instant(h.At), i
		}
	}
	switch {
	case r.Departs > 0:
		at := slices.IndexFunc(r.Heads, func(h headStanding) bool { return h.Standing == journal.Departs })
		before := "nothing before it is known to be as it was"
		if last >= 0 && last < at && len(r.UnprovenRecords) == 0 {
			before = "up to " + held + " it is as it was"
		}
		return fail(exitRefused, "what was recorded was changed after it was told: copy the folder before anything else, and ask who could write there",
			"%s is not what it was at %s: %s; %s", r.Path, instant(r.Heads[at].At), r.Heads[at].Reason, before)
	case len(r.Wrong) > 0:
		return fail(exitRefused, "a damaged disk does this, too: statecraft states says what the host found", "%s does not hold together: %s", r.Path, r.Wrong[0])
	case r.Unproven > 0:
		return fail(exitPartial, "hold the journal itself against them, or export the trace anew where it is an old one",
			"%s of the time of %s cannot be held against it", counted(r.Unproven, "head"), r.Path)
	case r.Holds == 0:
		return fail(exitPartial, "name heads of the time that it is of", "none of %s says anything of %s", counted(len(r.Heads), "head"), r.Path)
	case len(r.UnprovenRecords) > 0:
		u := r.UnprovenRecords[0]
		return fail(exitPartial, "hold the journal itself against the heads", "no head vouches for the records %d to %d of %s: a gap is between them and those that one does vouch for",
			u.First, u.Last, r.Path)
	case r.TooOld > 0:
		return fail(exitPartial, "a host drops what is oldest when its journal is full, and a machine may be new: where that is so here, --since "+
			r.Heads[first].At.UTC().Format(time.RFC3339)+" asks for what is there, and ends with 0. Who can write the files can take it away, too, and tell another story of that time",
			"what %s were of is not in %s any more; for what is there no head vouches before that of %s", counted(r.TooOld, "head"), r.Path, instant(r.Heads[first].At))
	}
	inv.notef("as it was up to %s; what came after that is vouched for by nobody", held)
	return nil
}
