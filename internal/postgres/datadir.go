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

// dataDir holds the paths in the server's data directory. They are absolute and without symbolic links, because a
// running postmaster is recognised by the path it was started with.
type dataDir struct {
	path    string
	cluster string
	lock    string
	log     string
}

// newClusterPattern matches the directories in which initdb has not finished. A start that is killed leaves one behind,
// which never held data.
const newClusterPattern = "postgres.new-*"

func openDataDir(path string) (dataDir, error) {
	if path == "" {
		return dataDir{}, errors.New("no data directory for the private Postgres")
	}
	if err := os.MkdirAll(path, dataDirMode()); err != nil {
		return dataDir{}, fmt.Errorf("make data directory: %w", err)
	}
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return dataDir{}, fmt.Errorf("resolve data directory: %w", err)
	}
	in := func(name string) string { return filepath.Join(path, name) }
	cluster := in("postgres")
	if target, err := filepath.EvalSymlinks(cluster); err == nil {
		cluster = target // the cluster was moved to another disk and linked
	}
	return dataDir{path: path, cluster: cluster, lock: in("postgres.lock"), log: in("postgres.log")}, nil
}

// Exists reports whether a data directory has a cluster, which Start would make otherwise.
func Exists(dataDir string) (bool, error) {
	major, err := clusterMajor(filepath.Join(dataDir, "postgres"))
	return major > 0, err
}

// dataDirMode lets other accounts search the data directory of root, because Postgres runs as another account there
// (see chooseAccount). The files in it have modes of their own.
func dataDirMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// clusterMajor returns the major version of the cluster in dir, or 0 if dir is missing or empty. It fails if dir holds
// anything else, so that files of another program are never overwritten.
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
		return 0, fmt.Errorf("%s is not empty and not a Postgres data directory (no PG_VERSION in it): "+
			"move it away or choose another data directory", dir)
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

// leadingNumber parses the major of versions such as "15", "15.18", "9.6" and "18beta1".
func leadingNumber(version string) (int, bool) {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	return n, err == nil
}
