package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/contract"
	"gatehouse/internal/config"
	"gatehouse/internal/logging"
	"gatehouse/internal/remoteaddr"
	"gatehouse/internal/tracing"
	"gatehouse/server"
)

// Timeouts of requests. From the shortest to the longest: headerTimeout < idleTimeout < requestTimeout.
const (
	// headerTimeout limits how long a client may take to send the headers of a request.
	headerTimeout = 10 * time.Second
	// idleTimeout ends unused connections. It is longer than the 90 s after which Go's clients end theirs, so that a
	// client does not reuse a connection that the server is about to end.
	idleTimeout = 2 * time.Minute
	// requestTimeout limits a request with its response. Bodies and lists, which may take longer, extend it as long as
	// the client keeps up the pace of --body-timeout.
	requestTimeout = 10 * time.Minute
	// maxHeaderBytes is what Node.js accepts by default, and more than any client is known to send. A connection that has
	// not sent all headers of a request holds up to three times as much.
	maxHeaderBytes = 16 << 10
)

// unauthenticatedLines is the number of requests without a valid credential that the logs list of an address a minute.
// It is above what health checks and gateways with an outdated secret send. At most, an address causes 1 KB of lines a
// second.
const unauthenticatedLines = 120

// Timeouts of a stop. Supervisors such as systemd and Kubernetes kill a program 30 s or more after they asked it to
// stop. drainTimeout, postgresStopTimeout and the 8 s that postgres allows for an immediate shutdown add up to
// 29 s. If the database does not answer, requests will not succeed: the 2 s to find that out, hungDrainTimeout, 3 s to
// give up the connections, hungStopTimeout and the 8 s add up to 18 s.
const (
	// drainTimeout limits how long requests in progress may run on.
	drainTimeout = 15 * time.Second
	// strangersTimeout is drainTimeout for requests that are not authenticated, which take milliseconds unless somebody
	// holds the server up.
	strangersTimeout = 2 * time.Second
	// postgresStopTimeout limits the regular shutdown of the private Postgres, which writes a checkpoint.
	postgresStopTimeout = 6 * time.Second
	// hungDrainTimeout and hungStopTimeout are drainTimeout and postgresStopTimeout if the database does not answer.
	hungDrainTimeout = 4 * time.Second
	hungStopTimeout  = time.Second
)

// newServe returns the command serve.
func newServe(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server. Ctrl-C stops it.",
		Long: `Without settings, the server listens on 127.0.0.1:3000 and starts a private Postgres in the data
directory. At its first start it generates the admin secret and the node secret, and prints them
once.

SIGHUP has the server read the files of secrets again (--admin-secret-file, …, and those in the
data directory), and open the files of the log and of the audit log again. Requests go on meanwhile.`,
		Example: `  gatehouse serve
  gatehouse serve --listen :8080 --database-url postgres://gatehouse@db.example/gatehouse`,
	}
	settings := addSettings(cmd, &cfg)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := serve(cmd.Context(), &cfg, settings, std)
		if err == nil {
			fmt.Fprintln(std.Out, "gatehouse stopped")
		}
		return err
	}
	return cmd
}

// serve serves requests until ctx ends, which is a success, or until a part fails for good.
func serve(ctx context.Context, cfg *config.Config, settings *settings, std Streams) (err error) {
	hangups, stop := notifyHangups()
	defer stop()
	followConnections := limitMemory()
	if err := cfg.Resolve(); err != nil {
		return err
	}
	loadContract := server.Prepare()         // in the background, while Postgres starts
	defer func() { _, _ = loadContract() }() // nothing outlives this function
	files, err := openFiles(ctx, cfg, std.Log)
	defer func() { err = errors.Join(err, files.close(ctx)) }()
	if err != nil {
		return err
	}
	log := files.logs.log
	settings.logSources(log)
	listeners, err := listen(cfg.Server) // before Postgres starts: a port in use is the likeliest failure
	if err != nil {
		return err
	}
	defer listeners.close()
	db, err := openDatabase(ctx, cfg, log, files.traces.Tracer())
	if err != nil {
		return unlessInterrupted(ctx, log, err)
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	return (&program{
		cfg: cfg, settings: settings.Settings, files: files, database: db, loadContract: loadContract, hangups: hangups,
		followConnections: followConnections,
	}).serve(ctx, listeners, std.Out)
}

// program is what a server is made of when its database is there.
type program struct {
	cfg          *config.Config
	settings     config.Settings
	files        files
	database     *database
	loadContract func() (*contract.Contract, error)
	hangups      <-chan os.Signal
	// followConnections is what limitMemory returns.
	followConnections func(connections int)
}

// serve connects the parts, announces the server on out, and serves requests until ctx ends or a part fails for good.
func (p *program) serve(ctx context.Context, listeners listeners, out io.Writer) (err error) {
	log := p.files.logs.log
	clients, err := newGatewayClients(p.cfg, p.files.secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	defer p.files.traces.BeginFlush(ctx) // while the database stops
	serverConfig := serverConfigOf(p.cfg, p.files)
	serverConfig.Store, serverConfig.Log, serverConfig.Gateway, serverConfig.Redis =
		p.database.store, log, clients.control, clients.redis
	p.database.logPendingUpgrade(log)
	handler, err := newHandler(serverConfig, p.loadContract)
	if err != nil {
		return err
	}
	certificates := p.files.certificates.with(log, clients.certificates...)
	p.announce(out, listeners)
	reloads := &reloader{
		cfg: p.cfg, settings: p.settings, server: handler, clients: clients, database: p.database,
		logFiles: p.files.opened, certificates: certificates, log: log,
	}
	return (&service{
		sites: listeners.sites(handler, siteConfig{
			cfg: p.cfg, tls: p.files.tls, listed: handler.Lists, opened: p.followConnections, log: log,
		}),
		handler: handler, database: p.database, certificates: certificates, log: log,
		reload:    func(ctx context.Context) { reloads.run(ctx, p.hangups) },
		stopDelay: p.cfg.Server.StopDelay,
	}).run(ctx)
}

// files are what the server reads of files, or writes to, other than Postgres.
type files struct {
	secrets  secrets
	security server.Security
	audit    server.Audit
	logs     logs
	// tls is how the server is reached; nil without TLS.
	tls *tls.Config
	// certificates are those of the server.
	certificates certificates
	// opened are the files of the log and of the audit log, those that there are.
	opened []*logging.File
	traces *tracing.Traces
}

// openFiles reads the secrets, the certificates and the rules for passwords, and opens the log, which is on standard
// unless it has a file, the audit log, and what sends traces. What it returns has to be closed, also after an error.
func openFiles(ctx context.Context, cfg *config.Config, standard io.Writer) (f files, err error) {
	if f.logs, err = openLogs(cfg.Log, standard); err != nil {
		return f, err
	}
	if f.logs.file != nil {
		f.opened = append(f.opened, f.logs.file)
	}
	if f.traces, err = tracing.Start(ctx, Version(), f.logs.log); err != nil {
		return f, err
	}
	f.logs.log, f.logs.all = f.traces.WithIDs(f.logs.log), f.traces.WithIDs(f.logs.all)
	if f.security, err = securityOf(cfg.Security); err != nil {
		return f, err
	}
	if f.tls, f.certificates, err = serverTLS(cfg.TLS, f.logs.log); err != nil {
		return f, err
	}
	if f.secrets, err = loadSecrets(cfg.Server); err != nil {
		return f, err
	}
	warnOfWeakSecrets(cfg, f.secrets, f.logs.log)
	if cfg.Security.Bootstrap {
		f.logs.log.Warn("POST /bootstrap is switched on, the first client creates the administrator",
			"setting", "--bootstrap")
	}
	audit, auditFile, err := openAudit(cfg.Audit, f.logs.all)
	if auditFile != nil {
		f.opened = append(f.opened, auditFile)
		audit.Log = f.traces.WithIDs(audit.Log)
	}
	f.audit = audit
	return f, err
}

// urlOf returns the URL of the server at a listener.
func (f files) urlOf(l net.Listener) string {
	if f.tls != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func (f files) close(ctx context.Context) error {
	f.traces.Close(ctx)
	var errs []error
	for _, file := range f.opened {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// serverConfigOf returns the configuration of a server, without what it works with.
func serverConfigOf(cfg *config.Config, files files) server.Config {
	secrets := files.secrets.ofServer()
	return server.Config{
		Now: time.Now, Version: Version(),
		AdminSecret: secrets.Admin, SecondAdminSecret: secrets.SecondAdmin,
		NodeSecret: secrets.Node, SecondNodeSecret: secrets.SecondNode,
		Security: files.security, Audit: files.audit, UnloggedRequests: 1 - cfg.Log.Requests,
		Tracer:   files.traces.Tracer(),
		PageSize: cfg.Server.PageSize, Docs: cfg.Server.Docs, Console: cfg.Server.Console,
		CheckResponses: server.ResponseCheck(cfg.Server.CheckResponses), AllowUnknownOAS: cfg.Server.AllowUnknownOAS,
		AllowSharedPaths: cfg.Server.EnableDuplicateSlugs, GatewayDomains: cfg.Server.GatewayDomains,
		Limits: server.Limits{
			Import: cfg.Limits.MaxImport, Document: cfg.Limits.MaxDocument, Depth: cfg.Limits.MaxDepth,
			NodeCache: cfg.Limits.NodeCache, BodyTimeout: cfg.Limits.BodyTimeout, UnauthenticatedLines: unauthenticatedLines,
			WrongCredentials: cfg.Limits.MaxWrongCredentials, WrongPasswords: cfg.Limits.MaxWrongPasswords,
		},
		SpoolDir: cfg.Limits.SpoolDir, SeparateDiagnostics: cfg.Server.AdminListen != "",
		BasePath: cfg.Server.BasePath, TrustedProxies: remoteaddr.Proxies(cfg.Server.TrustedProxies),
	}
}

// newHandler returns a server with the contract that is being loaded.
func newHandler(cfg server.Config, load func() (*contract.Contract, error)) (*server.Server, error) {
	loaded, err := load()
	if err != nil {
		return nil, err
	}
	cfg.Contract = loaded
	return server.New(cfg)
}

// unlessInterrupted returns the error that a start has ended with, unless that is because its context has. That is what
// the user asked for, and no error: only what else went wrong is logged as one.
func unlessInterrupted(ctx context.Context, log *slog.Logger, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if err := withoutCanceled(err); err != nil {
		log.Warn("start interrupted, cleanup failed", "err", err)
		return nil
	}
	log.Info("start interrupted")
	return nil
}

// withoutCanceled returns the errors in err that are not about a context that was canceled; nil if there are none.
func withoutCanceled(err error) error {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		var rest []error
		for _, each := range several.Unwrap() {
			rest = append(rest, withoutCanceled(each))
		}
		return errors.Join(rest...)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce prints what the user needs to reach the server. It writes all lines at once, so that a program that waits
// for one of them can read the others, too.
func (p *program) announce(w io.Writer, listeners listeners) {
	secrets, out := p.files.secrets, new(bytes.Buffer)
	fmt.Fprintf(out, "gatehouse listens on %s\n", p.files.urlOf(listeners.main))
	fmt.Fprintf(out, "data is in %s\n", p.database.description)
	fmt.Fprintf(out, "admin secret: %s\n", describe(secrets.admin))
	if secrets.node.Generated { // only those who run gateways need it, and once is enough for them
		fmt.Fprintf(out, "node secret: %s\n", describe(secrets.node))
	}
	if p.cfg.Server.Console {
		fmt.Fprintf(out, "the console is on %s/console; sign in as an operator, with the admin secret\n",
			p.files.urlOf(listeners.main))
	}
	if listeners.diagnostics != nil {
		fmt.Fprintf(out, "metrics and profiles are on %s\n", p.files.urlOf(listeners.diagnostics))
	}
	_, _ = out.WriteTo(w)
}

func describe(secret config.StoredSecret) string {
	switch {
	case secret.Generated:
		return fmt.Sprintf("%s (stored in %s; not printed again)", string(secret.Value), secret.Path)
	case secret.Path != "":
		return "stored in " + secret.Path
	}
	return "as configured"
}

// service is the running server.
type service struct {
	sites        []*site
	handler      *server.Server
	database     *database
	certificates certificates
	// reload reloads with each SIGHUP until ctx ends.
	reload func(ctx context.Context)
	// stopDelay is --stop-delay.
	stopDelay time.Duration
	log       *slog.Logger
}

// run serves requests until ctx ends, the database fails or the listener does. Then it lets the requests in progress
// finish. It returns when everything that it started has ended.
func (s *service) run(ctx context.Context) error {
	serving := make(chan error, len(s.sites))
	var listening, background sync.WaitGroup
	defer listening.Wait()
	for _, each := range s.sites {
		listening.Go(func() { serving <- each.serve() })
	}
	// After Serve, because gateways that are notified of a change fetch it immediately.
	backgroundCtx, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	background.Go(func() { s.handler.Run(backgroundCtx) })
	background.Go(func() { s.reload(backgroundCtx) })
	for _, each := range s.certificates {
		background.Go(func() { each.Watch(backgroundCtx, s.log) })
	}

	var failure error
	select {
	case <-ctx.Done():
		s.handler.PrepareStop()
		failure = s.delayStop(serving)
	case failure = <-s.database.failed:
	case failure = <-serving:
	}
	stopBackground()
	timeout := drainTimeout
	// ctx may have ended, which is the reason to drain and must not cut it short.
	stopping := context.WithoutCancel(ctx)
	if !s.database.answers(stopping) {
		timeout = hungDrainTimeout
	}
	drainCtx, cancel := context.WithTimeout(stopping, timeout)
	defer cancel()
	background.Wait()
	if failure == nil {
		s.handler.Drain(drainCtx)
	}
	defer s.handler.SummariseLines()
	defer s.handler.FlushAudit(stopping)
	return errors.Join(failure, s.shutDown(drainCtx, timeout))
}

// delayStop serves on for stopDelay, unless the database or the listener fails.
func (s *service) delayStop(serving <-chan error) error {
	if s.stopDelay <= 0 {
		return nil
	}
	s.log.Info("stopping after a delay, in which requests are served", "delay", s.stopDelay)
	select {
	case <-time.After(s.stopDelay):
		return nil
	case failure := <-s.database.failed:
		return failure
	case failure := <-serving:
		return failure
	}
}

// shutDown shuts all sites down at the same time.
func (s *service) shutDown(ctx context.Context, timeout time.Duration) error {
	errs := make([]error, len(s.sites))
	var stopping sync.WaitGroup
	for i, each := range s.sites {
		stopping.Go(func() { errs[i] = each.shutDown(ctx, timeout) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}
