// Command gatehouse serves the Tyk Dashboard Admin API from Postgres.
//
// The repository, in the order in which a request meets it:
//
//	openapi/    the contracts; everything else follows from them
//	gen/        types, routes and clients, generated from the contracts by `go generate` and never edited
//	main.go     parse, wire, run, stop
//	server/     HTTP: authentication, validation, one short handler an operation, answers
//	store/      Postgres: one file a table, SQL beside the function that runs it
//	migrations/ the schema
//	internal/   what the world outside needs: a Tyk Gateway's control API, a private Postgres, configuration
//
// Imports point down this list and never back.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"gatehouse/internal/apidef"
	"gatehouse/internal/config"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/internal/postgres"
	"gatehouse/server"
	"gatehouse/store"
)

const (
	// headerTimeout bounds the wait for a request's headers: slow ones would hold connections for nothing.
	headerTimeout = 10 * time.Second
	// requestTimeout bounds a request and its answer; bodies and lists, which may take longer, keep a pace (--body-timeout).
	requestTimeout = 10 * time.Minute
	// idleTimeout ends connections that nobody uses; longer than the 90 s after which Go's clients end theirs.
	idleTimeout = 2 * time.Minute
	// drainTimeout is how long requests may still run when the server stops; below the 30 s that supervisors allow.
	drainTimeout = 15 * time.Second
	// stopTimeout is how long the private Postgres may take to stop after that.
	stopTimeout = 10 * time.Second
	// maxHeader is more than any client sends, and keeps a header from filling the memory or the log.
	maxHeader = 64 << 10
)

// commands is the command line.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Start the server."`
	Keys    keysCommands   `cmd:"" help:"Organisation keys."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type keysCommands struct {
	Sync keysSyncCommand `cmd:"" help:"Tell the gateway every organisation key of the record, for example when its Redis was lost."`
}

type keysSyncCommand struct {
	config.Config `embed:""`
}

type serveCommand struct {
	config.Config `embed:""`
}

type versionCommand struct{}

// garbage is how much garbage may gather before it is collected, in percent of what is in use, unless GOGC says otherwise.
// What is in use is a few megabytes: collecting at each as many takes a tenth of a small request.
const garbage = 150

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program, with its streams and its exit status.
func run(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser, err := kong.New(&commands{}, kong.Name("gatehouse"), kong.Description("An open server for the Tyk Dashboard Admin API."),
		kong.UsageOnError(), kong.Writers(out, errs), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams{out, errs}))
	if err != nil {
		fmt.Fprintln(errs, "gatehouse:", err)
		return 2
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(errs, "gatehouse:", err)
		return 2
	}
	if err := command.Run(); err != nil {
		fmt.Fprintln(errs, "gatehouse:", err)
		return 1
	}
	return 0
}

// streams are where the program writes: out for the person who started it, errs for the log.
type streams struct{ out, errs io.Writer }

// Run implements kong's command.
func (versionCommand) Run(std streams) error {
	fmt.Fprintln(std.out, version())
	return nil
}

// version is the module's version, as far as the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// Run implements kong's command: it serves until ctx ends or something fails for good.
func (cmd *serveCommand) Run(ctx context.Context, std streams) (err error) {
	if err := cmd.Resolve(); err != nil {
		return err
	}
	loadContract := server.Prepare() // while the database starts
	defer func() { _, _ = loadContract() }()
	log, stopLog := newLog(std.errs, cmd.LogFormat)
	defer func() { err = errors.Join(err, stopLog()) }()
	if err := os.MkdirAll(cmd.DataDir, 0o711); err != nil { // others may pass through, to the private Postgres, but not look
		return fmt.Errorf("data directory: %w", err)
	}
	secrets, err := keptSecrets(cmd.Config)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmd.Listen) // first: a port that is taken is the commonest mistake
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	database, err := openDatabase(ctx, cmd.Config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.close(ctx)) }()
	contract, err := loadContract()
	if err != nil {
		return err
	}
	control, notices, err := gatewayClients(cmd.Config, secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notices.Close()) }()
	handler, err := server.New(server.Config{
		Contract: contract, Store: database.store, Gateway: control, Redis: notices, Log: log, Now: time.Now,
		AdminSecret: secrets.admin.Value, NodeSecret: secrets.node.Value, PageSize: cmd.PageSize, Version: version(),
		Limits: server.Limits{
			Import: cmd.MaxImport, Document: cmd.MaxDocument, Depth: cmd.MaxDepth, BodyTimeout: cmd.BodyTimeout,
		},
	})
	if err != nil {
		return err
	}
	announce(std.out, listener.Addr(), database.where, secrets)
	return serve(ctx, listener, handler, database.failed)
}

// Run implements kong's command.
func (cmd *keysSyncCommand) Run(ctx context.Context, std streams) (err error) {
	if err := cmd.Resolve(); err != nil {
		return err
	}
	if cmd.GatewayHost == "" {
		return fmt.Errorf("%w: --gateway-host (TYK_DB_TYKAPI_HOST) says where it is", gateway.ErrNotConfigured)
	}
	log, stopLog := newLog(std.errs, cmd.LogFormat)
	defer func() { err = errors.Join(err, stopLog()) }()
	secrets, err := keptSecrets(cmd.Config)
	if err != nil {
		return err
	}
	database, err := openDatabase(ctx, cmd.Config, log)
	if errors.Is(err, postgres.ErrInUse) { // by the server, whose Postgres serves us too
		if cmd.DatabaseURL, err = postgres.Attach(cmd.DataDir); err == nil {
			database, err = openDatabase(ctx, cmd.Config, log)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.close(ctx)) }()
	control, notices, err := gatewayClients(cmd.Config, secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notices.Close()) }()
	contract, err := server.LoadContract()
	if err != nil {
		return err
	}
	session, err := apidef.GatewaySession(contract)
	if err != nil {
		return err
	}
	keys := gatewaysync.New(gatewaysync.Config{
		Store: database.store, Gateway: control, Redis: notices, Session: session, Log: log, Now: time.Now,
	})
	told, err := keys.SyncOrgKeys(ctx)
	fmt.Fprintf(std.out, "%d organisation keys told to the gateway\n", told)
	return err
}

// secrets are what the server and its clients know of each other.
type secrets struct{ admin, node config.Secret }

func keptSecrets(cfg config.Config) (s secrets, err error) {
	if s.admin, err = config.KeptSecret(cfg.AdminSecret, cfg.DataDir, "admin-secret"); err != nil {
		return s, err
	}
	s.node, err = config.KeptSecret(cfg.NodeSecret, cfg.DataDir, "node-secret")
	return s, err
}

// gatewayClients returns the clients of the configured gateway and Redis; each is nil if none is configured.
func gatewayClients(cfg config.Config, secrets secrets) (*gateway.Client, *gateway.Redis, error) {
	control, err := gateway.New(gateway.Config{Host: cfg.GatewayHost, Port: cfg.GatewayPort, Secret: cfg.GatewaySecret})
	if err != nil {
		return nil, nil, err
	}
	return control, gateway.NewRedis(gateway.RedisConfig{
		Addresses: cfg.Redis(), Cluster: cfg.RedisCluster, Username: cfg.RedisUsername, Password: cfg.RedisPassword,
		Database: cfg.RedisDatabase, TLS: cfg.RedisTLS, InsecureTLS: cfg.RedisInsecureTLS, NodeSecret: secrets.node.Value,
	}), nil
}

// newServer completes what it is given of the server's configuration.
func newServer(cfg config.Config, web server.Config, secrets secrets) (*server.Server, error) {
	control, notices, err := gatewayClients(cfg, secrets)
	if err != nil {
		return nil, err
	}
	web.Gateway, web.Redis, web.Now, web.PageSize, web.Version = control, notices, time.Now, cfg.PageSize, version()
	web.Limits = server.Limits{Import: cfg.MaxImport, Document: cfg.MaxDocument, Depth: cfg.MaxDepth, BodyTimeout: cfg.BodyTimeout}
	web.AdminSecret, web.NodeSecret = secrets.admin.Value, secrets.node.Value
	return server.New(web)
}

// announce says what the person who started the server needs, in a few lines.
func announce(out io.Writer, address net.Addr, where string, secrets secrets) {
	fmt.Fprintf(out, "gatehouse listens on http://%s\n", address)
	fmt.Fprintf(out, "data is in %s\n", where)
	fmt.Fprintf(out, "admin secret: %s\n", describe(secrets.admin))
	if secrets.node.New { // who runs gateways needs it; others need not read of it at each start
		fmt.Fprintf(out, "node secret: %s\n", describe(secrets.node))
	}
}

func describe(secret config.Secret) string {
	switch {
	case secret.New:
		return fmt.Sprintf("%s (kept in %s; not printed again)", secret.Value, secret.Path)
	case secret.Path != "":
		return "kept in " + secret.Path
	}
	return "as configured"
}

// serve answers requests until ctx ends or the database is gone, and then lets those that run come to their end.
func serve(ctx context.Context, listener net.Listener, handler *server.Server, failed <-chan error) error {
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	// After Serve: gateways that are told of a change come at once.
	running, stopRunning := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { handler.Run(running) })
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	case cause = <-ended:
	}
	stopRunning()
	background.Wait()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if cause == nil {
		handler.Drain(drain)
	}
	if err := web.Shutdown(drain); err != nil {
		return errors.Join(cause, fmt.Errorf("requests still ran after %s: %w", drainTimeout, err), web.Close())
	}
	return cause
}

// database is the store, and the private Postgres below it if there is one.
type database struct {
	store   *store.Store
	cluster *postgres.Cluster
	where   string
	failed  <-chan error // the private Postgres cannot be brought back
}

// openDatabase connects to the configured Postgres or, without one, starts a private one.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (*database, error) {
	db := &database{where: "the configured Postgres"}
	connString := cfg.DatabaseURL
	if connString == "" {
		cluster, err := postgres.Start(ctx, postgres.Config{DataDir: cfg.DataDir, BinDir: cfg.PostgresBin, Log: log})
		if err != nil {
			return nil, err
		}
		db.cluster, db.failed, db.where = cluster, cluster.Failed(), cfg.DataDir+" (a private Postgres)"
		connString = cluster.ConnString()
	}
	var err error
	db.store, err = store.Open(ctx, store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)})
	if err != nil {
		return nil, errors.Join(err, db.close(ctx))
	}
	return db, nil
}

func (db *database) close(ctx context.Context) error {
	if db.store != nil {
		db.store.Close()
	}
	if db.cluster == nil {
		return nil
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return db.cluster.Stop(stopping)
}
