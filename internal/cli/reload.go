package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"gatehouse/internal/config"
	"gatehouse/internal/logging"
	"gatehouse/server"
)

// reloader does what SIGHUP asks for: it reads the secrets and the certificates again that are in files, and opens the
// files of the log and of the audit log again, which may have been renamed.
type reloader struct {
	cfg          *config.Config // nothing else uses it after the start
	settings     config.Settings
	server       *server.Server
	clients      gatewayClients
	database     *database
	logFiles     []*logging.File
	certificates certificates
	log          *slog.Logger
}

// notifyHangups returns a channel that receives SIGHUP, which does not end the program until stop is called. A signal
// that arrives during the start is handled after it.
func notifyHangups() (hangups <-chan os.Signal, stop func()) {
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	return received, func() { signal.Stop(received) }
}

// run reloads with each signal until ctx ends.
func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.reload()
		}
	}
}

func (r *reloader) reload() {
	for _, file := range r.logFiles {
		if err := file.Reopen(); err != nil {
			r.log.Error("reopen log file failed, writing to the file that is open", "err", err)
		}
	}
	r.certificates.reload(r.log)
	if err := r.reloadSecrets(); err != nil {
		r.log.Error("reload secrets failed, using those from before", "err", err)
		return
	}
	r.log.Info("reloaded")
}

// reloadSecrets replaces all secrets, or none if it returns an error.
func (r *reloader) reloadSecrets() error {
	before := *r.cfg
	secrets, err := r.readSecrets()
	if err != nil {
		*r.cfg = before
		return err
	}
	if err := r.database.reload(r.cfg.Database); err != nil {
		*r.cfg = before
		return err
	}
	warnOfWeakSecrets(r.cfg, secrets, r.log)
	r.server.SetSecrets(secrets.ofServer())
	r.clients.control.SetSecret(string(r.cfg.Gateway.Secret))
	r.clients.redis.SetSecrets(string(r.cfg.Redis.Password), secrets.signingNotices())
	return nil
}

// readSecrets reads the files of secrets into the configuration, and returns the secrets that clients need.
func (r *reloader) readSecrets() (secrets, error) {
	if err := r.settings.ReadFiles(); err != nil {
		return secrets{}, err
	}
	if err := r.cfg.Resolve(); err != nil {
		return secrets{}, err
	}
	return reloadSecrets(r.cfg.Server)
}
