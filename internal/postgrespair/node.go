package postgrespair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"gatehouse/postgres"
)

// Node is one Postgres of a Pair. Its methods may be called concurrently.
type Node struct {
	Name string // a or b

	pair *Pair
	dir  string
	port int

	mu      sync.Mutex // guards process, while the node starts or ends, too
	process *postgres.Process
}

// Address returns the host and port, which stay the same.
func (n *Node) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// URL returns the connection string of a database on this node, whatever its role is.
func (n *Node) URL(database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", superuser, n.pair.password, n.Address(), database)
}

// LogPath returns the path of the node's log.
func (n *Node) LogPath() string { return n.dir + ".log" }

// Running reports whether the node's postmaster runs.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running()
}

// running needs mu.
func (n *Node) running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.Exited():
		return false
	default:
		return true
	}
}

// Start starts the node unless it runs, and returns when it accepts connections.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return nil
	}
	// The backends of a postmaster that was killed may be writing, and have the shared memory.
	err := poll(ctx, func() error { return n.tryStart(ctx) })
	if err != nil {
		return fmt.Errorf("start node %s: %w: see %s", n.Name, err, n.LogPath())
	}
	return nil
}

func (n *Node) tryStart(ctx context.Context) error {
	if err := os.Remove(filepath.Join(n.dir, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if n.process, err = n.pair.programs.Start(log, "postgres", "-D", n.dir); err != nil {
		return err
	}
	err = poll(ctx, func() error {
		if !n.running() {
			return nil
		}
		return n.SQL(ctx, "postgres", "SELECT 1")
	})
	if err == nil && !n.running() {
		return errors.New("it has ended")
	}
	return err
}

// Kill kills the postmaster with SIGKILL, and returns when its backends have ended, too.
func (n *Node) Kill() {
	_ = n.signalAndWait(syscall.SIGKILL)
}

// Stop requests a fast shutdown, and returns when the node has ended.
func (n *Node) Stop() error { return n.signalAndWait(syscall.SIGINT) }

func (n *Node) signalAndWait(signal syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	backends := children(n.process.PID())
	if err := n.process.Signal(signal); err != nil {
		return err
	}
	for _, pid := range backends {
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may be frozen
	}
	_ = n.process.Signal(syscall.SIGCONT)
	<-n.process.Exited()
	n.process = nil
	for _, pid := range backends {
		waitGone(pid)
	}
	return nil
}

// waitGone waits until the child of a postmaster that has ended has ended, too, which it does with its statement.
func waitGone(pid int) {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(line) == 0 { // a zombie has none
			return
		}
	}
}

// Freeze stops the node and its backends as SIGSTOP does: connections stay, and nothing answers. Thaw ends that.
func (n *Node) Freeze() error { return n.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen node go on.
func (n *Node) Thaw() error { return n.signalAll(syscall.SIGCONT) }

func (n *Node) signalAll(signal syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return nil
	}
	// The postmaster first, so that it starts no backend meanwhile.
	if err := n.process.Signal(signal); err != nil {
		return err
	}
	for _, pid := range children(n.process.PID()) {
		_ = syscall.Kill(pid, signal) // it may have ended
	}
	return nil
}

// Promote makes the node, a standby, the primary of its pair, whatever the old primary does. The pair is not
// synchronous until Rejoin has been called. Promote returns when the node accepts writes.
func (n *Node) Promote(ctx context.Context) error {
	if err := n.setSynchronous(ctx, false); err != nil {
		return err
	}
	err := n.pair.programs.Run(ctx, "pg_ctl", "promote", "--wait", "--timeout", "60", "--pgdata", n.dir)
	if err != nil {
		return fmt.Errorf("promote standby: %w", err)
	}
	n.pair.mu.Lock()
	defer n.pair.mu.Unlock()
	n.pair.primary = n
	return nil
}

// Backends returns the process IDs of the processes of the node that serve clients.
func (n *Node) Backends() (pids []int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return nil
	}
	for _, pid := range children(n.process.PID()) {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		// A backend is called "postgres: ROLE DATABASE HOST(PORT) …".
		if err == nil && strings.HasPrefix(string(line), "postgres: "+superuser+" ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// EndBackends ends processes that serve clients of the node with a signal. It returns when the postmaster knows that
// they have ended. If the signal is SIGKILL, the postmaster then ends all others, and recovers.
func (n *Node) EndBackends(signal syscall.Signal, pids ...int) error {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal) // it may have ended
	}
	deadline := time.Now().Add(startTimeout)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil { // also while it is a zombie
			if time.Now().After(deadline) {
				return fmt.Errorf("backend %d still runs %s after signal %d", pid, startTimeout, signal)
			}
			time.Sleep(pollInterval)
		}
	}
	return nil
}

// Processes returns the process IDs of a Postgres, the postmaster first.
func Processes(postmaster int) []int { return append([]int{postmaster}, children(postmaster)...) }

// children returns the process IDs of the children of a process.
func children(pid int) (pids []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// SQL runs a statement with psql, for what a test prepares.
func (n *Node) SQL(ctx context.Context, database, statement string) error {
	return n.pair.programs.Run(ctx, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
		"--dbname", n.pair.conninfo(n.Address())+" dbname="+database, "--command", statement)
}

// initialise makes the cluster of a first primary.
func (n *Node) initialise(ctx context.Context) error {
	password := n.dir + ".password"
	if err := n.pair.programs.WriteFile(password, n.pair.password); err != nil {
		return err
	}
	defer os.Remove(password)
	if err := n.pair.programs.Mkdir(n.dir); err != nil {
		return err
	}
	// Passwords are sent as they are: everything is on loopback, and connections are many.
	err := n.pair.programs.Run(ctx, "initdb", "--pgdata", n.dir, "--username", superuser, "--pwfile", password,
		"--auth-local=reject", "--auth-host=password", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync",
		"--no-instructions")
	if err != nil {
		return err
	}
	return n.configure("")
}

// configure writes the settings of the node: a standby of the node at the address upstream, or a primary.
func (n *Node) configure(upstream string) error {
	settings := []string{
		"listen_addresses = '127.0.0.1'", fmt.Sprintf("port = %d", n.port), "unix_socket_directories = ''",
		"fsync = off", // the machine does not crash
		"max_connections = 100", "jit = off", "log_destination = stderr", "logging_collector = off",
		"timezone = UTC", "log_timezone = UTC", "log_line_prefix = '%m [%p] '",
		// The children of a postmaster that was killed end soon, and a lost peer is noticed.
		"wal_sender_timeout = 10s", "wal_receiver_timeout = 10s", "wal_retrieve_retry_interval = 200ms",
		"wal_keep_size = 512MB", "max_wal_size = 512MB", "shared_buffers = 32MB", "cluster_name = " + n.Name,
	}
	settings = append(settings, n.pair.cfg.Settings...)
	if upstream != "" {
		settings = append(settings, "primary_conninfo = '"+n.pair.conninfo(upstream)+"'")
		if err := n.pair.programs.WriteFile(filepath.Join(n.dir, "standby.signal"), ""); err != nil {
			return err
		}
	}
	// In place of initdb's postgresql.conf. ALTER SYSTEM writes into another file, which a backup has from its primary.
	path := filepath.Join(n.dir, "postgresql.conf")
	if err := n.pair.programs.WriteFile(path, strings.Join(settings, "\n")+"\n"); err != nil {
		return err
	}
	return n.writeSynchronous(false)
}

// writeSynchronous writes whether commits wait for the standby. postgresql.auto.conf is read last.
func (n *Node) writeSynchronous(on bool) error {
	names := "''"
	if on {
		names = "'*'"
	}
	path := filepath.Join(n.dir, "postgresql.auto.conf")
	return n.pair.programs.WriteFile(path, "synchronous_standby_names = "+names+"\n")
}

// setSynchronous changes whether commits wait for the standby, and returns when that is so.
func (n *Node) setSynchronous(ctx context.Context, on bool) error {
	if err := n.writeSynchronous(on); err != nil {
		return err
	}
	if err := n.SQL(ctx, "postgres", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	want := "''"
	if on {
		want = "'*'"
	}
	return poll(ctx, func() error {
		return n.SQL(ctx, "postgres", "SELECT 1 / (current_setting('synchronous_standby_names') = "+want+")::int")
	})
}
