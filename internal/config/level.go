package config

import (
	"errors"
	"log/slog"
	"strings"
)

// Level is the least level of what is logged.
type Level slog.Level

// Set implements pflag.Value. The names are those of Tyk's log_level.
func (l *Level) Set(text string) error {
	switch strings.ToLower(text) {
	case "debug":
		*l = Level(slog.LevelDebug)
	case "info":
		*l = Level(slog.LevelInfo)
	case "warn", "warning":
		*l = Level(slog.LevelWarn)
	case "error":
		*l = Level(slog.LevelError)
	default:
		return errors.New("must be debug, info, warn or error")
	}
	return nil
}

// String implements pflag.Value.
func (l *Level) String() string { return strings.ToLower(slog.Level(*l).String()) }

// Type implements pflag.Value.
func (*Level) Type() string { return "level" }
