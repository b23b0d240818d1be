package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"gatehouse/internal/spool"
)

const (
	// fullDisk is the free space below which Postgres may stop at any time: a WAL segment has 16 MiB.
	fullDisk = 64 << 20
	// lowDisk is the free space below which a large import may fill the disk.
	lowDisk = 1 << 30
)

// DiskConfig configures CheckDisk.
type DiskConfig struct {
	// DataDir is the data directory; "" if nothing is stored in it.
	DataDir string
	// SpoolDir is the directory of imports that are being received, and MaxImport the maximum size of one, in bytes.
	SpoolDir  string
	MaxImport int64
}

// CheckDisk checks the free space of the directories that the server writes to.
func CheckDisk(cfg DiskConfig) Check {
	return Check{"disk", func(context.Context) (findings []Finding) {
		if cfg.DataDir != "" {
			dir := filepath.Join(cfg.DataDir, "postgres") // may be a link to another disk
			if _, err := os.Stat(dir); err != nil {
				dir = cfg.DataDir
			}
			findings = append(findings, spaceFinding("disk data", dir, lowDisk))
		}
		return append(findings, cfg.spool())
	}}
}

// spool creates a spool file as an import does, and checks the free space.
func (cfg DiskConfig) spool() Finding {
	const name = "disk spool"
	probe := spool.New(spool.Config{Dir: cfg.SpoolDir, Max: fullDisk})
	if err := errors.Join(probe.Add([]byte("gatehouse doctor")), probe.Close()); err != nil {
		return Finding{
			name, Fault, err.Error(),
			"set --spool-dir (GATEHOUSE_SPOOL_DIR) to a directory that the account of the server may write, with free space",
		}
	}
	finding := spaceFinding(name, cfg.SpoolDir, lowDisk)
	free, _, err := freeSpace(cfg.SpoolDir)
	if err == nil && finding.Status == OK && free < uint64(max(cfg.MaxImport, 0)) {
		finding.Status = Note
		finding.Advice = "free space, set --spool-dir, or lower --max-import: one import of that size would fill the disk"
	}
	return finding
}

// spaceFinding returns the finding about the disk of a directory, on which a number of bytes should be free.
func spaceFinding(name, dir string, low uint64) Finding {
	existing := dir
	for {
		if _, err := os.Stat(existing); !errors.Is(err, fs.ErrNotExist) || existing == filepath.Dir(existing) {
			break
		}
		existing = filepath.Dir(existing) // the server creates the directory
	}
	free, files, err := freeSpace(existing)
	if err != nil {
		return Finding{
			name, Warning, "cannot read the free space of " + existing + ": " + err.Error(),
			"run doctor as the account of the server",
		}
	}
	have := fmt.Sprintf("%d MiB free in %s", free>>20, dir)
	const advice = "free space, or move the directory to a larger disk"
	switch {
	case free < fullDisk:
		return Finding{name, Fault, have, advice}
	case files == 0:
		return Finding{name, Fault, "no more files can be created in " + dir + " (inodes)", advice}
	case free < low:
		return Finding{name, Warning, have, advice}
	}
	return Finding{name, OK, have, ""}
}

// freeSpace returns the bytes and the number of files that an account other than root may add. Where a file system has
// no limit of files, that is the largest number.
func freeSpace(dir string) (bytes, files uint64, err error) {
	var stat syscall.Statfs_t
	for {
		if err = syscall.Statfs(dir, &stat); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if files = stat.Ffree; stat.Files == 0 {
		files = ^uint64(0)
	}
	return uint64(stat.Bavail) * uint64(stat.Bsize), files, err //nolint:unconvert // the types differ by system
}
