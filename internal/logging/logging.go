// Package logging makes the log of the program.
package logging

import (
	"context"
	"io"
	"log/slog"
)

// New returns a log that writes lines of all levels to out, in the format "json", or else as text. Each line is one
// Write, made before the call that logs returns: a line is never lost, and nothing has to be flushed when the program
// ends. Buffering would save 1 to 2 µs a line, which docs/performance.md compares with the time of a request.
func New(out io.Writer, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// AtLeast returns a log that discards lines below a level. Both logs may be used at the same time.
func AtLeast(level slog.Level, log *slog.Logger) *slog.Logger {
	return slog.New(atLeast{log.Handler(), level})
}

// atLeast is a handler of records of a level or above.
type atLeast struct {
	slog.Handler

	level slog.Level
}

// Enabled implements slog.Handler.
func (h atLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
