package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

const (
	// maxBackendsWait is how long a start waits for backends that outlived their postmaster. They end with the statement
	// that they run.
	maxBackendsWait      = 30 * time.Second
	backendsWaitInterval = 100 * time.Millisecond
	// recoveryLogInterval is the time between two log lines of a start that waits for recovery.
	recoveryLogInterval = 5 * time.Second
)

// launcher starts the postmaster of one cluster, any number of times.
type launcher struct {
	dir       dataDir
	run       runner
	socketDir string
	volatile  bool
	more      []string // Config.Settings
	log       *slog.Logger
}

// newLauncher finds the binaries and makes the cluster if there is none. The caller holds the lock of the data
// directory.
func newLauncher(ctx context.Context, cfg Config, dir dataDir) (*launcher, error) {
	l := &launcher{dir: dir, volatile: cfg.Volatile, more: cfg.Settings, log: cfg.Log}
	if _, err := completeUpgrade(dir, cfg.Log); err != nil {
		return nil, err
	}
	major, err := clusterMajor(dir.cluster)
	if err != nil {
		return nil, err
	}
	search := binariesSearch{places: machinePlaces(), binDir: cfg.BinDir, cluster: dir.cluster, major: major}
	if l.run.binaries, err = search.find(ctx); err != nil {
		return nil, err
	}
	if err := l.chooseRights(); err != nil {
		return nil, err
	}
	clusters := initializer{dir: dir, run: l.run, volatile: cfg.Volatile, log: cfg.Log}
	if major == 0 {
		l.log.Info("making the data directory of the private postgres", "dir", dir.cluster,
			"version", l.run.binaries.version, "binaries", l.run.binaries.dir)
		err = clusters.createCluster(ctx)
	} else {
		err = l.mend()
	}
	if err == nil {
		l.socketDir, err = openSocketDir(dir, l.run.account)
	}
	clusters.removeUnfinished(ctx) // last, so that an initdb that was ending with its server has ended
	return l, errors.Join(err, removeUpgradeSockets(dir))
}

// mend sets the owner and the mode of a cluster that Postgres requires.
func (l *launcher) mend() error {
	if err := l.run.account.ownCluster(l.dir.cluster); err != nil {
		return err
	}
	return mendCluster(l.dir.cluster, l.log)
}

// chooseRights chooses the account, and a capability if the account cannot reach the cluster.
func (l *launcher) chooseRights() (err error) {
	if l.run.account, err = chooseAccount(l.dir.cluster); err != nil || !l.run.account.switched {
		return err
	}
	reachable, err := l.run.account.canReach(l.dir.cluster)
	if err != nil || reachable {
		return err
	}
	if l.run.capabilities, err = searchCapability(); err != nil {
		return fmt.Errorf("the account that runs Postgres (uid %d) cannot reach %s: %w",
			l.run.account.uid, l.dir.cluster, err)
	}
	l.log.Warn("postgres runs with a capability, because its account cannot reach the data directory: "+
		"chmod o+x the directories above it to avoid that", "dir", l.dir.path, "uid", l.run.account.uid)
	return nil
}

// launch returns a postmaster that accepts connections. It waits for backends of an earlier postmaster to end.
func (l *launcher) launch(ctx context.Context) (*process, error) {
	deadline := time.Now().Add(maxBackendsWait)
	for {
		var p *process
		err := repeatIfPreempted(ctx, func() (err error) {
			p, err = l.tryLaunch(ctx)
			return err
		})
		if !errors.Is(err, errBackendsLeft) || time.Now().After(deadline) {
			return p, err
		}
		if err := sleep(ctx, backendsWaitInterval); err != nil {
			return nil, err
		}
	}
}

func (l *launcher) tryLaunch(ctx context.Context) (*process, error) {
	if err := clearOrphan(ctx, l.dir.cluster, l.run.account, l.log); err != nil {
		return nil, err
	}
	if err := clearSocketDir(l.socketDir); err != nil {
		return nil, err
	}
	log, err := openLog(l.dir.log)
	if err != nil {
		return nil, fmt.Errorf("open Postgres's log: %w", err)
	}
	defer log.Close()
	cmd := l.run.command("postgres", append([]string{"-D", l.dir.cluster}, l.settings()...)...)
	cmd.Stdout, cmd.Stderr = log, log
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	p, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	if err := l.awaitReady(ctx, p); err != nil {
		return nil, addLog(err, log, began)
	}
	return p, nil
}

// awaitReady waits until the postmaster accepts connections, however long recovery takes. If it fails, p has ended.
func (l *launcher) awaitReady(ctx context.Context, p *process) error {
	root, err := os.OpenRoot(l.dir.cluster)
	if err != nil {
		return errors.Join(err, p.shutDown(ctx))
	}
	defer root.Close()
	nextLog := time.Now().Add(recoveryLogInterval)
	for {
		// The process ID is compared, because the file may still be that of an earlier postmaster.
		if f, err := readPIDFile(root); err == nil && f.pid == p.handle.Pid && f.ready {
			return nil
		}
		if time.Now().After(nextLog) {
			l.log.Info("waiting for postgres to recover")
			nextLog = time.Now().Add(recoveryLogInterval)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("start postgres: %w", p.exitReason())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), p.shutDown(ctx))
		case <-time.After(pollInterval):
		}
	}
}

// settings returns the settings that do not depend on who made the cluster, since they are given at each start. All
// others can be set in postgresql.conf.
func (l *launcher) settings() []string {
	settings := []string{
		"listen_addresses=", // the socket only
		"unix_socket_directories=" + quoteListItem(l.socketDir),
		"unix_socket_permissions=0700", // in addition to the mode of the directory
		fmt.Sprintf("port=%d", socketPort),
		// Times in the log and in text are the same on every machine.
		"timezone=UTC", "log_timezone=UTC",
		"log_destination=stderr", "logging_collector=off", // the server opens and renames the log
		// A statement that fails is not logged, because it may hold a secret. The server gets and logs its error.
		"log_min_messages=log", "log_min_error_statement=panic",
		"log_checkpoints=off", // they would be most of the log
		// Statements are short: compiling one takes longer than running it.
		"jit=off",
		// The same holds for parallel workers, whose shared memory is limited in containers.
		"max_parallel_workers_per_gather=0",
	}
	if l.volatile {
		// Commits still reach the operating system: with synchronous_commit=off even a crash of Postgres alone would
		// lose some.
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	var args []string
	for _, setting := range append(settings, l.more...) {
		args = append(args, "-c", setting)
	}
	return args
}
