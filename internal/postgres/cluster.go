package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// makeCluster makes the cluster under another name and renames it when it is
// whole, so that a start which is killed half-way leaves no half a cluster.
func (s *server) makeCluster(ctx context.Context) error {
	draft, err := os.MkdirTemp(s.at.home, newCluster)
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	err = s.run.as.own(draft)
	if err == nil {
		err = s.initdb(ctx, draft)
	}
	if err == nil {
		err = os.Rename(draft, s.at.cluster)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make data directory: %w", err), os.RemoveAll(draft))
	}
	return s.syncHome()
}

// removeUnfinished removes what killed starts left. No initdb can be at work in
// there, since we own the directory, except one that is dying with its server:
// the names are new each time so that it cannot disturb ours, and what it still
// writes is left to the next start.
func (s *server) removeUnfinished() {
	drafts, _ := filepath.Glob(filepath.Join(globQuote(s.at.home), newCluster)) // its only error is a bad pattern
	for _, draft := range drafts {
		if err := os.RemoveAll(draft); err != nil {
			s.log.Warn("could not remove an unfinished data directory", "dir", draft, "error", err)
		}
	}
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (s *server) initdb(ctx context.Context, dir string) error {
	err := s.finish(ctx, "initdb", "--pgdata", dir, "--username", superuser,
		// Bytes order text: an upgrade of the system's locales cannot break an index.
		"--encoding=UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=reject", // see openSocketDir
		// There is nobody who would notice a failing disk otherwise.
		"--data-checksums",
		// Syncing once at the end is faster than file by file.
		"--no-sync", "--no-instructions")
	if err != nil || s.volatile {
		return err
	}
	return s.finish(ctx, "initdb", "--pgdata", dir, "--sync-only")
}

// finish runs a program to its end, and kills it with its children if ctx ends.
func (s *server) finish(ctx context.Context, name string, args ...string) error {
	var said bytes.Buffer
	cmd := s.run.command(name, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	p, err := spawn(cmd)
	if err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = syscall.Kill(-p.handle.Pid, syscall.SIGKILL) // it may have ended by itself
		<-p.exited
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", cmd.Path, p.err, lastLines(said.String()))
	}
	return nil
}

// syncHome makes the rename last.
func (s *server) syncHome() error {
	if s.volatile {
		return nil
	}
	home, err := os.Open(s.at.home)
	if err != nil {
		return err
	}
	return errors.Join(home.Sync(), home.Close())
}
