package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
)

// repository is the root of the repository, seen from this directory.
const repository = "../.."

// previousRelease builds the server of the release before this one, from the history of the repository.
func previousRelease(t *testing.T, dir string) (program string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "e2e/testdata/previous-release"))
	require.NoError(t, err)
	var commit string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			commit = strings.TrimSpace(line)
		}
	}
	archive := filepath.Join(dir, "previous.tar")
	git := exec.CommandContext(t.Context(), testprogram.Need(t, "git"), "archive", "--output", archive, commit)
	git.Dir = repository
	if output, err := git.CombinedOutput(); err != nil {
		testprogram.Missing(t, "the history of the repository with "+commit+" (git fetch --unshallow): "+string(output))
	}
	source := filepath.Join(dir, "previous")
	require.NoError(t, os.Mkdir(source, 0o700))
	output, err := exec.CommandContext(t.Context(), "tar", "-x", "-C", source, "-f", archive).CombinedOutput()
	require.NoError(t, err, "%s", output)
	program = filepath.Join(dir, "gatehouse-previous")
	require.NoError(t, build(t.Context(), buildConfig{path: program, source: source}))
	return program
}

// TestRollingUpgrade replaces two servers of the release before by servers of this one, one after the other, while
// clients write with both. Nothing is lost, and no request fails except those that cannot reach a server that stops.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "redis-server")
	needsPair(t)
	dir, err := os.MkdirTemp("", "upgrade-") //nolint:usetesting // that of t.TempDir has a longer path
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	program := filepath.Join(dir, "gatehouse")
	require.NoError(t, build(t.Context(), buildConfig{path: program}))
	c, err := begin(t.Context(), config{seed: 1, out: t.Output(), program: previousRelease(t, dir)})
	if err == nil {
		err = c.upgrade(t.Context(), program)
	}
	require.NoError(t, c.end(err))
	require.Zero(t, c.report.counts["requests that failed"], "requests that a server has failed")
}

// upgrade replaces the servers while clients write, and checks everything when they run the new program.
func (c *chaos) upgrade(ctx context.Context, program string) error {
	// between is how long servers of both releases work beside each other: some hundred writes.
	const between = 2 * time.Second
	c.report.begin(1)
	if err := c.keepAnAPI(ctx); err != nil {
		return err
	}
	workers, err := c.newWorkers(ctx, 1)
	if err != nil {
		return err
	}
	workers[0].rehearse(ctx) // so that the new program finds objects of each kind
	writing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, each := range workers {
		running.Go(func() { each.run(writing) })
	}
	for i := range c.world.servers {
		time.Sleep(between)
		c.report.act("replace server " + c.world.servers[i].name)
		if err := c.world.replace(ctx, i, program); err != nil {
			return err
		}
	}
	time.Sleep(between)
	stop()
	running.Wait()
	c.check(ctx, workers)
	return nil
}

// keepAnAPI has the gateways serve an API from now on: while they have none, they delete no organisation key, which the
// release before takes for done.
func (c *chaos) keepAnAPI(ctx context.Context) error {
	org, _, err := organise(ctx, c.plain[0], "kept")
	if err != nil {
		return err
	}
	send := withBody((*api).ImportAPIsWithBodyWithResponse, importedAPI)
	if a := c.plain[0].do(ctx, send, target{id: "kept", org: org, marker: "kept"}); a.verdict != acknowledged {
		return errors.New(a.text)
	}
	for _, gateway := range c.world.gateways {
		if err := withinDelay(ctx, func() error { return c.world.checkGateway(ctx, gateway) }); err != nil {
			return err
		}
	}
	return nil
}
