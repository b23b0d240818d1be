package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/client"
	"gatehouse/internal/config"
	"gatehouse/internal/remote"
	"gatehouse/internal/tlsfiles"
)

const (
	// connectTimeout limits how long a connection to a server takes, and the TLS handshake on it.
	connectTimeout = 10 * time.Second
	// progressTimeout is the default of --timeout. It is longer than the minute that a step of an import or a list may
	// take on the server.
	progressTimeout = 2 * time.Minute
)

// adminFlags are the flags of commands that call the admin API of a server.
type adminFlags struct {
	url, secretFile, caFile string
	timeout                 time.Duration
	settings                *settings
}

// addAdminFlags adds the flags to a command, and the settings of the server, which the defaults come from.
func addAdminFlags(cmd *cobra.Command, cfg *config.Config) *adminFlags {
	var f adminFlags
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "URL of the server. Default: where a server with these settings listens.")
	flags.StringVar(&f.secretFile, "secret-file", "",
		"File that contains the admin secret of the server. Default: the admin secret of these settings.")
	flags.StringVar(&f.caFile, "ca-file", "", "Certificates of the authorities that may have issued that of the server, "+
		"as PEM. Default: without --url, the server's own certificate is expected; otherwise those of the machine.")
	addTimeoutFlag(cmd, &f.timeout)
	f.settings = addSettings(cmd, cfg)
	// The command needs the address and the admin secret only. It does not read the files of other secrets, which its
	// account may not be allowed to read, and does not validate the other settings, which the server does.
	cmd.PreRunE = func(*cobra.Command, []string) error { return f.settings.loadValues() }
	return &f
}

// addTimeoutFlag adds the flag for adminServer.timeout.
func addTimeoutFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "timeout", progressTimeout,
		"Maximum time for which the server sends and receives nothing during a request.")
}

// client returns a client of the server that the flags name.
func (f *adminFlags) client() (*client.ClientWithResponses, error) {
	server, err := f.server()
	if err != nil {
		return nil, err
	}
	return server.client()
}

// server returns the server that the flags name.
func (f *adminFlags) server() (server adminServer, err error) {
	server = adminServer{url: f.url, caFile: f.caFile, timeout: f.timeout}
	cfg := f.settings.cfg
	if f.url == "" || f.secretFile == "" {
		if err := cfg.Resolve(); err != nil {
			return server, err
		}
	}
	if f.url == "" {
		address, err := reachable(cfg.Server.Address())
		if err != nil {
			return server, fmt.Errorf("%w: set --url", err)
		}
		server.url = "http://" + address
		if cfg.TLS.Enabled {
			server.url, server.certificates = "https://"+address, cfg.TLS.Certificates
		}
	}
	if f.secretFile != "" {
		server.secretFrom = f.secretFile
		server.secret, err = config.ReadSecretFile(f.secretFile)
		return server, err
	}
	server.secret, server.secretFrom, err = f.adminSecret()
	if err != nil {
		err = fmt.Errorf("the admin secret is not known, set --secret-file: %w", err)
	}
	return server, err
}

// adminSecret returns the admin secret of the settings, and where it comes from.
func (f *adminFlags) adminSecret() (secret config.Secret, from string, err error) {
	var own config.Settings
	for _, each := range f.settings.Settings {
		if name := each.Flag.Name; name == "admin-secret" || name == "admin-secret-file" {
			own = append(own, each)
		}
	}
	if err := own.ReadFiles(); err != nil {
		return "", "", err
	}
	cfg := f.settings.cfg.Server
	stored, err := config.ReloadSecret(cfg.AdminSecret, cfg.DataDir, adminSecretFile)
	if stored.Path != "" {
		return stored.Value, stored.Path, err
	}
	return stored.Value, own.Name("admin-secret"), err
}

// adminServer is a server of the admin API, gatehouse or another.
type adminServer struct {
	url    string
	secret config.Secret
	// secretFrom says in messages where the secret comes from.
	secretFrom string
	// caFile has the certificates of the authorities; "" are the machine's.
	caFile string
	// certificates are the server's own, one of which it must have; nil if it is verified by authorities and its name.
	certificates config.Certificates
	// timeout limits the time without any progress of a request.
	timeout time.Duration
	// hint is added to the error for a server that does not answer.
	hint string
	// transport is how the server is called; nil is HTTP.
	transport http.RoundTripper
}

// client returns a client of the server. Its calls return a *replyError for each response that is no success, so that
// JSON200 is set whenever there is no error.
func (s adminServer) client() (*client.ClientWithResponses, error) {
	web, err := s.web()
	if err != nil {
		return nil, err
	}
	return s.clientOf(&adminDoer{s, web})
}

// plainClient returns a client of the server whose calls return every response.
func (s adminServer) plainClient() (*client.ClientWithResponses, error) {
	web, err := s.web()
	if err != nil {
		return nil, err
	}
	return s.clientOf(web)
}

func (s adminServer) clientOf(doer client.HttpRequestDoer) (*client.ClientWithResponses, error) {
	return client.New(s.url, client.WithAdminSecret(string(s.secret)), client.WithHTTPClient(doer))
}

// web returns what sends requests to the server.
func (s adminServer) web() (*http.Client, error) {
	parsed, err := url.Parse(s.url)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, fmt.Errorf("%q is no URL like http://127.0.0.1:3000", s.url)
	}
	transport := s.transport
	if transport == nil {
		if transport, err = s.dialled(); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Transport: transport,
		// A request to another place would have the credentials.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// dialled returns a transport that connects to the server.
func (s adminServer) dialled() (*http.Transport, error) {
	negotiated, _, err := tlsfiles.Client{CAFile: s.caFile}.Config()
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	if s.certificates != nil && s.caFile == "" {
		if err := expectCertificates(negotiated, s.certificates); err != nil {
			return nil, err
		}
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	return &http.Transport{
		Proxy:           http.ProxyFromEnvironment, // none for a loopback address
		TLSClientConfig: negotiated, TLSHandshakeTimeout: connectTimeout,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &steadyConn{conn, s.timeout}, nil
		},
	}, nil
}

// expectCertificates has a client accept the certificates in files, and no others. Their names are not those of the
// loopback address.
func expectCertificates(cfg *tls.Config, files config.Certificates) error {
	var expected [][]byte
	for _, each := range files {
		content, err := os.ReadFile(each.Cert)
		if err != nil {
			return fmt.Errorf("read the certificate of the server, set --ca-file: %w", err)
		}
		if block, _ := pem.Decode(content); block != nil {
			expected = append(expected, block.Bytes)
		}
	}
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		for _, each := range expected {
			if bytes.Equal(each, state.PeerCertificates[0].Raw) {
				return nil
			}
		}
		return errors.New("the server has another certificate than its settings name: set --ca-file")
	}
	return nil
}

// steadyConn is a connection that fails when nothing has been sent or received for some time.
type steadyConn struct {
	net.Conn

	timeout time.Duration
}

// Read implements io.Reader.
func (c *steadyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		err = c.extend()
	}
	return n, err
}

// Write implements io.Writer.
func (c *steadyConn) Write(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *steadyConn) extend() error { return c.SetDeadline(time.Now().Add(c.timeout)) }

// replyError is returned for a response that is no success.
type replyError struct {
	status int
	// message is that of the reply, with what it says about parts of the request; "" if the reply has none.
	message string
	// requestID finds the request in the server's log.
	requestID string
	// hint says what to do, if that is known.
	hint string
}

// Error implements error.
func (e *replyError) Error() string {
	text := fmt.Sprintf("the server replied %d %s", e.status, http.StatusText(e.status))
	if e.message != "" {
		text += ": " + e.message
	}
	if e.requestID != "" {
		text += fmt.Sprintf(" (request %s)", e.requestID)
	}
	return text + e.hint
}

// adminDoer sends the requests of a client. It implements client.HttpRequestDoer.
type adminDoer struct {
	server adminServer
	web    *http.Client
}

// Do implements client.HttpRequestDoer.
func (d *adminDoer) Do(request *http.Request) (*http.Response, error) {
	response, err := d.web.Do(request) //nolint:gosec // the operator names the server
	if ctx := request.Context(); err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx) // the user has interrupted the command
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("the server at %s does not answer: %w%s", d.server.url, failed.Err, d.server.hint)
	}
	if err != nil {
		return nil, err
	}
	response.Body = &replyBody{response.Body}
	if response.StatusCode < http.StatusMultipleChoices {
		return response, nil
	}
	defer response.Body.Close()
	return nil, d.errorOf(response)
}

// errorOf returns the error of a response that is no success.
func (d *adminDoer) errorOf(response *http.Response) error {
	message, err := remote.MessageOf(response)
	failed := &replyError{
		status: response.StatusCode, message: message,
		requestID: remote.Printable(response.Header.Get("X-Request-Id")),
	}
	if response.StatusCode == http.StatusUnauthorized && response.Request.Header.Get("Admin-Auth") != "" {
		failed.hint = ": the admin secret is from " + d.server.secretFrom
	}
	return errors.Join(failed, err)
}

// replyBody is the body of a response, whose errors say so.
type replyBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b *replyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("the response is not complete: %w", err)
	}
	return n, err
}
