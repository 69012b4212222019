package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestH61APanicOfALoginRefusesIt hands the gate a connection of which nothing can be read: what strangers send is looked at on a goroutine of
// nats-server, where a panic would end the host.
func TestH61APanicOfALoginRefusesIt(t *testing.T) {
	var log bytes.Buffer
	g := &gate{log: newQuiet(slog.New(slog.NewTextHandler(&log, nil)), time.Now), now: time.Now}
	if g.Check(nil) {
		t.Error("it is let in")
	}
	if !strings.Contains(log.String(), "login_panicked") || !strings.Contains(log.String(), "gate.go") {
		t.Errorf("the log says %s", log.String())
	}
}
