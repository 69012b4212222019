package runtime_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestBadInputWhatALookSaysIsBounded has a look fail with a megabyte of text, as one may that quotes what others sent.
func TestBadInputWhatALookSaysIsBounded(t *testing.T) {
	fakes := newFakes()
	fakes.check("says", func(context.Context, *watchers.Look) watchers.Report {
		return watchers.Failure(strings.Repeat("a", 1<<20))
	})
	var log logText
	h := runHost(t, runtime.Config{Catalogue: fakes, Log: slog.New(slog.NewTextHandler(&log, nil))})
	h.deploy(listening("m", "says"))
	eventually(t, "it has failed", func() bool { return strings.Contains(log.String(), "look_failed") })
	d, err := h.Machine(t.Context(), "m")
	if err != nil || len(log.String()) > 10_000 || len(d.Watchers[0].Message) > 5_000 {
		t.Errorf("%v: the log has %d bytes, the status %d", err, len(log.String()), len(d.Watchers[0].Message))
	}
}
