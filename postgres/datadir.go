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
	// socketSuffix is the suffix of the directory of the socket: "" for a server, another one for an upgrade.
	socketSuffix string
}

// Ends of the names of directories beside the cluster.
const (
	// newClusterSuffix is that of an incomplete cluster, which a start or an upgrade that is killed leaves behind. It can
	// be deleted.
	newClusterSuffix = ".new-*"
	// upgradedSuffix is that of the complete cluster of an upgrade that was killed before it had replaced the old one.
	upgradedSuffix = ".upgraded"
)

// upgraded returns the path of the complete cluster of an upgrade (see completeUpgrade).
func (d dataDir) upgraded() string { return d.cluster + upgradedSuffix }

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
	cluster, err := clusterPath(path)
	return dataDir{path: path, cluster: cluster, lock: in("postgres.lock"), log: in("postgres.log")}, err
}

// clusterPath returns the path of the cluster of a data directory. If the cluster was moved to another disk and linked,
// it is the target of the link, which is missing while an upgrade replaces it.
func clusterPath(dir string) (string, error) {
	cluster := filepath.Join(dir, "postgres")
	target, err := filepath.EvalSymlinks(cluster)
	if err == nil {
		return target, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("resolve data directory: %w", err)
	}
	if target, err = os.Readlink(cluster); errors.Is(err, fs.ErrNotExist) {
		return cluster, nil // there is none
	}
	if err != nil {
		return "", fmt.Errorf("resolve data directory: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(dir, target)
	}
	above, err := filepath.EvalSymlinks(filepath.Dir(target))
	if err != nil {
		return "", fmt.Errorf("the target of the link %s does not exist (is its disk mounted?): %w", cluster, err)
	}
	return filepath.Join(above, filepath.Base(target)), nil
}

// Exists reports whether a data directory has a cluster, which Start would make otherwise.
func Exists(dir string) (bool, error) {
	cluster, err := clusterPath(dir)
	if err != nil {
		return false, err
	}
	for _, path := range []string{cluster, cluster + upgradedSuffix} {
		if major, err := clusterMajor(path); major > 0 || err != nil {
			return major > 0, err
		}
	}
	return false, nil
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
