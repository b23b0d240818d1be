package cli

import (
	"context"
	"errors"
	"log/slog"
	"os/user"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/logging"
	"gatehouse/server"
)

// openAudit returns the audit log and its file, which is nil if there is none: the audit log is turned off, or a part
// of the log. Its lines do not depend on the level of the log.
func openAudit(cfg config.Audit, log *slog.Logger) (server.Audit, *logging.File, error) {
	audit := server.Audit{Detailed: cfg.Detailed, Retention: time.Duration(cfg.Retention) * 24 * time.Hour}
	switch {
	case !cfg.Enabled:
		return audit, nil, nil
	case cfg.Path == "":
		audit.Log = log
		return audit, nil, nil
	}
	file, err := logging.OpenFile(cfg.Path)
	if err != nil {
		return server.Audit{}, nil, err
	}
	audit.Log = logging.New(file, cfg.Format)
	return audit, file, nil
}

// commandAudit is the audit log of a command that changes the database beside a server.
type commandAudit struct {
	log  *slog.Logger
	file *logging.File
	err  error // of writing
}

// openCommandAudit opens the file of the audit log. Without one, nothing is written: the log of a command is for those
// who ran it.
func openCommandAudit(cfg config.Audit) (*commandAudit, error) {
	if cfg.Path == "" {
		cfg.Enabled = false
	}
	audit, file, err := openAudit(cfg, nil)
	return &commandAudit{log: audit.Log, file: file}, err
}

// write writes a line with the account of the operating system that ran the command, and the outcome.
func (a *commandAudit) write(ctx context.Context, action string, result error, attrs ...slog.Attr) {
	if a.log == nil {
		return
	}
	account := ""
	if current, err := user.Current(); err == nil {
		account = current.Username
	}
	outcome := "ok"
	if result != nil {
		outcome = "failed"
	}
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "audit", 0)
	record.AddAttrs(slog.String("who", "command"), slog.String("account", account), slog.String("action", action))
	record.AddAttrs(attrs...)
	record.AddAttrs(slog.String("outcome", outcome))
	a.err = a.log.Handler().Handle(ctx, record)
}

// close closes the file, and returns what has failed.
func (a *commandAudit) close() error {
	if a.file == nil {
		return nil
	}
	return errors.Join(a.err, a.file.Close())
}
