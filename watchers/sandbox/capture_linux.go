package sandbox

import (
	"os"
	"syscall"
	"time"
)

const (
	firstRead = 512       // most commands say little
	bulkRead  = 64 << 10  // a pipe's capacity
	lastRead  = 256 << 10 // the most that is taken from a pipe whose writer lives on
)

// capture drains one stream of a program, keeping its beginning or its end. Its memory does not grow beyond twice the limit however
// much is written.
type capture struct {
	pipe      *os.File // nil: nothing is captured
	limit     int
	end       bool // keep the end
	kept      []byte
	truncated bool
	done      chan struct{} // closed when the stream has ended or its read deadline has passed
}

// newCapture returns a capture and the end that the program writes to, which the caller closes.
func newCapture(limit int, end bool) (*capture, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	return &capture{pipe: read, limit: limit, end: end, done: make(chan struct{})}, write, nil
}

// noCapture is the capture of a program that writes to nobody.
func noCapture() *capture {
	c := &capture{done: make(chan struct{})}
	close(c.done)
	return c
}

func (c *capture) drain() {
	defer close(c.done)
	var spill []byte
	for {
		room := c.room()
		if len(room) == 0 {
			if spill == nil {
				spill = make([]byte, bulkRead)
			}
			room = spill
		}
		n, err := c.pipe.Read(room)
		c.took(n)
		if err != nil {
			return
		}
	}
}

// room is where the next bytes go: none once the limit is reached, unless the end is kept.
func (c *capture) room() []byte {
	most := c.limit
	if c.end {
		most *= 2
	}
	if c.end && len(c.kept) == most {
		c.keepEnd()
	}
	if len(c.kept) == cap(c.kept) && len(c.kept) < most {
		grown := make([]byte, len(c.kept), min(most, max(firstRead, 2*cap(c.kept))))
		copy(grown, c.kept)
		c.kept = grown
	}
	return c.kept[len(c.kept):cap(c.kept)]
}

// keepEnd drops what is not of the end.
func (c *capture) keepEnd() {
	if over := len(c.kept) - c.limit; over > 0 {
		c.kept = c.kept[:copy(c.kept, c.kept[over:])]
		c.truncated = true
	}
}

// took accounts for n bytes that were read into room, or beyond it.
func (c *capture) took(n int) {
	if len(c.kept) < cap(c.kept) {
		c.kept = c.kept[:len(c.kept)+n]
		return
	}
	c.truncated = c.truncated || n > 0
}

// expire lets the stream go on for a while after the program has ended: a descendant may hold it forever.
func (c *capture) expire(after time.Duration) {
	if c.pipe != nil {
		// An error means that the stream has no deadlines, and then drain has returned with an error as well.
		_ = c.pipe.SetReadDeadline(time.Now().Add(after))
	}
}

// finish takes what is in the pipe after drain has stopped at its deadline, and closes it. What the program
// wrote before it ended is in there, even when somebody else still holds the other end.
func (c *capture) finish() {
	<-c.done
	if c.pipe == nil {
		return
	}
	defer c.pipe.Close()
	raw, err := c.pipe.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(c.takeRest)
	if c.end {
		c.keepEnd()
	}
}

func (c *capture) takeRest(fd uintptr) {
	var spill []byte
	for taken := 0; taken < lastRead; {
		room := c.room()
		if len(room) == 0 {
			if spill == nil {
				spill = make([]byte, bulkRead)
			}
			room = spill
		}
		n, err := syscall.Read(int(fd), room)
		if n <= 0 || err != nil {
			return
		}
		c.took(n)
		taken += n
	}
}
