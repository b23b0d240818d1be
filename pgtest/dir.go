package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// memoryDir holds files in memory on Linux. A database is 300 files: to create and remove them on a disk, even one
	// that is never waited for, was a third of the time that the tests of server/ took.
	memoryDir = "/dev/shm"
	// minMemory is the free space that memoryDir must have: a test package needs less than half of it.
	minMemory = 1 << 30
	dirPrefix = "gatehouse-test-"
)

// makeDir makes the directory of a Postgres, in memory if there is space. It removes those of processes that were
// killed.
func makeDir() (string, error) {
	parent := os.TempDir()
	var memory syscall.Statfs_t
	if syscall.Statfs(memoryDir, &memory) == nil && memory.Bavail*uint64(memory.Bsize) >= minMemory {
		parent = memoryDir
	}
	if err := removeOrphans(parent); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
}

func removeOrphans(parent string) error {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range dirs {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		owner, notNumber := strconv.Atoi(id)
		if notNumber == nil && errors.Is(syscall.Kill(owner, 0), syscall.ESRCH) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	return err
}
