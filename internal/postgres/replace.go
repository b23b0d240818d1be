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

// replaceCluster puts draft, a complete cluster beside the old one, in the place of the old one, and returns the path
// at which the old one is kept. The first rename decides: if this process is killed after it, the next start or upgrade
// does the rest. No postmaster runs on either cluster.
func replaceCluster(dir dataDir, draft string) (kept string, err error) {
	if err := os.Rename(draft, dir.upgraded()); err != nil {
		return "", fmt.Errorf("replace data directory: %w", err)
	}
	if err := syncDir(filepath.Dir(dir.cluster)); err != nil {
		return "", fmt.Errorf("replace data directory: %w", err)
	}
	return completeUpgrade(dir, slog.New(slog.DiscardHandler))
}

// completeUpgrade does what is left of replaceCluster, if there is anything. It returns the path at which the old
// cluster is kept if it has moved it there. The caller holds the lock of the data directory.
func completeUpgrade(dir dataDir, log *slog.Logger) (kept string, err error) {
	major, err := clusterMajor(dir.upgraded())
	if err != nil || major == 0 {
		return "", err
	}
	if kept, err = keepOld(dir); err == nil {
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

// keepOld renames the old cluster, if it has not been renamed already. Its new name has its version.
func keepOld(dir dataDir) (kept string, err error) {
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

// freeName returns a path at which there is nothing: this one, or with a number behind it.
func freeName(path string) string {
	for n, name := 2, path; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}
