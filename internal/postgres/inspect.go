package postgres

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
)

// State is the state of a private Postgres.
type State struct {
	// Cluster is the directory of the cluster; "" if there is none, which Start would make.
	Cluster string
	// BinDir and Version are the programs that Start would use.
	BinDir, Version string
	// Running reports whether it accepts connections, with ConnString.
	Running    bool
	ConnString string
}

// OldestMajor is the oldest major version that the schema and the tests support.
const OldestMajor = oldestMajor

// Inspect returns the state of the private Postgres of a data directory. It changes nothing. The error is that of Start
// if there are no programs that can run it.
func Inspect(ctx context.Context, cfg Config) (state State, err error) {
	search := binariesSearch{places: machinePlaces(), binDir: cfg.BinDir}
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, fs.ErrNotExist) { // openDataDir would make it
		if search.major, err = state.findCluster(ctx, cfg.DataDir); err != nil {
			return state, err
		}
		search.cluster = state.Cluster
	}
	found, err := search.find(ctx)
	if err == nil {
		_, err = chooseAccount(search.cluster)
	}
	state.BinDir, state.Version = found.dir, found.version
	return state, err
}

// findCluster finds the cluster of a data directory, and returns its major version; 0 if there is none.
func (s *State) findCluster(ctx context.Context, path string) (major int, err error) {
	dir, err := openDataDir(path)
	if err != nil {
		return 0, err
	}
	if major, err = clusterMajor(dir.cluster); err != nil || major == 0 {
		return 0, err
	}
	s.Cluster = dir.cluster
	return major, s.connect(ctx, dir)
}

// connect finds out whether something accepts connections at the socket.
func (s *State) connect(ctx context.Context, dir dataDir) error {
	socket, err := socketDir(dir)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socketFile(socket))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		return nil //nolint:nilerr // nobody listens: it does not run
	}
	s.Running, s.ConnString = true, connString(socket)
	return conn.Close()
}
