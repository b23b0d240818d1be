// Package postgres runs a private Postgres beside the server, so that the
// server needs nothing but Postgres's binaries on the machine. It finds the
// binaries, makes a cluster in the server's data directory, listens on a Unix
// socket that nobody else can reach, brings the postmaster back when it
// crashes, takes over what a crashed server left behind, and stops Postgres
// with the server.
//
// The server's data directory then holds:
//
//	postgres          the cluster; never deleted, and of one major version for ever
//	postgres.socket/  the Unix socket (in the temporary directory if this path is too long)
//	postgres.lock     locked by the server that owns the cluster
//	postgres.log      Postgres's own log; postgres.log.1 is the one before
//
// Nothing here speaks SQL: readiness is read from postmaster.pid, as pg_ctl
// does it, and the room that holds the driver gets a connection string.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// superuser is the cluster's only role, and the one in ConnString. It is fixed
// because initdb would otherwise name it after the account that ran it first.
const superuser = "gatehouse"

// How often, and how patiently, a postmaster that died is started again.
const (
	// maxRestarts in a row: with firstPause doubling this gives up after about
	// six seconds, when callers have long been failing and a supervisor above
	// the server can do more than we can.
	maxRestarts = 6
	firstPause  = 100 * time.Millisecond
	// steadyAfter is how long a postmaster must have run for its death to count
	// as a new incident instead of one more turn of a crash loop.
	steadyAfter = time.Minute
)

// Config says where the cluster lives and how it is run.
type Config struct {
	DataDir string // the server's data directory, made if missing; the cluster is <DataDir>/postgres
	BinDir  string // folder with initdb and postgres; empty: search the machine
	Log     *slog.Logger
	// Volatile trades safety for speed: a crash of the operating system may lose
	// or corrupt the data. For tests only. A crash of Postgres alone is harmless.
	Volatile bool
}

// Cluster is a running private Postgres, and the ownership of its directory.
type Cluster struct {
	server *server
	lock   *os.File
	log    *slog.Logger

	failed     chan error
	unwatch    context.CancelFunc
	watchEnded chan struct{}
	// current belongs to watch until watchEnded is closed; nil once Postgres
	// could not be brought back.
	current *process

	stopOnce sync.Once
	stopErr  error
}

// Start returns when the cluster accepts connections. It fails with one line
// that says what to do when the binaries are missing or of another major than
// the cluster, and when another server owns the directory. ctx bounds the start
// only: a running cluster ends with Stop.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	at, err := openLayout(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(at.lock, at.home)
	if err != nil {
		return nil, err
	}
	c := &Cluster{lock: lock, log: cfg.Log, failed: make(chan error, 1), watchEnded: make(chan struct{})}
	if c.server, err = prepare(ctx, cfg, at); err == nil {
		c.current, err = c.server.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	// The cluster outlives the start: a caller's cancelled context must not take
	// Postgres from requests that are still being drained.
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	c.unwatch = unwatch
	go c.watch(watching)
	return c, nil
}

// ConnString is in libpq's keyword form, complete enough that no PG* variable
// of the environment can change where it leads.
func (c *Cluster) ConnString() string { return connString(c.server.socketDir) }

// Attach is the connection string of the private Postgres of a server that runs on the data directory, for a second
// program beside it.
func Attach(dataDir string) (string, error) {
	at, err := openLayout(dataDir)
	if err != nil {
		return "", err
	}
	dir, err := socketDir(at)
	return connString(dir), err
}

func connString(socketDir string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=disable", quoteKeyword(socketDir), socketPort, superuser)
}

func quoteKeyword(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// Failed yields one error when Postgres died and could not be brought back. The
// directory stays owned until Stop.
func (c *Cluster) Failed() <-chan error { return c.failed }

// Stop ends Postgres and gives the directory up: a fast shutdown, and an
// immediate one (which the next start recovers from) when ctx ends first. Later
// calls wait for the first and return its error.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.stop(ctx) })
	return c.stopErr
}

func (c *Cluster) stop(ctx context.Context) error {
	c.unwatch()
	<-c.watchEnded
	var err error
	if c.current != nil {
		err = c.current.end(ctx)
	}
	return errors.Join(err, c.server.removeSocketDir(), c.lock.Close())
}

// watch starts the postmaster again whenever it dies, until Stop or until it
// dies too often.
func (c *Cluster) watch(ctx context.Context) {
	defer close(c.watchEnded)
	for restarts := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.current.exited:
		}
		if c.current.lived() > steadyAfter {
			restarts = 0
		}
		var err error
		if restarts, err = c.revive(ctx, restarts); err != nil {
			c.failed <- err
			return
		}
		if c.current == nil {
			return // stopped while reviving
		}
	}
}

// revive tries until the postmaster is ready again, and returns how many of the
// restarts are used up. current is nil afterwards if ctx ended or it gave up.
func (c *Cluster) revive(ctx context.Context, restarts int) (int, error) {
	cause := c.current.reason()
	c.current = nil
	for ; restarts < maxRestarts; restarts++ {
		c.log.Warn("postgres died, starting it again", "reason", cause, "try", restarts+1, "of", maxRestarts)
		if err := sleep(ctx, firstPause<<restarts); err != nil {
			return restarts, nil
		}
		revived, err := c.server.launch(ctx)
		if err == nil {
			c.log.Info("postgres is back")
			c.current = revived
			return restarts + 1, nil
		}
		if ctx.Err() != nil {
			return restarts, nil
		}
		cause = err
	}
	return restarts, fmt.Errorf("postgres died and could not be brought back in %d tries: %w", maxRestarts, cause)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
