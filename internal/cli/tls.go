package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"

	"gatehouse/internal/config"
	"gatehouse/internal/tlsfiles"
)

// serverTLS returns how the server is reached with TLS, and its certificates; nil if it is reached without. It logs
// until when the certificates are valid.
func serverTLS(cfg config.TLS, log *slog.Logger) (*tls.Config, certificates, error) {
	if !cfg.Enabled {
		return nil, nil, nil
	}
	var pairs []tlsfiles.Pair
	for _, each := range cfg.Certificates {
		pairs = append(pairs, tlsfiles.Pair{Certificate: each.Cert, Key: each.Key})
	}
	loaded, err := tlsfiles.Load(pairs)
	if err != nil {
		return nil, nil, fmt.Errorf("--tls-certificate (TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES): %w", err)
	}
	negotiated := cfg.Config()
	negotiated.GetCertificate = loaded.ForServer
	return negotiated, certificates(nil).with(log, loaded), nil
}

// certificates are those in files that are read again when they change.
type certificates []*tlsfiles.Certificates

// with returns c and others, and logs until when the others are valid.
func (c certificates) with(log *slog.Logger, others ...*tlsfiles.Certificates) certificates {
	for _, each := range others {
		each.Log(log)
	}
	return append(c, others...)
}

// reload reads all files again. Certificates whose files cannot be used stay as they are.
func (c certificates) reload(log *slog.Logger) {
	for _, each := range c {
		if err := each.Reload(); err != nil {
			log.Error("reload certificate failed, using the one from before", "err", err)
			continue
		}
		each.Log(log)
	}
}

// handshakes is a handler for what net/http logs. Any client can have a handshake fail, as often as it likes: such
// lines have the level debug.
type handshakes struct{ slog.Handler }

// Handle implements slog.Handler.
func (h handshakes) Handle(ctx context.Context, record slog.Record) error {
	if strings.HasPrefix(record.Message, "http: TLS handshake error") {
		record.Level = slog.LevelDebug
	}
	if !h.Enabled(ctx, record.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}
