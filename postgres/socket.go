package postgres

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// socketPort is part of the name of the socket. No port is opened.
	socketPort = 5432
	// maxSocketPath is the longest path of a socket in bytes on macOS. Linux allows 107.
	maxSocketPath = 103
)

// openSocketDir makes the directory of the socket. Postgres accepts every connection on the socket without a password,
// since the server may be root and Postgres another account, so that the account of a client proves nothing. The
// directory is what protects the cluster: it belongs to Postgres's account and nobody else may enter it, except root.
func openSocketDir(in dataDir, as account) (string, error) {
	dir, err := socketDir(in)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, privateMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	if err := checkSocketDir(dir, as); err != nil {
		return "", err
	}
	// Kubernetes adds permissions of the group to what a crash left in a volume with an fsGroup.
	if err := os.Chmod(dir, privateMode); err != nil {
		return "", fmt.Errorf("close socket directory: %w", err)
	}
	return dir, as.own(dir)
}

// socketDir returns a directory in the data directory or, if that path is too long, in the temporary directory. The
// name in the temporary directory, which every account shares, is unique to the cluster and the same at each start.
func socketDir(in dataDir) (string, error) {
	dir := filepath.Join(in.path, "postgres.socket"+in.socketSuffix)
	if !fitsSocket(dir) {
		sum := sha256.Sum256([]byte(in.cluster + in.socketSuffix))
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-%x", sum[:8]))
	}
	if !fitsSocket(dir) {
		return "", fmt.Errorf("no directory for a Unix socket: the paths of the data directory and of the temporary "+
			"directory %s are too long or contain a comma", os.TempDir())
	}
	return dir, nil
}

// fitsSocket reports whether a socket can lie in dir. Commas separate hosts in a connection string.
func fitsSocket(dir string) bool {
	return len(socketFile(dir)) <= maxSocketPath && !strings.Contains(dir, ",")
}

func socketFile(dir string) string {
	return filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", socketPort))
}

// checkSocketDir fails if another account may have prepared the directory.
func checkSocketDir(dir string, as account) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check socket directory: %w", err)
	}
	uid, _, err := owner(dir)
	if err != nil {
		return err
	}
	ours := uid == as.uid || uid == uint32(os.Geteuid())
	if !info.IsDir() || info.Mode().Perm()&0o007 != 0 || !ours {
		return fmt.Errorf("socket directory %s is not a directory that only this server can enter: remove it", dir)
	}
	return nil
}

// clearSocketDir removes the socket that a crash left, and its lock file, whose process ID may belong to another
// process by now. It may only be called while no postmaster runs on the cluster.
func clearSocketDir(dir string) error {
	socket := socketFile(dir)
	for _, path := range []string{socket, socket + ".lock"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear socket directory: %w", err)
		}
	}
	return nil
}

// removeSocketDir removes the directory unless a crash left the socket in it.
func removeSocketDir(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}

// Suffixes of the directories of the sockets of an upgrade.
const (
	oldSocketSuffix = ".old"
	newSocketSuffix = ".new"
)

// removeUpgradeSockets removes the socket directories of an upgrade that was killed.
func removeUpgradeSockets(in dataDir) error {
	var err error
	for _, in.socketSuffix = range []string{oldSocketSuffix, newSocketSuffix} {
		dir, nowhere := socketDir(in)
		if nowhere == nil {
			err = errors.Join(err, removeSocketDir(dir))
		}
	}
	return err
}

// connString returns the connection string of the cluster whose socket is in dir.
func connString(dir string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=disable", quoteKeyword(dir), socketPort, superuser)
}

// quoteKeyword quotes a value for libpq's keyword form.
func quoteKeyword(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// quoteListItem quotes an item of a setting that is a list.
func quoteListItem(item string) string { return `"` + strings.ReplaceAll(item, `"`, `""`) + `"` }
