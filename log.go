package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"go.uber.org/zap/zapcore"
)

// logDelay is how long a line of the log may wait for others to be written with it. What is worse than information takes
// all before it along at once.
const logDelay = 200 * time.Millisecond

// newLog makes a log; stop writes what waits, and must be called before the program ends.
func newLog(out io.Writer, format string) (log *slog.Logger, stop func() error) {
	written := zapcore.AddSync(struct{ io.Writer }{out}) // no fsync: a pipe has none, and a log is not worth one a line
	lines := &zapcore.BufferedWriteSyncer{WS: written, FlushInterval: logDelay}
	var handler slog.Handler = slog.NewTextHandler(lines, nil)
	if format == "json" {
		handler = slog.NewJSONHandler(lines, nil)
	}
	return slog.New(prompt{handler, lines}), lines.Stop
}

// prompt is a handler whose warnings and errors do not wait.
type prompt struct {
	slog.Handler

	lines *zapcore.BufferedWriteSyncer
}

// Handle implements slog.Handler.
func (p prompt) Handle(ctx context.Context, record slog.Record) error {
	if err := p.Handler.Handle(ctx, record); err != nil || record.Level < slog.LevelWarn {
		return err
	}
	return p.lines.Sync()
}

// WithAttrs implements slog.Handler.
func (p prompt) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prompt{p.Handler.WithAttrs(attrs), p.lines}
}

// WithGroup implements slog.Handler.
func (p prompt) WithGroup(name string) slog.Handler {
	return prompt{p.Handler.WithGroup(name), p.lines}
}
