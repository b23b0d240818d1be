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
	// socketPort names the socket file, nothing more: no port is opened.
	socketPort = 5432
	// socketPathLimit is the longest path of a socket in bytes on macOS; Linux
	// allows 107.
	socketPathLimit = 103
)

// openSocketDir makes the folder that the socket lies in. Connections are
// trusted without a password (the server may be root and Postgres another
// account, so the account proves nothing), so this folder is the lock on the
// door: its owner is Postgres's account and nobody else may enter it. The server
// does, as that account or as root.
func openSocketDir(at layout, as account) (string, error) {
	dir, err := socketDir(at)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make socket directory: %w", err)
	}
	if err := checkSocketDir(dir, as); err != nil {
		return "", err
	}
	return dir, as.own(dir)
}

func socketDir(at layout) (string, error) {
	dir := filepath.Join(at.home, "postgres.socket")
	if !fitsSocket(dir) {
		// The temporary directory is everybody's, so the name is ours alone: the
		// same at each start, another for each cluster.
		sum := sha256.Sum256([]byte(at.cluster))
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("gatehouse-%x", sum[:8]))
	}
	if !fitsSocket(dir) {
		return "", fmt.Errorf("no place for a Unix socket: the path of the data directory and of the temporary directory %s are both too long or have a comma in them", os.TempDir())
	}
	return dir, nil
}

// fitsSocket also rules out commas, which separate hosts in a connection string.
func fitsSocket(dir string) bool {
	return len(socketFile(dir)) <= socketPathLimit && !strings.Contains(dir, ",")
}

func socketFile(dir string) string {
	return filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", socketPort))
}

// checkSocketDir refuses a folder that somebody else prepared for us.
func checkSocketDir(dir string, as account) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at socket directory: %w", err)
	}
	uid, _, err := owner(dir)
	if err != nil {
		return err
	}
	ours := uid == as.uid || uid == uint32(os.Geteuid())
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ours {
		return fmt.Errorf("socket directory %s is not a directory that only this server can enter: remove it", dir)
	}
	return nil
}

// clearSocketDir removes what a crash left in the folder. The socket has a lock
// file of its own, with a process id that may be another process's by now, and
// it guards nothing in a folder that is used by one cluster. Only for when no
// postmaster runs.
func (s *server) clearSocketDir() error {
	socket := socketFile(s.socketDir)
	for _, path := range []string{socket, socket + ".lock"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// removeSocketDir tidies up. If a crash left the socket in it, it stays.
func (s *server) removeSocketDir() error {
	err := os.Remove(s.socketDir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}
