package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// logLimit is the size in bytes at which the log is put aside at a start. The
	// log grows slowly (see settings), and two of these are nothing to a disk.
	logLimit = 1 << 20
	// quoteLimit and quoteLines bound what an error quotes of a log: the last
	// words are the ones that name the cause.
	quoteLimit = 4 << 10
	quoteLines = 5
	// leftBackendsLimit is how long a start waits for backends that outlived
	// their postmaster: they end with the statement that they are in.
	leftBackendsLimit = 30 * time.Second
	leftBackendsPause = 100 * time.Millisecond
	// recoveryNotice is how long a start is silent about a recovery that takes
	// its time.
	recoveryNotice = 5 * time.Second
)

// errLeftBackends says that backends of a dead postmaster are still at work.
var errLeftBackends = errors.New("processes of an earlier postgres are still at work")

// server is all that is needed to start the postmaster, again and again.
type server struct {
	at        layout
	run       runner
	socketDir string
	volatile  bool
	log       *slog.Logger
}

// prepare leaves a cluster that can be launched. The caller holds the lock.
func prepare(ctx context.Context, cfg Config, at layout) (*server, error) {
	s := &server{at: at, volatile: cfg.Volatile, log: cfg.Log}
	major, err := clusterMajor(at.cluster)
	if err != nil {
		return nil, err
	}
	if s.run.bin, err = findBinaries(ctx, machinePlaces(), cfg.BinDir, at.cluster, major); err != nil {
		return nil, err
	}
	if err := s.chooseRights(); err != nil {
		return nil, err
	}
	if major == 0 {
		s.log.Info("making a private postgres", "dir", at.cluster, "version", s.run.bin.major, "binaries", s.run.bin.dir)
		err = s.makeCluster(ctx)
	} else {
		err = s.run.as.adopt(at.cluster)
	}
	if err == nil {
		s.socketDir, err = openSocketDir(at, s.run.as)
	}
	s.removeUnfinished() // last, when an initdb that was dying is dead
	return s, err
}

// chooseRights chooses the account and what it needs to reach the cluster.
func (s *server) chooseRights() (err error) {
	if s.run.as, err = chooseAccount(s.at.cluster); err != nil || !s.run.as.other {
		return err
	}
	open, err := s.run.as.canWalkTo(s.at.cluster)
	if err != nil || open {
		return err
	}
	if s.run.beyond, err = walkingCapability(); err != nil {
		return fmt.Errorf("the account that runs Postgres (uid %d) cannot reach %s: %w", s.run.as.uid, s.at.cluster, err)
	}
	s.log.Warn("postgres runs with a capability, as its account cannot reach the data directory otherwise: chmod o+x on the directories above would do instead",
		"dir", s.at.home, "uid", s.run.as.uid)
	return nil
}

// launch returns a postmaster that accepts connections.
func (s *server) launch(ctx context.Context) (*process, error) {
	patience := time.Now().Add(leftBackendsLimit)
	for {
		p, err := s.tryLaunch(ctx)
		if !errors.Is(err, errLeftBackends) || time.Now().After(patience) {
			return p, err
		}
		if err := sleep(ctx, leftBackendsPause); err != nil {
			return nil, err
		}
	}
}

func (s *server) tryLaunch(ctx context.Context) (*process, error) {
	if err := settle(ctx, s.at.cluster, s.run.as, s.log); err != nil {
		return nil, err
	}
	if err := s.clearSocketDir(); err != nil {
		return nil, fmt.Errorf("clear socket directory: %w", err)
	}
	log, err := openLog(s.at.log)
	if err != nil {
		return nil, fmt.Errorf("open Postgres's log: %w", err)
	}
	defer log.Close()
	cmd := s.run.command("postgres", append([]string{"-D", s.at.cluster}, s.settings()...)...)
	cmd.Stdout, cmd.Stderr = log, log
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	p, err := spawn(cmd)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	if err := s.awaitReady(ctx, p); err != nil {
		return nil, explain(err, log, began)
	}
	return p, nil
}

// awaitReady waits for as long as recovery takes. If it fails, p has ended.
func (s *server) awaitReady(ctx context.Context, p *process) error {
	root, err := os.OpenRoot(s.at.cluster)
	if err != nil {
		return errors.Join(err, p.end(ctx))
	}
	defer root.Close()
	notice := time.Now().Add(recoveryNotice)
	for {
		// Its own id, as the file may still be the one of an earlier postmaster.
		if f, err := readPidFile(root); err == nil && f.pid == p.handle.Pid && f.ready {
			return nil
		}
		if time.Now().After(notice) {
			s.log.Info("waiting for postgres to recover")
			notice = time.Now().Add(recoveryNotice)
		}
		select {
		case <-p.exited:
			return fmt.Errorf("postgres did not start: %w", p.reason())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), p.end(ctx))
		case <-time.After(pollEvery):
		}
	}
}

// settings are given at each start, so that they hold for clusters that an
// older release made. What is not here can be set in postgresql.conf.
func (s *server) settings() []string {
	set := []string{
		"listen_addresses=", // the socket and nothing else
		"unix_socket_directories=" + quoteListed(s.socketDir),
		"unix_socket_permissions=0700", // a second lock behind the directory's
		fmt.Sprintf("port=%d", socketPort),
		// Times in the log and in text are the same on every machine.
		"timezone=UTC", "log_timezone=UTC",
		"log_destination=stderr", "logging_collector=off", // the file is ours
		// A failed statement is reported to the server, which knows what of it may
		// be written down; here it could put a secret into a file.
		"log_min_messages=log", "log_min_error_statement=panic",
		"log_checkpoints=off", // would be most of the log
		// Statements are short: compiling one takes longer than running it.
		"jit=off",
		// Likewise for workers, whose shared memory a container may not have.
		"max_parallel_workers_per_gather=0",
	}
	if s.volatile {
		// Commits still reach the operating system: with synchronous_commit=off
		// even a crash of Postgres alone would lose some.
		set = append(set, "fsync=off", "full_page_writes=off")
	}
	var args []string
	for _, setting := range set {
		args = append(args, "-c", setting)
	}
	return args
}

func quoteListed(dir string) string { return `"` + strings.ReplaceAll(dir, `"`, `""`) + `"` }

// openLog appends, so that a crash can be read after the restart.
func openLog(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
}

// explain adds what Postgres logged since began.
func explain(err error, log *os.File, began int64) error {
	end, seekErr := log.Seek(0, io.SeekEnd)
	began = max(began, end-quoteLimit)
	text, readErr := io.ReadAll(io.NewSectionReader(log, began, end-began))
	if seekErr != nil || readErr != nil || len(text) == 0 {
		return err
	}
	if strings.Contains(string(text), "pre-existing shared memory block") {
		return fmt.Errorf("%w: %w", errLeftBackends, err)
	}
	return fmt.Errorf("%w: %s", err, lastLines(string(text)))
}

// lastLines is the end of a log as one line.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-quoteLines):], " | ")
}
