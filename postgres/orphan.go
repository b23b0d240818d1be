package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// clearOrphan stops a postmaster that runs on the cluster without a server, and makes the pid file of a dead one
// harmless. The caller holds the lock of the data directory.
func clearOrphan(ctx context.Context, cluster string, as account, log *slog.Logger) error {
	// An os.Root, because the account that owns these files has fewer rights than root: a link that it places there
	// must not lead out of the cluster.
	root, err := os.OpenRoot(cluster)
	if err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	defer root.Close()
	found, err := readPIDFile(root)
	if err == nil && found.pid > 0 {
		err = stopOrphan(ctx, found.pid, cluster, log)
	}
	if err == nil {
		err = replaceStalePID(root, as)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take over %s: %w", cluster, err)
	}
	return nil
}

// stopOrphan stops the process if it is a postmaster of this cluster.
func stopOrphan(ctx context.Context, pid int, cluster string, log *slog.Logger) error {
	// The handle is acquired before the check, so that the signal cannot reach a later process with the same ID.
	orphan, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if !isPostmasterOf(ctx, pid, cluster) {
		return nil
	}
	log.Warn("stopping the postgres of a server that died", "pid", pid)
	gone := make(chan struct{})
	watchCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(gone)
		for isPostmasterOf(watchCtx, pid, cluster) {
			if sleep(watchCtx, pollInterval) != nil {
				return
			}
		}
	}()
	err = shutDown(ctx, orphan, gone)
	cancel()
	<-gone
	return err
}
