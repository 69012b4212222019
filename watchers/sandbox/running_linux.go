package sandbox

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	// politeness is the time between SIGTERM and SIGKILL. With the search for escapees it keeps a run within 100 ms
	// of its deadline.
	politeness = 50 * time.Millisecond
	// lingering is how long output is awaited from descendants after the program itself has ended.
	lingering = 50 * time.Millisecond
	// burial is how long a killed program may take to go; one in an uninterruptible call takes longer.
	burial = 30 * time.Millisecond
)

// running is one started program. The goroutines that follow it end with it.
type running struct {
	process        *os.Process
	stdout, stderr *capture
	mark           string
	outlive        bool
	exited         chan struct{} // closed when the program has ended; it is not yet reaped then
}

func (p *running) follow(ctx context.Context) {
	if p.stdout.pipe != nil {
		supervise.Go(ctx, p.stdout.drain)
		supervise.Go(ctx, p.stderr.drain)
	}
	supervise.Go(ctx, func() {
		defer close(p.exited)
		awaitExit(p.process.Pid)
	})
}

// wait returns the exit code, or -1 and ctx's error. After it, finish does not block.
func (p *running) wait(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.reap()
	case <-ctx.Done():
	}
	select {
	case <-p.exited: // both at once: the program was in time
		return p.reap()
	default:
	}
	killed := !p.outlive || errors.Is(ctx.Err(), context.DeadlineExceeded)
	if killed {
		p.kill()
	}
	p.expire(0)
	p.abandon(ctx, killed)
	return -1, ctx.Err()
}

// reap takes the exit code of an ended program.
func (p *running) reap() (int, error) {
	p.expire(lingering)
	state, err := p.process.Wait()
	if err != nil {
		return -1, err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}

// kill ends the group, first politely, and everything else that carries the mark. The group's leader is not reaped before,
// so that the group's number is nobody else's.
func (p *running) kill() {
	p.signal(syscall.SIGTERM)
	limit := time.NewTimer(politeness)
	defer limit.Stop()
	for _, ended := range []<-chan struct{}{p.exited, p.stdout.done, p.stderr.done} {
		select {
		case <-ended:
		case <-limit.C:
			limit.Reset(0)
		}
	}
	p.signal(syscall.SIGKILL)
	killMarked(p.mark)
}

func (p *running) signal(s syscall.Signal) {
	// An error means that the group is gone, or belongs to another user whom the host may not signal.
	_ = syscall.Kill(-p.process.Pid, s)
}

// abandon reaps the program when it ends, which for a killed one is now.
func (p *running) abandon(ctx context.Context, killed bool) {
	reaped := make(chan struct{})
	supervise.Go(ctx, func() {
		defer close(reaped)
		<-p.exited
		_, _ = p.process.Wait()
	})
	if !killed {
		return
	}
	limit := time.NewTimer(burial)
	defer limit.Stop()
	select {
	case <-reaped:
	case <-limit.C:
	}
}

func (p *running) expire(after time.Duration) {
	p.stdout.expire(after)
	p.stderr.expire(after)
}
