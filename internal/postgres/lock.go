package postgres

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ErrInUse is returned by Start when another server runs on the data directory. Attach connects to its Postgres.
var ErrInUse = errors.New("in use by another server")

// lockDataDir acquires the lock of the data directory, or returns an error that wraps ErrInUse. The kernel releases the
// lock however its holder ends, and children do not inherit it since the file is closed on exec. A postmaster that runs
// on the directory while this process holds the lock is therefore an orphan.
func lockDataDir(dir dataDir) (*os.File, error) {
	file, err := os.OpenFile(dir.lock, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 20) // the digits of any process ID
		n, _ := file.ReadAt(holder, 0)
		err = fmt.Errorf("data directory %s is %w (process %s): stop it or choose another data directory",
			dir.path, ErrInUse, strings.TrimSpace(string(holder[:n])))
	} else if err == nil {
		err = writePID(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// writePID writes the process ID into the lock file, for error messages and for people.
func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}
