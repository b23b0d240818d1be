package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// memoryDir holds files in memory on Linux. A database is 300 files: to create and remove them on a disk, even one
	// that is never waited for, was a third of the time that the tests of server/ took.
	memoryDir = "/dev/shm"
	// minMemory is the free space that memoryDir must have: a test package needs less than half of it.
	minMemory = 1 << 30
	dirPrefix = "gatehouse-pgtest-"
)

// makeDir makes the directory of a Postgres, in memory if there is space, and locks it until this process ends. It
// removes those of processes that were killed.
func makeDir() (string, error) {
	parent := os.TempDir()
	var memory syscall.Statfs_t
	if syscall.Statfs(memoryDir, &memory) == nil && memory.Bavail*uint64(memory.Bsize) >= minMemory {
		parent = memoryDir
	}
	if err := removeOrphans(parent); err != nil {
		return "", err
	}
	return makeLockedDir(parent)
}

// makeLockedDir makes a directory again if another process has taken it for an orphan before it was locked.
func makeLockedDir(parent string) (string, error) {
	for {
		dir, err := os.MkdirTemp(parent, dirPrefix)
		if err != nil {
			return "", err
		}
		if _, err = lockDir(dir, syscall.LOCK_EX); err == nil {
			_, err = os.Stat(dir)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
	}
}

// removeOrphans removes the directories that no process has locked. A process ID would not do: containers that share
// the parent have others.
func removeOrphans(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range dirs {
		err = errors.Join(err, removeOrphan(dir))
	}
	return err
}

func removeOrphan(dir string) error {
	lock, err := lockDir(dir, syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK), // in use
		errors.Is(err, fs.ErrPermission), // of another account
		errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return errors.Join(os.RemoveAll(dir), syscall.Close(lock))
}

// lockDir locks a directory, as flock(2) does, until the file descriptor that it returns is closed or the process ends.
func lockDir(dir string, how int) (int, error) {
	lock, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	for {
		if err = syscall.Flock(lock, how); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, syscall.Close(lock))
	}
	return lock, nil
}
