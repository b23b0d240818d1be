package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"

	"gatehouse/internal/config"
	"gatehouse/internal/remoteaddr"
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

// clientLines is a handler for what net/http logs. Nearly all of it is what any client can cause, as often as it likes,
// and a frame of HTTP/2 can put kilobytes into a line: lines are bounded in length and, with what else a client without
// a credential causes, in number. A failed handshake has the level debug.
type clientLines struct {
	slog.Handler

	listed func(client netip.Prefix) bool
}

// maxClientLine is the length of a message in bytes. What is cut off are the bytes that a client has sent.
const maxClientLine = 300

// Handle implements slog.Handler.
func (h clientLines) Handle(ctx context.Context, record slog.Record) error {
	if strings.HasPrefix(record.Message, "http: TLS handshake error") {
		record.Level = slog.LevelDebug
	}
	if !h.Enabled(ctx, record.Level) || !h.listed(clientOf(record.Message)) {
		return nil
	}
	if len(record.Message) > maxClientLine {
		record.Message = strings.ToValidUTF8(record.Message[:maxClientLine], "") + "…"
	}
	return h.Handler.Handle(ctx, record)
}

// addressInLine is the address in most messages of net/http.
var addressInLine = regexp.MustCompile(` from (?:client )?(\S+?):? `)

// clientOf returns the client that a message of net/http is about. The zero value stands for all that are not named.
func clientOf(message string) netip.Prefix {
	found := addressInLine.FindStringSubmatch(message + " ")
	if found == nil {
		return netip.Prefix{}
	}
	address, err := netip.ParseAddrPort(found[1])
	if err != nil {
		return netip.Prefix{}
	}
	return remoteaddr.Network(address.Addr().Unmap())
}
