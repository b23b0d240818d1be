package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"
)

// pollEvery is how often files and foreign processes are looked at while
// waiting: often enough not to be felt in a start of a tenth of a second.
const pollEvery = 10 * time.Millisecond

// ErrInUse: another server runs on the data directory. Its Postgres can be had by Attach.
var ErrInUse = errors.New("in use by another server")

// takeLock makes the caller the directory's only owner. The kernel takes the
// lock back however the owner dies, and children do not inherit it (the file is
// closed on exec), so whoever holds it knows that a postmaster still running on
// the directory is an orphan.
func takeLock(path, home string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("own the data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 20) // the digits of any process id
		n, _ := file.ReadAt(holder, 0)
		err = fmt.Errorf("data directory %s is %w (process %s): stop it or choose another data directory", home, ErrInUse, strings.TrimSpace(string(holder[:n])))
	} else if err == nil {
		err = writePid(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// writePid is for the message of a second server and for people.
func writePid(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// settle leaves no postmaster on the cluster and no pid file that would stop a
// new one. Only the holder of the lock may call it.
func settle(ctx context.Context, cluster string, as account, log *slog.Logger) error {
	// An os.Root, because these files belong to an account with fewer rights
	// than root has: a link in there must not lead us out.
	root, err := os.OpenRoot(cluster)
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	defer root.Close()
	found, err := readPidFile(root)
	if err == nil && found.pid > 0 {
		err = endOrphan(ctx, found.pid, cluster, log)
	}
	if err == nil {
		err = disown(root, as)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take over %s: %w", cluster, err)
	}
	return nil
}

// endOrphan stops the process if it is a postmaster of this very cluster.
func endOrphan(ctx context.Context, pid int, cluster string, log *slog.Logger) error {
	// The handle comes before the check, so that the signal cannot reach a
	// later process of the same number.
	orphan, err := os.FindProcess(pid)
	if err != nil || !isPostmasterOf(ctx, pid, cluster) {
		return nil
	}
	log.Warn("stopping the postgres of a server that died", "pid", pid)
	gone := make(chan struct{})
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		defer close(gone)
		for isPostmasterOf(watching, pid, cluster) && sleep(watching, pollEvery) == nil {
		}
	}()
	return shutDown(ctx, orphan, gone)
}
