package cli

import (
	"io"
	"log/slog"

	"gatehouse/internal/config"
	"gatehouse/internal/logging"
)

// logs are the log of the server, and what it is written to.
type logs struct {
	// log has the lines of the configured level or above, all has every line.
	log, all *slog.Logger
	file     *logging.File // nil if the log is on standard error
}

// openLogs opens the log of the server.
func openLogs(cfg config.Log, standard io.Writer) (l logs, err error) {
	out := standard
	if cfg.Path != "" {
		if l.file, err = logging.OpenFile(cfg.Path); err != nil {
			return l, err
		}
		out = l.file
	}
	l.all = logging.New(out, cfg.Format)
	l.log = logging.AtLeast(slog.Level(cfg.Level), l.all)
	return l, nil
}

// commandLog returns the log of a command that ends, which is on standard error.
func commandLog(cfg config.Log, std Streams) *slog.Logger {
	return logging.AtLeast(slog.Level(cfg.Level), logging.New(std.Log, cfg.Format))
}
