// Package postgrespair runs a primary of Postgres with a synchronous standby on loopback, for tests of what happens
// when one of them is killed, stopped, cut off or promoted. Nothing of it survives its process: it is not for data.
//
// A pair has two nodes. Each keeps its address, whatever its role is. A commit on the primary returns when the standby
// has it too, so that a promotion loses no acknowledged commit.
package postgrespair

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gatehouse/internal/testport"
	"gatehouse/postgres"
)

const (
	// superuser is the role that owns everything.
	superuser = "gatehouse"
	// startTimeout limits the start of a node with its recovery, which takes a fraction of a second on an idle machine.
	startTimeout = 2 * time.Minute
	// pollInterval is the time between two looks at a node that starts.
	pollInterval = 20 * time.Millisecond
)

// ErrMissing is returned where Postgres lacks a program that a pair needs, such as psql: a server needs less.
var ErrMissing = errors.New("this Postgres is not complete")

// Config configures a Pair.
type Config struct {
	// Dir is where everything is stored. It must exist, and the account of Postgres has to reach it (mode 711).
	Dir string
	// BinDir is the directory of Postgres's programs; empty: search the machine.
	BinDir string
	// Settings are lines of postgresql.conf, in addition.
	Settings []string
	// Via returns the address at which a standby reaches a node, so that a proxy can be between them; nil: the node's own.
	Via func(node *Node) string
}

// Pair is a primary with a standby. Its methods may be called concurrently with those of its nodes, but not with one
// another.
type Pair struct {
	cfg      Config
	programs postgres.Programs
	password string
	nodes    [2]*Node

	mu      sync.Mutex // guards primary, for the time of one access
	primary *Node
}

// Start makes and starts a pair. It returns when the standby streams.
func Start(ctx context.Context, cfg Config) (*Pair, error) {
	p, err := New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// New returns a pair that has not been started, and whose nodes have their addresses.
func New(ctx context.Context, cfg Config) (*Pair, error) {
	programs, err := postgres.FindPrograms(ctx, cfg.BinDir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"psql", "pg_ctl", "pg_basebackup", "pg_amcheck"} {
		if _, err := os.Stat(programs.Path(name)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMissing, err)
		}
	}
	p := &Pair{cfg: cfg, programs: programs, password: rand.Text()}
	for i := range p.nodes {
		port, err := testport.Reserve()
		if err != nil {
			return nil, err
		}
		p.nodes[i] = &Node{
			pair: p, Name: string(rune('a' + i)), port: port, dir: filepath.Join(cfg.Dir, "node-"+string(rune('a'+i))),
		}
	}
	p.primary = p.nodes[0]
	return p, nil
}

// Start makes and starts both nodes. It returns when the standby streams.
func (p *Pair) Start(ctx context.Context) error {
	if err := p.StartPrimary(ctx); err != nil {
		return err
	}
	return p.Rejoin(ctx)
}

// StartPrimary makes and starts the first primary.
func (p *Pair) StartPrimary(ctx context.Context) error {
	primary := p.Primary()
	if err := primary.initialise(ctx); err != nil {
		return err
	}
	return primary.Start(ctx)
}

// Nodes returns the two nodes, always in the same order.
func (p *Pair) Nodes() [2]*Node { return p.nodes }

// Primary returns the node that is the primary, whether or not it runs.
func (p *Pair) Primary() *Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.primary
}

// Standby returns the other node.
func (p *Pair) Standby() *Node {
	if primary := p.Primary(); primary == p.nodes[0] {
		return p.nodes[1]
	}
	return p.nodes[0]
}

// URL returns the connection string of a database, for connections to the primary, whichever node that is. addresses
// replace those of the nodes, if there are any.
func (p *Pair) URL(database string, addresses ...string) string {
	if len(addresses) == 0 {
		addresses = []string{p.nodes[0].Address(), p.nodes[1].Address()}
	}
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable&target_session_attrs=read-write",
		superuser, p.password, strings.Join(addresses, ","), database)
}

// Promote makes the standby the primary, as Node.Promote does. The old primary must not run any more.
func (p *Pair) Promote(ctx context.Context) error {
	if p.Primary().Running() {
		return errors.New("promote standby: the primary still runs, and both would accept writes")
	}
	return p.Standby().Promote(ctx)
}

// Rejoin makes the other node a standby of the primary, from a new backup, and the pair synchronous. It kills the other
// node if it runs. It returns when the standby has all that the primary has.
func (p *Pair) Rejoin(ctx context.Context) error {
	primary, standby := p.Primary(), p.Standby()
	standby.Kill()
	if err := os.RemoveAll(standby.dir); err != nil {
		return err
	}
	if err := p.programs.Mkdir(standby.dir); err != nil {
		return err
	}
	err := p.programs.Run(ctx, "pg_basebackup", "--pgdata", standby.dir, "--checkpoint=fast", "--no-sync",
		"--wal-method=stream", "--dbname", p.conninfo(primary.Address()))
	if err != nil {
		return fmt.Errorf("back up the primary: %w", err)
	}
	if err := standby.configure(p.upstream(primary)); err != nil {
		return err
	}
	if err := standby.Start(ctx); err != nil {
		return err
	}
	if err := primary.setSynchronous(ctx, true); err != nil {
		return err
	}
	return p.WaitStreaming(ctx)
}

// WaitStreaming waits until the primary has a synchronous standby.
func (p *Pair) WaitStreaming(ctx context.Context) error {
	const streams = `SELECT 1 / count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'`
	primary := p.Primary()
	err := poll(ctx, func() error { return primary.SQL(ctx, "postgres", streams) })
	if err != nil {
		return fmt.Errorf("wait for the standby to stream: %w", err)
	}
	return nil
}

func (p *Pair) upstream(primary *Node) string {
	if p.cfg.Via == nil {
		return primary.Address()
	}
	return p.cfg.Via(primary)
}

// conninfo returns the connection string of libpq for a node at an address.
func (p *Pair) conninfo(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("host=%s port=%s user=%s password=%s connect_timeout=5", host, port, superuser, p.password)
}

// Close kills both nodes. It leaves Config.Dir to its owner.
func (p *Pair) Close() error {
	for _, node := range p.nodes {
		if node != nil {
			node.Kill()
		}
	}
	return nil
}

// poll calls try until it succeeds. The error is the last one of try.
func poll(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// Check checks all tables and indexes of a database on a node with pg_amcheck. The database needs the extension
// amcheck.
func (p *Pair) Check(ctx context.Context, node *Node, database string) error {
	return p.programs.Run(ctx, "pg_amcheck", "--heapallindexed", "--parent-check", "--rootdescend",
		p.conninfo(node.Address())+" dbname="+database)
}
