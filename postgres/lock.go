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

// ErrBusy is returned by Start while a command uses the data directory. Its Postgres must not be attached to, because
// the command stops it at its end.
var ErrBusy = errors.New("in use by a gatehouse command")

// The marks in the lock file, after the process ID, of holders of the lock that are not servers.
const (
	upgradeMark = "upgrade"
	commandMark = "command"
)

// lockDataDir acquires the lock of the data directory, and writes the mark to its file. If another process holds the
// lock, the error wraps ErrInUse if that is a server, and ErrBusy if it is a command.
//
// The kernel releases the lock however its holder ends, and children do not inherit it since the file is closed on
// exec. A postmaster that runs on the directory while this process holds the lock is therefore an orphan.
func lockDataDir(dir dataDir, mark string) (*os.File, error) {
	file, err := os.OpenFile(dir.lock, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = lockedError(dir, file)
	} else if err == nil {
		err = writePID(file, mark)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// unlock releases the lock. Closing the file alone would not do, while a child that is being started still has it open.
func unlock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

// lockedError returns the error for a data directory that another process has locked.
func lockedError(dir dataDir, lock *os.File) error {
	const maxContent = 40 // the digits of any process ID, and upgradeMark
	content := make([]byte, maxContent)
	n, _ := lock.ReadAt(content, 0)
	holder, mark, _ := strings.Cut(strings.TrimSpace(string(content[:n])), "\n")
	if mark == upgradeMark {
		return fmt.Errorf("data directory %s is being upgraded by gatehouse postgres upgrade (process %s): "+
			"try again when that has ended", dir.path, holder)
	}
	if mark == commandMark || holder == "" { // the holder has not written its process ID yet
		return fmt.Errorf("data directory %s is %w (process %s): try again when that has ended", dir.path, ErrBusy, holder)
	}
	return fmt.Errorf("data directory %s is %w (process %s): stop it or choose another data directory",
		dir.path, ErrInUse, holder)
}

// writePID writes the process ID and the mark, if it is not "", to the lock file, for error messages.
func writePID(file *os.File, mark string) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	content := fmt.Appendf(nil, "%d\n", os.Getpid())
	if mark != "" {
		content = fmt.Appendln(content, mark)
	}
	_, err := file.WriteAt(content, 0)
	return err
}
