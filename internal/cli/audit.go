package cli

import (
	"log/slog"

	"gatehouse/internal/config"
	"gatehouse/internal/logging"
	"gatehouse/server"
)

// openAudit returns the audit log and its file, which is nil if there is none: the audit log is turned off, or a part
// of the log. Its lines do not depend on the level of the log.
func openAudit(cfg config.Audit, log *slog.Logger) (server.Audit, *logging.File, error) {
	switch {
	case !cfg.Enabled:
		return server.Audit{}, nil, nil
	case cfg.Path == "":
		return server.Audit{Log: log, Detailed: cfg.Detailed}, nil, nil
	}
	file, err := logging.OpenFile(cfg.Path)
	if err != nil {
		return server.Audit{}, nil, err
	}
	return server.Audit{Log: logging.New(file, cfg.Format), Detailed: cfg.Detailed}, file, nil
}
