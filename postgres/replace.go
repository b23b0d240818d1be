package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
)

// replaceCluster replaces the cluster by draft, a complete cluster beside it, and returns the new path of the old one.
// If this process is killed after the first rename, the next start or upgrade completes the replacement. No postmaster
// may run on either cluster.
func replaceCluster(dir dataDir, draft string) (kept string, err error) {
	if err := os.Rename(draft, dir.upgraded()); err != nil {
		return "", fmt.Errorf("replace data directory: %w", err)
	}
	if err := syncDir(filepath.Dir(dir.cluster)); err != nil {
		return "", fmt.Errorf("replace data directory: %w", err)
	}
	return completeUpgrade(dir, slog.New(slog.DiscardHandler))
}

// completeUpgrade completes an interrupted replaceCluster. It returns the new path of the old cluster, or "" if it has
// moved none. The caller must hold the lock of the data directory.
func completeUpgrade(dir dataDir, log *slog.Logger) (kept string, err error) {
	major, err := clusterMajor(dir.upgraded())
	if err != nil || major == 0 {
		return "", err
	}
	if kept, err = renameOld(dir); err == nil {
		err = os.Rename(dir.upgraded(), dir.cluster)
	}
	if err == nil {
		err = syncDir(filepath.Dir(dir.cluster))
	}
	if err != nil {
		return "", fmt.Errorf("replace data directory: %w", err)
	}
	log.Info("the private postgres was upgraded", "dir", dir.cluster, "version", major, "kept", kept)
	return kept, nil
}

// renameOld appends the major version to the name of the old cluster, unless it has been renamed already.
func renameOld(dir dataDir) (kept string, err error) {
	major, err := clusterMajor(dir.cluster)
	if err != nil || major == 0 {
		return "", err
	}
	kept = freeName(dir.cluster + "." + strconv.Itoa(major))
	if err := os.Rename(dir.cluster, kept); err != nil {
		return "", err
	}
	return kept, syncDir(filepath.Dir(dir.cluster))
}

// freeName returns a path that does not exist: path, or path with a number appended.
func freeName(path string) string {
	for n, name := 2, path; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}
