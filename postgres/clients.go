package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// clients runs pg_dump and psql of one version.
type clients struct{ run runner }

// clientsSearch is a search for programs that can dump a cluster, and load the dump into a newer one.
type clientsSearch struct {
	// oldest and newest are the major versions of the two clusters. A pg_dump before oldest cannot read the old cluster,
	// and the new cluster may not be able to load the dump of one after newest.
	oldest, newest int
	dirs           []string
}

// find returns the first directory that has both programs. They must be of the same version, because psql has to
// execute what pg_dump writes.
func (s clientsSearch) find(ctx context.Context) (string, error) {
	for _, dir := range s.dirs {
		if s.suits(ctx, dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no pg_dump and psql of Postgres %d to %d, which the upgrade needs (npm's Postgres has none): "+
		"install them (Debian, Ubuntu: apt-get install postgresql-client-%d; macOS: brew install postgresql@%d), "+
		"or run gatehouse backup with the old Postgres and gatehouse restore with an empty data directory and the new one",
		s.oldest, s.newest, s.oldest, s.oldest)
}

func (s clientsSearch) suits(ctx context.Context, dir string) bool {
	for _, name := range []string{"pg_dump", "psql"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	line, err := printedVersion(ctx, filepath.Join(dir, "pg_dump"))
	var b binaries
	return err == nil && b.parseVersion(line) == nil && b.major >= s.oldest && b.major <= s.newest
}

// connectArgs returns the arguments with which each program connects to a cluster.
func connectArgs(socketDir string) []string {
	return []string{
		"--host", socketDir, "--port", strconv.Itoa(socketPort), "--username", superuser, "--dbname", "postgres",
		"--no-password",
	}
}

// psql returns a command that executes its standard input and fails at the first error. Its messages contain no data.
func (c clients) psql(socketDir string, args ...string) *exec.Cmd {
	args = append(args, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--set", "VERBOSITY=terse",
		"--set", "SHOW_CONTEXT=never")
	return c.run.command("psql", append(args, connectArgs(socketDir)...)...)
}

// query executes statements, and returns a line for each row, with its values separated by "|".
func (c clients) query(ctx context.Context, socketDir, sql string) (string, error) {
	cmd := c.psql(socketDir, "--no-align", "--tuples-only")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = strings.NewReader("SET statement_timeout = 0;\n"+sql), &out
	err := runProgram(ctx, cmd)
	return out.String(), err
}

// runProgram runs a program to its end, and kills it if ctx ends.
func runProgram(ctx context.Context, cmd *exec.Cmd) error {
	p, err := spawnClient(cmd)
	if err != nil {
		return err
	}
	return p.wait(ctx)
}

// client is a running program, and its standard error.
type client struct {
	*process

	path   string
	stderr *bytes.Buffer
}

func spawnClient(cmd *exec.Cmd) (client, error) {
	c := client{path: cmd.Path, stderr: &bytes.Buffer{}}
	cmd.Stderr = c.stderr
	var err error
	c.process, err = spawn(cmd)
	return c, err
}

// stop kills the program if it is still running.
func (c client) stop() {
	select {
	case <-c.exited:
	default:
		c.kill()
	}
}

// wait waits for the end of the program, and kills it if ctx ends.
func (c client) wait(ctx context.Context) error {
	select {
	case <-c.exited:
	case <-ctx.Done():
		c.kill()
		return ctx.Err()
	}
	if c.err != nil {
		return fmt.Errorf("run %s: %w: %s", c.path, c.err, lastLines(c.stderr.String()))
	}
	return nil
}
