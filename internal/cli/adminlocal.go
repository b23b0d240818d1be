package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"gatehouse/client"
	"gatehouse/internal/config"
	"gatehouse/server"
)

// localFlags are the flags of commands that call a server or, with --local, work on its database.
type localFlags struct {
	*adminFlags

	local bool
	std   Streams
}

// addLocalFlags adds the flags to a command, and the settings of the server.
func addLocalFlags(cmd *cobra.Command, cfg *config.Config, std Streams) *localFlags {
	f := &localFlags{std: std}
	cmd.Flags().BoolVar(&f.local, "local", false,
		"Work on the database of these settings, without a server and its admin secret. A server may run beside it.")
	f.adminFlags = addAdminFlags(cmd, cfg)
	return f
}

// with calls fn with a client of the server that the flags name; with --local, of one that runs until fn returns.
func (f *localFlags) with(ctx context.Context, fn func(*client.ClientWithResponses) error) error {
	if f.local {
		return f.withLocal(ctx, fn)
	}
	server, err := f.server()
	if err != nil {
		return fmt.Errorf("%w (--local needs none)", err)
	}
	server.hint = " (--local works without a server)"
	c, err := server.client()
	if err != nil {
		return err
	}
	return fn(c)
}

func (f *localFlags) withLocal(ctx context.Context, fn func(*client.ClientWithResponses) error) (err error) {
	if f.url != "" || f.secretFile != "" || f.caFile != "" {
		return usage(errors.New("--local calls no server: it excludes --url, --secret-file and --ca-file"))
	}
	local := &localServer{}
	defer func() { err = errors.Join(err, local.close()) }()
	if err := local.start(ctx, f); err != nil {
		return err
	}
	c, err := local.server.client()
	if err != nil {
		return err
	}
	return fn(c)
}

// localServer is a server within the program. It has the checks and the audit log of every other, no address, and an
// admin secret that nothing else knows.
type localServer struct {
	server adminServer
	// ending ends what was started, in the order of the starts.
	ending []func() error
}

// close ends what was started, last first.
func (l *localServer) close() error {
	var errs []error
	for _, end := range slices.Backward(l.ending) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// start opens the database and serves it. close has to be called afterwards, after an error, too.
func (l *localServer) start(ctx context.Context, f *localFlags) error {
	limitMemory()
	cfg := f.settings.cfg
	if err := f.settings.loadLocal(); err != nil {
		return err
	}
	if err := requireDatabase(cfg); err != nil {
		return err
	}
	loadContract := server.Prepare() // in the background, while Postgres starts
	defer func() { _, _ = loadContract() }()
	log := commandLog(cfg.Log, f.std)
	files, err := l.openFiles(cfg, log)
	if err != nil {
		return err
	}
	db, err := openRunning(ctx, cfg, log)
	if err != nil {
		return err
	}
	l.ending = append(l.ending, func() error { return db.close(ctx) })
	clients, err := newGatewayClients(cfg, files.secrets)
	if err != nil {
		return err
	}
	l.ending = append(l.ending, clients.redis.Close)
	serverConfig := serverConfigOf(cfg, files)
	serverConfig.Store, serverConfig.Log, serverConfig.Gateway, serverConfig.Redis =
		db.store, log, clients.control, clients.redis
	serverConfig.UnloggedRequests = 1 // the user sees what becomes of the only one
	handler, err := newHandler(serverConfig, loadContract)
	if err != nil {
		return err
	}
	l.server = adminServer{
		url: "http://local", secret: files.secrets.admin.Value, timeout: f.timeout, transport: l.serve(ctx, handler),
	}
	return nil
}

// loadLocal reads what a server reads before it starts, without the secrets of its clients: one of them may be lost.
func (s *settings) loadLocal() (err error) {
	ofClients := []string{
		"admin-secret", "admin-secret-file", "second-admin-secret", "second-admin-secret-file",
		"node-secret", "node-secret-file", "second-node-secret", "second-node-secret-file",
	}
	others := slices.DeleteFunc(slices.Clone(s.Settings), func(each *config.Setting) bool {
		return slices.Contains(ofClients, each.Flag.Name)
	})
	if err := others.ReadFiles(); err != nil {
		return err
	}
	if s.unused, err = s.Unused(os.Environ(), s.file); err != nil {
		return err
	}
	return s.cfg.Resolve()
}

// openFiles opens the audit log, and makes secrets that are valid until the program ends.
func (l *localServer) openFiles(cfg *config.Config, log *slog.Logger) (f files, err error) {
	f.secrets.admin.Value, f.secrets.node.Value = config.Secret(rand.Text()), config.Secret(rand.Text())
	if f.security, err = securityOf(cfg.Security); err != nil {
		return f, err
	}
	audit, file, err := openAudit(cfg.Audit, log)
	if err != nil {
		return f, err
	}
	if file != nil {
		l.ending = append(l.ending, file.Close)
	}
	f.audit = audit
	return f, nil
}

// serve serves the requests that are sent with the transport that it returns.
func (l *localServer) serve(ctx context.Context, handler *server.Server) *http.Transport {
	listener := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	transport := &http.Transport{DialContext: listener.dial}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(listener) }) // it returns when web is closed
	l.ending = append(l.ending, func() error {
		transport.CloseIdleConnections()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err := web.Shutdown(stopping)
		serving.Wait()
		handler.FlushAudit(ctx)
		return err
	})
	return transport
}

// pipeListener is a net.Listener for connections within the program.
type pipeListener struct {
	connections chan net.Conn
	once        sync.Once
	closed      chan struct{}
}

// dial connects to the listener.
func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.connections <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.connections:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "local", Net: "pipe"} }
