package broker

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Lines a second, and at once, of what strangers can cause.
const (
	linesRate  = 5
	linesBurst = 50
)

// quiet is a log for what may happen thousands of times a second: it passes some on, and the next one says how many it left out.
type quiet struct {
	log     *slog.Logger
	now     func() time.Time
	bucket  *bucket
	leftOut atomic.Int64
}

func newQuiet(log *slog.Logger, now func() time.Time) *quiet {
	return &quiet{log: log, now: now, bucket: newBucket(linesRate, linesBurst)}
}

func (q *quiet) warn(message string, attrs ...any) {
	if !q.bucket.take(q.now()) {
		q.leftOut.Add(1)
		return
	}
	if n := q.leftOut.Swap(0); n > 0 {
		attrs = append(attrs, slog.Int64("left_out", n))
	}
	q.log.Warn(message, attrs...)
}

// recovered, deferred, logs a panic, which would else end the host: whoever calls is a library.
func (q *quiet) recovered(message string) {
	if p := recover(); p != nil {
		q.warn(message, slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	}
}

// serverLog is the log of a nats-server: its warnings and errors, and the rest for who debugs.
type serverLog struct {
	log   *slog.Logger
	quiet *quiet
	debug bool

	mu    sync.Mutex
	fatal error
}

func (l *serverLog) line(format string, v []any) slog.Attr {
	return slog.String("text", diag.Brief(fmt.Sprintf(format, v...), diag.MaxBrief))
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) {
	if l.debug {
		l.log.Debug("nats_server", l.line(format, v))
	}
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.Noticef(format, v...) }

// Tracef implements server.Logger. Messages are not for logs.
func (l *serverLog) Tracef(string, ...any) {}

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.quiet.warn("nats_server", l.line(format, v)) }

// Errorf implements server.Logger. Refused connections are logged by the gate, with the reason.
func (l *serverLog) Errorf(format string, v ...any) {
	line := l.line(format, v)
	if strings.Contains(line.Value.String(), server.ErrAuthentication.Error()) {
		l.Debugf("%s", line.Value.String())
		return
	}
	l.quiet.warn("nats_server_error", line)
}

// Fatalf implements server.Logger. The server ends its start after it, and Start returns it.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, v...)
	}
}

func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
