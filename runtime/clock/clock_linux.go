package clock

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watchJumps asks the kernel to say when the wall clock was set: a timer that is cancelled by it, and is due in
// a time that does not come. Waking from suspension counts as setting the clock. jumped is called before each send.
func watchJumps(jumped func()) (<-chan struct{}, func() error, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("watching for clock changes: timerfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	never := unix.ItimerSpec{Value: unix.NsecToTimespec(math.MaxInt64)}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("watching for clock changes: timerfd_settime: %w", err), f.Close())
	}
	jumps, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		readJumps(f, jumped, jumps)
	}()
	return jumps, func() error {
		err := f.Close()
		<-ended
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}, nil
}

// readJumps sends for every cancelled read, and returns at any other error, which is that of a closed file.
func readJumps(r io.Reader, jumped func(), jumps chan<- struct{}) {
	expirations := make([]byte, 8)
	for {
		_, err := r.Read(expirations)
		if err != nil && !errors.Is(err, unix.ECANCELED) {
			return
		}
		jumped()
		select {
		case jumps <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// bootTime reads CLOCK_BOOTTIME, which counts suspension.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err)) // a kernel older than 2.6.39
	}
	return time.Duration(ts.Nano())
}
