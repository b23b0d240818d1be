package postgres

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// spaceMargin is the share of the size of the old cluster by which the new one may be larger: Postgres without lz4
	// compresses documents a little less, and indexes are sorted in temporary files.
	spaceMargin = 0.25
	// spaceOfEmpty is the size of an empty cluster and of the write-ahead log of a load.
	spaceOfEmpty = 256 << 20
)

// requireSpace returns an error if there is not enough space for a second cluster beside the old one, or if the old one
// cannot be renamed.
func requireSpace(cluster string) error {
	parent := filepath.Dir(cluster)
	mounted, err := isMountPoint(cluster, parent)
	if err != nil {
		return fmt.Errorf("check data directory: %w", err)
	}
	if mounted {
		return fmt.Errorf("%s is a mount point, which cannot be renamed: run gatehouse backup with the old Postgres "+
			"and gatehouse restore with an empty data directory and the new one", cluster)
	}
	size, err := sizeOf(filepath.Join(cluster, "base"))
	if err != nil {
		return fmt.Errorf("measure data directory: %w", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(parent, &disk); err != nil {
		return fmt.Errorf("measure disk of %s: %w", parent, err)
	}
	needed := uint64(size) + uint64(spaceMargin*float64(size)) + spaceOfEmpty
	free := disk.Bavail * uint64(disk.Bsize)
	if free < needed {
		return fmt.Errorf("not enough space in %s for a second data directory: %d MiB are needed, and %d MiB are free",
			parent, needed>>20, free>>20)
	}
	return nil
}

func isMountPoint(dir, parent string) (bool, error) {
	var devices [2]uint64
	for i, path := range []string{dir, parent} {
		info, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			devices[i] = uint64(stat.Dev) //nolint:unconvert,nolintlint // the type differs on macOS
		}
	}
	return devices[0] != devices[1], nil
}

// sizeOf returns the size of all files below a directory.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
