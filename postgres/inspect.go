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
	// Cluster is the directory of the cluster; "" if there is none, and Start would create it.
	Cluster string
	// BinDir and Version are the directory and the version of the programs that Start would use.
	BinDir, Version string
	// Running reports whether Postgres accepts connections. Only then, ConnString is set.
	Running    bool
	ConnString string
}

// Inspect returns the state of the private Postgres of a data directory. It changes nothing. If there are no suitable
// programs, the error is that of Start.
func Inspect(ctx context.Context, cfg Config) (state State, err error) {
	search := binariesSearch{places: machinePlaces(), binDir: cfg.BinDir}
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, fs.ErrNotExist) { // openDataDir would create it
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

// connect sets Running and ConnString if a server accepts connections at the socket.
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
		return nil //nolint:nilerr // no server listens: Postgres does not run
	}
	s.Running, s.ConnString = true, connString(socket)
	return conn.Close()
}
