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
	draft, err := os.MkdirTemp(i.dir.path, newClusterPattern)
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	err = i.run.account.own(draft)
	if err == nil {
		err = i.initdb(ctx, draft)
	}
	if err == nil {
		err = os.Rename(draft, i.dir.cluster)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make data directory: %w", err), os.RemoveAll(draft))
	}
	return i.syncDataDir()
}

// removeUnfinished removes the incomplete clusters of starts that were killed. The caller holds the lock, so no initdb
// works in them, except one that is just ending with its server. What that one still writes is left to the next start.
func (i initializer) removeUnfinished() {
	drafts, _ := filepath.Glob(filepath.Join(quoteGlob(i.dir.path), newClusterPattern)) // fails only for bad patterns
	for _, draft := range drafts {
		if err := os.RemoveAll(draft); err != nil {
			i.log.Warn("remove unfinished data directory failed", "dir", draft, "error", err)
		}
	}
}

func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (i initializer) initdb(ctx context.Context, dir string) error {
	err := i.runToEnd(ctx, "initdb", "--pgdata", dir, "--username", superuser,
		// Text is ordered by its bytes, so that an upgrade of the system's locales cannot break an index.
		"--encoding=UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=reject", // see openSocketDir
		// Without checksums a failing disk would not be noticed.
		"--data-checksums",
		// Syncing once at the end is faster than file by file.
		"--no-sync", "--no-instructions")
	if err != nil && strings.Contains(err.Error(), "could not look up effective user ID") {
		return fmt.Errorf("account %d has no name, which initdb needs: run as an account that has an entry in /etc/passwd "+
			"(docker run --user, or runAsUser of Kubernetes), add one, or set DATABASE_URL to a Postgres that already runs: %w",
			i.run.account.uid, err)
	}
	if err != nil || i.volatile {
		return err
	}
	return i.runToEnd(ctx, "initdb", "--pgdata", dir, "--sync-only")
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

// syncDataDir makes the rename of the cluster durable.
func (i initializer) syncDataDir() error {
	if i.volatile {
		return nil
	}
	dir, err := os.Open(i.dir.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
