// Command gatehouse serves the Tyk Dashboard Admin API from Postgres.
//
// The repository, in the order in which a request passes through it (docs/architecture.md has the whole picture):
//
//	main.go       parses the command line, connects the parts below, runs and stops them
//	openapi/      the contracts (OpenAPI); code and checks follow from them
//	gen/          types, routes and embedded contracts, generated from openapi/ by `go generate`; never edited
//	server/       HTTP: authentication, validation, one short handler an operation, responses
//	store/        Postgres: one file a table, SQL beside the function that runs it
//	migrations/   the schema, as numbered SQL files
//	contract/     compiles the contracts at start: operations, outcomes, validation
//	internal/     what the packages above need:
//	  apidef        checks what a Tyk Gateway has to decode
//	  config        flags and environment variables
//	  gateway       client of a Tyk Gateway's control API and of its Redis
//	  gatewaystandin  a stand-in for a Tyk Gateway, for tests and examples/
//	  gatewaysync   notices to gateways and organisation keys, between requests
//	  gatewaytest   a gateway and a Redis for tests
//	  httpbody      reads request bodies within their limits
//	  importer      reads the documents of an import
//	  jsondoc       edits JSON documents as bytes
//	  jsonlist      finds the documents in a long JSON list
//	  jsonschema    checks JSON documents against compiled schemas
//	  logging       the log
//	  password      hashes passwords
//	  postgres      runs the private Postgres
//	  testprogram   finds the programs that tests start
//	e2e/          tests of the program and of the commands in README.md
//	bench/        benchmarks, and the servers that gatehouse is compared with
//	examples/     a Tyk Gateway on gatehouse
//	docs/         how the original behaves, how gatehouse is built, how fast it is
//
// Imports point down this list, never up.
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
	"gatehouse/internal/logging"
	"gatehouse/internal/postgres"
	"gatehouse/server"
	"gatehouse/store"
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
	// maxHeaderBytes is far more than any client sends; it bounds what headers add to memory and log.
	maxHeaderBytes = 64 << 10
)

// Timeouts of a stop. Supervisors such as systemd and Kubernetes kill a program 30 s or more after they asked it to
// stop. The two below and the 8 s that internal/postgres allows for an immediate shutdown add up to 29 s.
const (
	// drainTimeout limits how long requests in progress may run on.
	drainTimeout = 15 * time.Second
	// postgresStopTimeout limits the regular shutdown of the private Postgres, which writes a checkpoint.
	postgresStopTimeout = 6 * time.Second
)

// gcPercent is the default of GOGC. The live heap is only a few megabytes: at Go's default of 100, collecting garbage
// takes a tenth of the time of a small request.
const gcPercent = 150

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commandLine is what kong parses.
type commandLine struct {
	Serve       serveCommand     `cmd:"" help:"Start the server. Ctrl-C stops it."`
	Keys        keysCommands     `cmd:"" help:"Manage organisation keys."`
	Version     versionCommand   `cmd:"" help:"Print the version."`
	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

// streams are the outputs of the program: out has what the user asked for, log has the log and errors.
type streams struct{ out, log io.Writer }

// run runs the program and returns its exit status.
func run(args []string, out, log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parser, err := kong.New(&commandLine{},
		kong.Name("gatehouse"),
		kong.Description("An open server for the Tyk Dashboard Admin API."),
		kong.Vars{"version": version()},
		kong.Writers(out, log),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out, log}),
	)
	if err != nil {
		fmt.Fprintln(log, "gatehouse:", err)
		return exitUsage
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(log, "gatehouse:", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		fmt.Fprintln(log, "gatehouse:", err)
		return exitFailed
	}
	return exitOK
}

// ---- gatehouse serve

type serveCommand struct {
	config.Config `embed:""`
}

// Run serves requests until ctx ends, which is a success, or until something fails that cannot be mended.
func (cmd *serveCommand) Run(ctx context.Context, std streams) error {
	err := cmd.run(ctx, std)
	if err == nil {
		fmt.Fprintln(std.out, "gatehouse stopped")
	}
	return err
}

func (cmd *serveCommand) run(ctx context.Context, std streams) (err error) {
	cfg := &cmd.Config
	if err := cfg.Resolve(); err != nil {
		return err
	}
	contract := server.Prepare()         // in the background, while Postgres starts
	defer func() { _, _ = contract() }() // nothing outlives this function
	log := logging.New(std.log, cfg.Log.Format)
	secrets, err := loadSecrets(cfg.Server)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Server.Listen) // before Postgres starts: a port in use is the likeliest failure
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()
	db, err := openDatabase(ctx, cfg, log)
	if err != nil && ctx.Err() != nil {
		log.Info("start interrupted", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	clients, err := newGatewayClients(cfg, secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	serverConfig := server.Config{
		Store: db.store, Gateway: clients.control, Redis: clients.redis, Log: log, Now: time.Now, Version: version(),
		AdminSecret: string(secrets.admin.Value), NodeSecret: string(secrets.node.Value),
		PageSize: cfg.Server.PageSize,
		Limits: server.Limits{
			Import: cfg.Limits.MaxImport, Document: cfg.Limits.MaxDocument, Depth: cfg.Limits.MaxDepth,
			BodyTimeout: cfg.Limits.BodyTimeout,
		},
	}
	if serverConfig.Contract, err = contract(); err != nil {
		return err
	}
	handler, err := server.New(serverConfig)
	if err != nil {
		return err
	}
	announce(std.out, listener.Addr(), db.description, secrets)
	return (&service{listener: listener, handler: handler, databaseFailed: db.failed, log: log}).run(ctx)
}

// announce prints what the user needs to reach the server.
func announce(out io.Writer, address net.Addr, database string, secrets secrets) {
	fmt.Fprintf(out, "gatehouse listens on http://%s\n", address)
	fmt.Fprintf(out, "data is in %s\n", database)
	fmt.Fprintf(out, "admin secret: %s\n", describe(secrets.admin))
	if secrets.node.Generated { // only those who run gateways need it, and once is enough for them
		fmt.Fprintf(out, "node secret: %s\n", describe(secrets.node))
	}
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
	listener       net.Listener
	handler        *server.Server
	databaseFailed <-chan error
	log            *slog.Logger
}

// run serves requests until ctx ends, the database fails or the listener does. Then it lets the requests in progress
// finish. It returns when everything that it started has ended.
func (s *service) run(ctx context.Context) error {
	web := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	serving := make(chan error, 1)
	var listening, background sync.WaitGroup
	defer listening.Wait()
	listening.Go(func() { serving <- web.Serve(s.listener) })
	// After Serve, because gateways that are notified of a change fetch it immediately.
	backgroundCtx, stopBackground := context.WithCancel(ctx)
	background.Go(func() { s.handler.Run(backgroundCtx) })

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-s.databaseFailed:
	case failure = <-serving:
	}
	stopBackground()
	background.Wait()
	// ctx may have ended, which is the reason to drain and must not cut it short.
	drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if failure == nil {
		s.handler.Drain(drainCtx)
	}
	if err := web.Shutdown(drainCtx); err != nil {
		return errors.Join(failure, fmt.Errorf("requests still in progress after %s: %w", drainTimeout, err), web.Close())
	}
	return failure
}

// ---- gatehouse keys sync

type keysCommands struct {
	Sync keysSyncCommand `cmd:"" help:"Send all organisation keys to the gateway, for example after its Redis lost its data."`
}

type keysSyncCommand struct {
	config.Config `embed:""`
}

// Run sends all organisation keys to the gateway. It works beside a running server, too.
func (cmd *keysSyncCommand) Run(ctx context.Context, std streams) (err error) {
	cfg := &cmd.Config
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if cfg.Gateway.Host == "" {
		return fmt.Errorf("%w: set --gateway-host (TYK_DB_TYKAPI_HOST)", gateway.ErrNotConfigured)
	}
	log := logging.New(std.log, cfg.Log.Format)
	secrets, err := loadSecrets(cfg.Server)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, cfg, log)
	if errors.Is(err, postgres.ErrInUse) { // a server runs on the data directory: use its Postgres
		var connString string
		if connString, err = postgres.Attach(cfg.Server.DataDir); err == nil {
			cfg.Database.URL = config.Secret(connString)
			db, err = openDatabase(ctx, cfg, log)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	clients, err := newGatewayClients(cfg, secrets)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clients.redis.Close()) }()
	contract, err := server.LoadContract()
	if err != nil {
		return err
	}
	session, err := apidef.GatewaySession(contract)
	if err != nil {
		return err
	}
	sent, err := gatewaysync.New(gatewaysync.Config{
		Store: db.store, Gateway: clients.control, Redis: clients.redis, Session: session, Log: log, Now: time.Now,
	}).SyncOrgKeys(ctx)
	fmt.Fprintf(std.out, "%d organisation keys sent to the gateway\n", sent)
	return err
}

// ---- gatehouse version

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(std streams) error {
	fmt.Fprintln(std.out, version())
	return nil
}

// version returns the version of the module, or "(devel)" if the program was built without one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// ---- parts

// secrets are what clients and gateways authenticate with.
type secrets struct{ admin, node config.StoredSecret }

// loadSecrets reads or generates the secrets, and makes the data directory that stores them.
func loadSecrets(cfg config.Server) (s secrets, err error) {
	// Other accounts may pass through the directory, because the private Postgres has one of its own, but not list it.
	if err := os.MkdirAll(cfg.DataDir, 0o711); err != nil {
		return s, fmt.Errorf("make data directory: %w", err)
	}
	if s.admin, err = config.LoadSecret(cfg.AdminSecret, cfg.DataDir, "admin-secret"); err != nil {
		return s, err
	}
	s.node, err = config.LoadSecret(cfg.NodeSecret, cfg.DataDir, "node-secret")
	return s, err
}

// gatewayClients reach the gateways. Both are nil if nothing is configured, and a nil client says so when it is used.
type gatewayClients struct {
	control *gateway.Client
	redis   *gateway.Redis
}

func newGatewayClients(cfg *config.Config, secrets secrets) (c gatewayClients, err error) {
	c.control, err = gateway.New(gateway.Config{
		Host: cfg.Gateway.Host, Port: cfg.Gateway.Port, Secret: string(cfg.Gateway.Secret),
	})
	if err != nil {
		return c, err
	}
	c.redis = gateway.NewRedis(gateway.RedisConfig{
		Addresses: cfg.Redis.Addresses(), Cluster: cfg.Redis.Cluster,
		Username: cfg.Redis.Username, Password: string(cfg.Redis.Password), Database: cfg.Redis.Database,
		TLS: cfg.Redis.TLS, InsecureTLS: cfg.Redis.InsecureTLS,
		NodeSecret: string(secrets.node.Value),
	})
	return c, nil
}

// database is the store, and the private Postgres that runs for it, if any.
type database struct {
	store       *store.Store
	cluster     *postgres.Cluster
	description string
	// failed delivers an error when the private Postgres ended and could not be started again.
	failed <-chan error
}

// openDatabase connects to the configured Postgres or, without one, starts the private one.
func openDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	db := &database{description: "the configured Postgres"}
	connString := string(cfg.Database.URL)
	if connString == "" {
		dir := cfg.Server.DataDir
		cluster, err := postgres.Start(ctx, postgres.Config{DataDir: dir, BinDir: cfg.Database.PostgresBin, Log: log})
		if err != nil {
			return nil, err
		}
		db.cluster, db.failed = cluster, cluster.Failed()
		db.description = fmt.Sprintf("%s (Postgres %s from %s)", dir, cluster.Version(), cluster.BinDir())
		connString = cluster.ConnString()
	}
	var err error
	db.store, err = store.Open(ctx, store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)})
	if err != nil {
		return nil, errors.Join(err, db.close(ctx))
	}
	return db, nil
}

// close closes the store and stops the private Postgres. It does so even if ctx has ended.
func (db *database) close(ctx context.Context) error {
	if db.store != nil {
		db.store.Close()
	}
	if db.cluster == nil {
		return nil
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postgresStopTimeout)
	defer cancel()
	return db.cluster.Stop(stopCtx)
}
