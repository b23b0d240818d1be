package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"gatehouse/internal/config"
	"gatehouse/postgres"
	"gatehouse/store"
)

// database is the store, and the private Postgres that runs for it, if any.
type database struct {
	store       *store.Store // nil until it is open
	connString  string
	cluster     *postgres.Cluster
	description string
	// failed delivers an error when the private Postgres ended and could not be started again.
	failed <-chan error
	// hung reports whether the database did not answer when it was last asked.
	hung bool
}

// openDatabase connects to the configured Postgres or, without one, starts the private one. tracer is nil without
// traces.
func openDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger, tracer trace.Tracer) (*database, error) {
	db, err := startDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx, cfg, log, tracer); err != nil {
		return nil, errors.Join(err, db.close(ctx))
	}
	return db, nil
}

// startDatabase starts the private Postgres unless another one is configured.
func startDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	return startDatabaseFor(ctx, cfg, log, false)
}

// startDatabaseFor is startDatabase for a server or, if temporary, for a command.
func startDatabaseFor(ctx context.Context, cfg *config.Config, log *slog.Logger, temporary bool) (*database, error) {
	db := &database{description: "the configured Postgres", connString: string(cfg.Database.URL)}
	if db.connString != "" {
		return db, nil
	}
	if err := postgres.ClearEnvironment(); err != nil {
		return nil, err
	}
	dir := cfg.Server.DataDir
	cluster, err := postgres.Start(ctx, postgres.Config{
		DataDir: dir, BinDir: cfg.Database.PostgresBin, Log: log, Temporary: temporary,
	})
	if err != nil {
		return nil, err
	}
	db.cluster, db.failed, db.connString = cluster, cluster.Failed(), cluster.ConnString()
	db.description = fmt.Sprintf("%s (Postgres %s from %s)", dir, cluster.Version(), cluster.BinDir())
	return db, nil
}

// open connects to the database.
func (db *database) open(ctx context.Context, cfg *config.Config, log *slog.Logger, tracer trace.Tracer) (err error) {
	storeConfig := db.storeConfig(cfg, log)
	storeConfig.Tracer = tracer
	if db.store, err = store.Open(ctx, storeConfig); errors.Is(err, store.ErrMigrationsDue) {
		err = fmt.Errorf("%w: run gatehouse migrate up", err)
	}
	if err == nil && db.cluster != nil && db.store.UpgradePending() && !storeConfig.NoMigrations {
		err = db.store.FinishUpgrade(ctx) // no other server is on the private Postgres
	}
	if err != nil {
		return err
	}
	// Before the first request: a gateway that registers within a reload must not be one that was forgotten.
	if err := db.store.ReviveNodes(ctx); err != nil {
		log.Warn("keep registered gateways failed, they register again", "err", err)
	}
	return nil
}

func (db *database) storeConfig(cfg *config.Config, log *slog.Logger) store.Config {
	return store.Config{
		ConnString: db.connString, DirectConnString: string(cfg.Database.DirectURL),
		Now: time.Now, IDs: store.NewIDs(time.Now), LastPasswords: cfg.Security.PasswordHistory,
		Quota:        store.Quota{Documents: cfg.Limits.MaxOrganisationDocuments, Bytes: cfg.Limits.MaxOrganisationBytes},
		NoMigrations: !cfg.Database.AutoMigrate, Wait: cfg.Database.Wait, Waiting: logWaiting(cfg.Database, log),
		StatementTimeout: cfg.Database.Timeout, SlowStatement: cfg.Log.SlowStatements, Slow: logSlow(log),
	}
}

// logWaiting returns a function that logs why the start waits for the database, once for each reason.
func logWaiting(cfg config.Database, log *slog.Logger) func(error) {
	last := ""
	return func(err error) {
		if reason := err.Error(); reason != last {
			last = reason
			log.Warn("the database is not ready, waiting", "up_to", cfg.Wait, "err", err)
		}
	}
}

// logSlow returns a function that logs statements that were slow.
func logSlow(log *slog.Logger) func(context.Context, store.SlowStatement) {
	return func(ctx context.Context, s store.SlowStatement) {
		log.WarnContext(ctx, "slow statement", "name", s.Name, "took", s.Took, "statement", s.Text)
	}
}

// answers reports whether the database answers, and remembers it for close.
func (db *database) answers(ctx context.Context) bool {
	db.hung = !db.store.Answers(ctx)
	return !db.hung
}

// logPendingUpgrade logs what is left to do after an upgrade.
func (db *database) logPendingUpgrade(log *slog.Logger) {
	if db.store.UpgradePending() && db.cluster == nil {
		log.Info("the database has what only servers of earlier releases need: " +
			"run gatehouse finish-upgrade when none of them runs any more")
	}
}

// reload replaces the password of the configured Postgres, for connections that are made from then on.
func (db *database) reload(cfg config.Database) error {
	if db.cluster != nil {
		return nil
	}
	return errors.Join(
		db.store.SetConnString(string(cfg.URL)), db.store.SetDirectConnString(string(cfg.DirectURL)))
}

// openRunning opens the configured Postgres, or the private one, which a server may already be using.
func openRunning(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	db, err := startRunning(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := db.open(ctx, cfg, log, nil); err != nil {
		return nil, errors.Join(err, db.close(ctx))
	}
	return db, nil
}

// busyPause is the time between two attempts to start a private Postgres that another command uses.
const busyPause = 100 * time.Millisecond

// startRunning is startDatabase for a private Postgres that a server may already be using. It waits for the end of
// another command that has started Postgres, and would stop it under this one.
func startRunning(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database, error) {
	db, err := startDatabaseFor(ctx, cfg, log, true)
	for said := false; errors.Is(err, postgres.ErrBusy); said = true {
		if !said {
			log.Info("waiting for another command", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(busyPause):
		}
		db, err = startDatabaseFor(ctx, cfg, log, true)
	}
	if !errors.Is(err, postgres.ErrInUse) {
		return db, err
	}
	connString, err := postgres.Attach(cfg.Server.DataDir)
	if err != nil {
		return nil, err
	}
	cfg.Database.URL = config.Secret(connString)
	return startDatabase(ctx, cfg, log)
}

// close closes the store and stops the private Postgres. It does so even if ctx has ended.
func (db *database) close(ctx context.Context) error {
	if db.store != nil {
		db.store.Close()
	}
	if db.cluster == nil {
		return nil
	}
	timeout := postgresStopTimeout
	if db.hung {
		timeout = hungStopTimeout
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	return db.cluster.Stop(stopCtx)
}
