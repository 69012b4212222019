package messaging

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// retryAfter is the header of a busy answer: the seconds after which to ask again, a whole number of at least 1.
const retryAfter = "Retry-After"

const (
	busyFor   = 5 * time.Second // to stay away where as many instances run as may
	crowdFor  = time.Second     // to stay away where as many requests wait as may
	longestBy = time.Hour       // that an answer may keep somebody away
)

// AnswerBusy answers that there is no room at the moment (code 429), and when to come again: in whole seconds, 1 to an hour.
func AnswerBusy(r micro.Request, after time.Duration) { busy(r, after) }

func busy(r request, after time.Duration) {
	if r.Reply() == "" {
		return
	}
	after = min(max(after, time.Second), longestBy)
	header := micro.Headers{retryAfter: []string{strconv.Itoa(int(math.Ceil(after.Seconds())))}}
	_ = r.Error(CodeBusy, "busy", nil, micro.WithHeaders(header)) // what cannot be sent is for a connection that is gone
}

// Busy reports whether an answer is an error that passes: there is no room at the moment, or who would answer is leaving
// or not ready. It says how long to wait before asking again.
func Busy(answer *nats.Msg) (after time.Duration, passes bool) {
	switch answer.Header.Get(micro.ErrorCodeHeader) {
	case CodeBusy, CodeNotReady:
	default:
		return 0, false
	}
	after = time.Second
	if n, err := strconv.ParseInt(answer.Header.Get(retryAfter), 10, 32); err == nil && n > 0 {
		after = min(time.Duration(n)*time.Second, longestBy)
	}
	return after, true
}

// pauseWithin waits for as long as a busy answer says, and longer each time, with half of that again by chance so that those who were turned
// away together do not come together. It does not wait, and returns false, where ctx ends before that.
func pauseWithin(ctx context.Context, after time.Duration, tries int) bool {
	after <<= min(tries, 4)
	after += rand.N(after/2 + 1)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= after { //nolint:forbidigo // deadlines of contexts are those of the real clock
		return false
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
