package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// superuser is the only role of the cluster. The name is fixed, because initdb would otherwise use the account's.
const superuser = "gatehouse"

// initializer makes new clusters.
type initializer struct {
	dir      dataDir
	run      runner
	volatile bool
	log      *slog.Logger
}

// createCluster makes the cluster under a temporary name and renames it when it is complete, so that a start that is
// killed leaves no incomplete cluster.
func (i initializer) createCluster(ctx context.Context) error {
	draft, err := i.draftCluster(ctx)
	if err != nil {
		return err
	}
	if err := os.Rename(draft, i.dir.cluster); err != nil {
		return errors.Join(fmt.Errorf("make data directory: %w", err), os.RemoveAll(draft))
	}
	if i.volatile {
		return nil
	}
	return syncDir(filepath.Dir(i.dir.cluster))
}

// draftCluster makes a cluster under a temporary name, and returns its path.
func (i initializer) draftCluster(ctx context.Context) (string, error) {
	draft, err := os.MkdirTemp(filepath.Dir(i.dir.cluster), filepath.Base(i.dir.cluster)+newClusterSuffix)
	if err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	if err = i.run.account.own(draft); err == nil {
		err = i.initdb(ctx, draft)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("make data directory: %w", err), os.RemoveAll(draft))
	}
	return draft, nil
}

// removeUnfinished removes the incomplete clusters of starts and upgrades that were killed. The caller holds the lock,
// so no initdb works in them, except one that is just ending with its server. What that one still writes is left to the
// next start. A postmaster of an upgrade that still runs is stopped.
func (i initializer) removeUnfinished(ctx context.Context) {
	drafts, _ := filepath.Glob(quoteGlob(i.dir.cluster) + newClusterSuffix) // fails only for bad patterns
	for _, draft := range drafts {
		err := clearOrphan(ctx, draft, i.run.account, i.log)
		if err == nil {
			err = os.RemoveAll(draft)
		}
		if err != nil {
			i.log.Warn("remove unfinished data directory failed", "dir", draft, "error", err)
		}
	}
}

func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (i initializer) initdb(ctx context.Context, dir string) error {
	err := repeatIfPreempted(ctx, func() error {
		return i.runToEnd(ctx, "initdb", "--pgdata", dir, "--username", superuser,
			// Text is ordered by its bytes, so that an upgrade of the system's locales cannot break an index.
			"--encoding=UTF8", "--locale=C",
			"--auth-local=trust", "--auth-host=reject", // see openSocketDir
			// Without checksums a failing disk would not be noticed.
			"--data-checksums",
			// Syncing once at the end is faster than file by file.
			"--no-sync", "--no-instructions")
	})
	if err != nil && strings.Contains(err.Error(), "could not look up effective user ID") {
		return fmt.Errorf("account %d has no name, which initdb needs: run as an account that has an entry in /etc/passwd "+
			"(docker run --user, or runAsUser of Kubernetes), add one, or set DATABASE_URL to a Postgres that already runs: %w",
			i.run.account.uid, err)
	}
	if err != nil || i.volatile {
		return err
	}
	return i.syncCluster(ctx, dir)
}

// syncCluster makes every file of a cluster that does not run durable.
func (i initializer) syncCluster(ctx context.Context, dir string) error {
	return repeatIfPreempted(ctx, func() error {
		return i.runToEnd(ctx, "initdb", "--pgdata", dir, "--sync-only")
	})
}

// runToEnd runs a program, and kills it with its children if ctx ends.
func (i initializer) runToEnd(ctx context.Context, name string, args ...string) error {
	var output bytes.Buffer
	cmd := i.run.command(name, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	p, err := spawn(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("run %s: %w: %s", cmd.Path, p.err, lastLines(output.String()))
	}
	return nil
}

// syncDir makes the renames in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
