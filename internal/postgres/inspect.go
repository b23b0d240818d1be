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
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, fs.ErrNotExist) {
		dir, err := openDataDir(cfg.DataDir)
		if err != nil {
			return state, err
		}
		if search.major, err = clusterMajor(dir.cluster); err != nil {
			return state, err
		}
		if search.major > 0 {
			state.Cluster, search.cluster = dir.cluster, dir.cluster
			if err := state.connect(ctx, dir); err != nil {
				return state, err
			}
		}
	}
	found, err := search.find(ctx)
	if err == nil {
		_, err = chooseAccount(search.cluster)
	}
	state.BinDir, state.Version = found.dir, found.version
	return state, err
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
		return nil
	}
	s.Running, s.ConnString = true, connString(socket)
	return conn.Close()
}
