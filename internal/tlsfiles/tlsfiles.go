// Package tlsfiles uses certificates that are in files, and notices when the files are replaced: connections that are
// made from then on use the new certificates, those that there are stay.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often files are looked at. It is short for people who wait for it, and rare for a few calls of
// stat. Notifications of the file system would not tell when a mounted secret or a file on a network changes.
const pollInterval = 2 * time.Second

// Pair are the files of a certificate, with its chain, and of its private key, as PEM. They may be one file.
type Pair struct{ Certificate, Key string }

// Certificates are certificates in files. Their methods may be called concurrently.
type Certificates struct {
	pairs  []Pair
	loaded atomic.Pointer[[]tls.Certificate]
	mu     sync.Mutex // guards seen, while files are read
	seen   []fileState
}

// fileState is what changes with a file, also with one that a link leads to.
type fileState struct {
	info os.FileInfo // nil if there is no file
}

func (s fileState) same(other fileState) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return os.SameFile(s.info, other.info) && s.info.ModTime().Equal(other.info.ModTime()) &&
		s.info.Size() == other.info.Size()
}

// Load reads certificates. It returns an error that names the file if one cannot be used.
func Load(pairs []Pair) (*Certificates, error) {
	c := &Certificates{pairs: pairs}
	return c, c.Reload()
}

// Reload reads the files again. If one cannot be used, the certificates stay as they are.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reload(c.states())
}

// reload reads the files, whose state is states. c.mu must be held.
func (c *Certificates) reload(states []fileState) error {
	c.seen = states // also of files that cannot be used, so that they are reported once
	all := make([]tls.Certificate, 0, len(c.pairs))
	for _, pair := range c.pairs {
		one, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
			return fmt.Errorf("read certificate: %w", err)
		}
		if err != nil {
			return fmt.Errorf("read certificate: %s, %s: %w", pair.Certificate, pair.Key, err)
		}
		all = append(all, one)
	}
	c.loaded.Store(&all)
	return nil
}

// states returns the states of all files.
func (c *Certificates) states() (states []fileState) {
	for _, pair := range c.pairs {
		for _, path := range []string{pair.Certificate, pair.Key} {
			info, err := os.Stat(path)
			if err != nil {
				info = nil
			}
			states = append(states, fileState{info})
		}
	}
	return states
}

// Watch reads files again when they have changed, until ctx ends.
func (c *Certificates) Watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.reloadChanged(log)
		}
	}
}

func (c *Certificates) reloadChanged(log *slog.Logger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	states := c.states()
	if slices.EqualFunc(states, c.seen, fileState.same) {
		return
	}
	if err := c.reload(states); err != nil {
		log.Error("certificate has changed and cannot be used, using the one from before", "err", err)
		return
	}
	c.Log(log)
}

// Log logs what the certificates are for and until when they are valid; it warns of those that have expired.
func (c *Certificates) Log(log *slog.Logger) {
	for i, each := range *c.loaded.Load() {
		attributes := []any{
			"file", c.pairs[i].Certificate, "subject", each.Leaf.Subject.String(), "names", each.Leaf.DNSNames,
			"not_after", each.Leaf.NotAfter,
		}
		if time.Now().After(each.Leaf.NotAfter) {
			log.Warn("certificate has expired", attributes...)
			continue
		}
		log.Info("certificate loaded", attributes...)
	}
}

// Leaves returns the certificates, without their chains, by the pairs of files that they are in.
func (c *Certificates) Leaves() iter.Seq2[Pair, *x509.Certificate] {
	return func(yield func(Pair, *x509.Certificate) bool) {
		for i, each := range *c.loaded.Load() {
			if !yield(c.pairs[i], each.Leaf) {
				return
			}
		}
	}
}

// ForServer is the GetCertificate of a server. It returns the first certificate that suits the client, or the first.
func (c *Certificates) ForServer(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *c.loaded.Load()
	for i := range all {
		if hello.SupportsCertificate(&all[i]) == nil {
			return &all[i], nil
		}
	}
	return &all[0], nil
}

// ForClient is the GetClientCertificate of a client. It returns the first certificate.
func (c *Certificates) ForClient(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &(*c.loaded.Load())[0], nil
}

// pool returns the certificates of a PEM file as those of authorities.
func pool(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates of authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("read certificates of authorities: %s has none", path)
	}
	return pool, nil
}

// Client is how a client verifies a server, and what it authenticates with.
type Client struct {
	// CAFile has the certificates of the authorities that may have issued that of the server; "" are the machine's.
	CAFile string
	// CertFile and KeyFile are the certificate of the client; "" is none.
	CertFile, KeyFile string
	// MinVersion is the least version of TLS; 0 is 1.2.
	MinVersion uint16
	// Insecure accepts every certificate.
	Insecure bool
}

// Config returns the configuration of TLS, and the certificates of the client, which are nil if it has none.
func (c Client) Config() (*tls.Config, *Certificates, error) {
	cfg := &tls.Config{
		MinVersion:         max(c.MinVersion, tls.VersionTLS12),
		InsecureSkipVerify: c.Insecure, //nolint:gosec // as configured
	}
	var err error
	if c.CAFile != "" {
		if cfg.RootCAs, err = pool(c.CAFile); err != nil {
			return nil, nil, err
		}
	}
	if c.CertFile == "" {
		return cfg, nil, nil
	}
	certificates, err := Load([]Pair{{Certificate: c.CertFile, Key: c.KeyFile}})
	if err != nil {
		return nil, nil, err
	}
	cfg.GetClientCertificate = certificates.ForClient
	return cfg, certificates, nil
}
