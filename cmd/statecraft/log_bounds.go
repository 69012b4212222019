package main

import (
	"log/slog"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Bytes of one value in a log line. Whatever a library says, and whoever made it say so, a line stays readable; stacks are our own and are
// longer.
const (
	maxLogged = 4 << 10
	maxStack  = 32 << 10
)

// logOptions are those of every log.
func logOptions(level slog.Level) *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: level, ReplaceAttr: boundedAttr}
}

// boundedAttr cuts values that are too long for a line.
func boundedAttr(_ []string, a slog.Attr) slog.Attr {
	limit := maxLogged
	if a.Key == "stack" {
		limit = maxStack
	}
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(diag.Brief(v, limit))
	case error:
		a.Value = slog.StringValue(diag.Brief(v.Error(), limit))
	}
	return a
}
