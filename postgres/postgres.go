// Package postgres runs a private Postgres beside the server, so that the server needs only Postgres's binaries on the
// machine. Start finds the binaries, makes a cluster in the server's data directory, and starts a postmaster that
// listens on a Unix socket that no other account can reach. A postmaster that crashes is restarted, one that a crashed
// server left behind is stopped, and Stop ends Postgres with the server.
//
// The server's data directory then holds:
//
//	postgres          the cluster, which is never deleted and keeps its major version until Upgrade replaces it
//	postgres.15       the cluster of Postgres 15 that Upgrade has replaced
//	postgres.socket/  the Unix socket (in the temporary directory if this path is too long)
//	postgres.lock     locked by the server that runs on the cluster
//	postgres.log      Postgres's own log; postgres.log.1 is the one before
//
// The package opens no connection: as pg_ctl does, it reads in postmaster.pid whether Postgres is ready. Its users
// connect with the connection string. Only Upgrade executes SQL, with Postgres's own psql.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// maxRestarts limits the restarts in a row. With firstRestartPause, which doubles, the last is after about six
	// seconds: callers have failed by then, and what supervises the server can do more than the server itself.
	maxRestarts       = 6
	firstRestartPause = 100 * time.Millisecond
	// stableAfter is how long a postmaster must have run for its end not to count as one more of these restarts.
	stableAfter = time.Minute
)

// Cluster is a running private Postgres. It holds the lock of its data directory.
type Cluster struct {
	launcher *launcher
	lock     *os.File
	log      *slog.Logger

	failed     chan error
	stopWatch  context.CancelFunc
	watchEnded chan struct{}
	// current is the running postmaster, or nil if it could not be restarted. Only watch uses it until watchEnded is
	// closed.
	current *process

	stopOnce sync.Once
	stopErr  error
}

// Start returns when the cluster accepts connections. ctx limits the start only: a running cluster ends with Stop.
//
// The error is one line that says what to do if the binaries are missing or of another major version than the cluster.
// It wraps ErrInUse if another server runs on the data directory, and ErrBusy if a command does.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	mark := ""
	if cfg.Temporary {
		mark = commandMark
	}
	lock, err := lockDataDir(dir, mark)
	if err != nil {
		return nil, err
	}
	c := &Cluster{lock: lock, log: cfg.Log, failed: make(chan error, 1), watchEnded: make(chan struct{})}
	if c.launcher, err = newLauncher(ctx, cfg, dir); err == nil {
		c.current, err = c.launcher.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, unlock(lock))
	}
	// The cluster outlives ctx, because requests that are still running when ctx ends need it. Stop ends the goroutine.
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	c.stopWatch = stopWatch
	go c.watch(watchCtx)
	return c, nil
}

// ConnString returns the connection string in libpq's keyword form. It is complete, so that no PG* variable of the
// environment changes where it leads. Others could still change how: see ClearEnvironment.
func (c *Cluster) ConnString() string { return connString(c.launcher.socketDir) }

// Version returns the version of Postgres, such as "15.18".
func (c *Cluster) Version() string { return c.launcher.run.binaries.version }

// BinDir returns the directory of Postgres's binaries.
func (c *Cluster) BinDir() string { return c.launcher.run.binaries.dir }

// Attach returns the connection string of the private Postgres that a server runs on the data directory, for a second
// program beside that server.
func Attach(path string) (string, error) {
	dir, err := openDataDir(path)
	if err != nil {
		return "", err
	}
	socket, err := socketDir(dir)
	return connString(socket), err
}

// Failed delivers one error if Postgres ended and could not be restarted. The data directory stays locked until Stop.
func (c *Cluster) Failed() <-chan error { return c.failed }

// Stop shuts Postgres down and releases the data directory. If ctx ends before the fast shutdown, Stop requests an
// immediate one, after which the next start recovers. Later calls wait for the first one and return its error.
func (c *Cluster) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.stop(ctx) })
	return c.stopErr
}

func (c *Cluster) stop(ctx context.Context) error {
	c.stopWatch()
	<-c.watchEnded
	var err error
	if c.current != nil {
		err = c.current.shutDown(ctx)
	}
	return errors.Join(err, removeSocketDir(c.launcher.socketDir), unlock(c.lock))
}

// watch restarts the postmaster whenever it ends, until Stop is called or too many restarts in a row failed.
func (c *Cluster) watch(ctx context.Context) {
	defer close(c.watchEnded)
	for restarts := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.current.exited:
		}
		if c.current.lifetime() > stableAfter {
			restarts = 0
		}
		var err error
		if restarts, err = c.restart(ctx, restarts); err != nil {
			c.failed <- err
			return
		}
		if c.current == nil {
			return // Stop was called
		}
	}
}

// restart retries until the postmaster is ready again, and returns the new number of restarts in a row. Afterwards
// current is nil if ctx ended or no restart succeeded.
func (c *Cluster) restart(ctx context.Context, restarts int) (int, error) {
	cause := c.current.exitReason()
	c.current = nil
	for ; restarts < maxRestarts; restarts++ {
		c.log.Warn("postgres ended, restarting it", "reason", cause, "try", restarts+1, "of", maxRestarts)
		if err := sleep(ctx, firstRestartPause<<restarts); err != nil {
			return restarts, nil
		}
		restarted, err := c.launcher.launch(ctx)
		if err == nil {
			c.log.Info("postgres restarted")
			c.current = restarted
			return restarts + 1, nil
		}
		if ctx.Err() != nil {
			return restarts, nil
		}
		cause = err
	}
	return restarts, fmt.Errorf("postgres ended and could not be restarted in %d tries: %w", maxRestarts, cause)
}
