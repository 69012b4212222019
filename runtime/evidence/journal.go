package evidence

import (
	"context"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/runtime/journal"
)

// Standings beside those of a journal.
const (
	// Unproven is that of a history that has records of the time of a head, and nothing that ties them to it.
	Unproven journal.Standing = "unproven"
	// TooNew is that of a trace that was exported before the head was signed.
	TooNew journal.Standing = "too_new"
)

// CheckJournal is journal.Check against signed heads. A head of a segment that is not kept any more says nothing of the segments that are, and the
// numbers are those that whoever writes the files gives them: where what is kept is older than the head by its own time, the head is Unproven.
func CheckJournal(ctx context.Context, dir string, heads []Signed) (journal.Checked, error) {
	var plain []journal.Head
	for _, h := range heads {
		plain = append(plain, h.Head.Head)
	}
	c, err := journal.Check(ctx, dir, plain)
	for i, h := range c.Heads {
		if at := heads[i].At; h.Standing == journal.TooOld && at.After(c.Began) {
			c.Heads[i].Standing = Unproven
			c.Heads[i].Reason = fmt.Sprintf("the journal says that it begins with segment %d at %s, and at %s it was still in segment %d: "+
				"its segments were given other numbers, or the clock was set back", c.First, c.Began.UTC().Format(time.RFC3339), at.Format(time.RFC3339), h.Head.Segment)
		}
	}
	return c, err
}
