package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// layout names what lies in the server's data directory. Paths are real
// (absolute, no symbolic links), because a running postmaster is recognised by
// the path it was started with.
type layout struct {
	home    string
	cluster string
	lock    string
	log     string
}

// newCluster is the pattern of a cluster that initdb has not finished: a start
// that is killed leaves one behind, and it never held data.
const newCluster = "postgres.new-*"

func openLayout(dataDir string) (layout, error) {
	if dataDir == "" {
		return layout{}, errors.New("no data directory for the private Postgres")
	}
	if err := os.MkdirAll(dataDir, homeMode()); err != nil {
		return layout{}, fmt.Errorf("make data directory: %w", err)
	}
	home, err := filepath.Abs(dataDir)
	if err == nil {
		home, err = filepath.EvalSymlinks(home)
	}
	if err != nil {
		return layout{}, fmt.Errorf("resolve data directory: %w", err)
	}
	in := func(name string) string { return filepath.Join(home, name) }
	cluster := in("postgres")
	if real, err := filepath.EvalSymlinks(cluster); err == nil {
		cluster = real // it was moved to another disk and linked
	}
	return layout{home: home, cluster: cluster, lock: in("postgres.lock"), log: in("postgres.log")}, nil
}

// homeMode lets another account walk through the data directory where Postgres
// needs one (see chooseAccount). Everything of ours in it is closed by itself.
func homeMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// clusterMajor is the major version that made the cluster, 0 if there is no
// cluster yet. A directory that is neither a cluster nor empty is an error: it
// is somebody's, and we do not write into it.
func clusterMajor(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read data directory: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s is not empty and not a Postgres data directory (no PG_VERSION in it): move it away or choose another data directory", dir)
	}
	if err != nil {
		return 0, fmt.Errorf("read version of data directory: %w", err)
	}
	major, ok := leadingNumber(strings.TrimSpace(string(text)))
	if !ok {
		return 0, fmt.Errorf("%s has an unreadable PG_VERSION: %q", dir, text)
	}
	return major, nil
}

// leadingNumber reads versions such as "15", "15.18", "9.6" and "18beta1".
func leadingNumber(version string) (int, bool) {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	return n, err == nil
}
