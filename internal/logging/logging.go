// Package logging makes the log of the program.
package logging

import (
	"io"
	"log/slog"
)

// New returns a log that writes to out, in the format "text" or "json". Each line is one Write, made before the call
// that logs returns: a line is never lost, and nothing has to be flushed when the program ends. Buffering would save
// 1 to 2 µs a line, which docs/performance.md compares with the time of a request.
func New(out io.Writer, format string) *slog.Logger {
	if format == "json" {
		return slog.New(slog.NewJSONHandler(out, nil))
	}
	return slog.New(slog.NewTextHandler(out, nil))
}
