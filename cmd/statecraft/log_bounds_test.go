package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestBadInputLogLinesStayShort logs what a stranger made long.
func TestBadInputLogLinesStayShort(t *testing.T) {
	var out bytes.Buffer
	long := strings.Repeat("a", 100_000)
	slog.New(slog.NewJSONHandler(&out, logOptions(slog.LevelInfo))).Warn("object_not_read", "object", long, "error", errors.New(long), "count", 3)
	if n := out.Len(); n > 2*maxLogged+200 || !strings.Contains(out.String(), `"count":3`) {
		t.Errorf("the line has %d bytes: %.300s", n, out.String())
	}
}
