package inventory

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	stride      = 64 // entries that a worker takes at once
	maxProblems = 8  // reasons that are told apart
)

// otherProblems counts the nodes with a reason beyond those.
const otherProblems = "other reasons"

// holds finds the entries for which the condition holds, by all processors. It is an error where ctx ends before that.
func (q *question) holds(ctx context.Context, asked []*entry) (hits []*entry, problems map[string]int, err error) {
	problems = map[string]int{}
	if q.where == nil {
		return asked, problems, nil
	}
	found := make([]bool, len(asked))
	now := time.Now() //nolint:forbidigo // the questions' now()
	var mu sync.Mutex // of problems
	err = inStrides(ctx, len(asked), func() func(i int) error {
		asking := q.where.Ask(ctx, now)
		return func(i int) error {
			e := asked[i]
			holds, problem := asking.Holds(watchers.About{Identity: e.identity, LastSeen: e.seen, Digest: e.digest, Document: e.document})
			found[i] = holds
			if problem != nil {
				mu.Lock()
				count(problems, problem.Error())
				mu.Unlock()
			}
			return ctx.Err()
		}
	})
	if err != nil {
		return nil, nil, err
	}
	for i, e := range asked {
		if found[i] {
			hits = append(hits, e)
		}
	}
	return hits, problems, nil
}

// count counts a problem by its reason, of which there are only so many.
func count(problems map[string]int, reason string) {
	reason = brief(reason)
	if _, known := problems[reason]; !known && len(problems) >= maxProblems {
		reason = otherProblems
	}
	problems[reason]++
}

// inStrides has workers, one a processor, do what is to be done for every number below n, until one of them fails.
func inStrides(ctx context.Context, n int, worker func() func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, min(runtime.GOMAXPROCS(0), n/stride+1))
	var all sync.WaitGroup
	for w := range errs {
		all.Go(func() {
			defer supervise.Recover(ctx)
			do := worker()
			for {
				from := int(next.Add(stride)) - stride
				for i := from; i < min(from+stride, n); i++ {
					if errs[w] = do(i); errs[w] != nil {
						return
					}
				}
				if from+stride >= n {
					return
				}
			}
		})
	}
	all.Wait()
	if at := slices.IndexFunc(errs, func(err error) bool { return err != nil }); at >= 0 {
		return errs[at]
	}
	return ctx.Err()
}
