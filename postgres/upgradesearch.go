package postgres

import (
	"context"
	"fmt"
	"path/filepath"
)

// upgradeSearch is a search for the programs of an Upgrade.
type upgradeSearch struct {
	UpgradeConfig

	cluster  string
	major    int // of the cluster
	places   places
	found    []binaries // on the machine
	old, new binaries   // the result
}

// find sets old and new. It returns errNothingToDo, and old, if no newer version is found.
func (s *upgradeSearch) find(ctx context.Context) error {
	if s.major < OldestMajor {
		return fmt.Errorf("data directory %s was made by Postgres %d: gatehouse upgrades from Postgres %d or newer",
			s.cluster, s.major, OldestMajor)
	}
	s.found = s.places.search(ctx)
	configured := s.BinDir
	if configured != "" {
		b, err := inspect(ctx, configured)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("no Postgres in %s: %w: set GATEHOUSE_POSTGRES_BIN to the folder of initdb and postgres, "+
				"or leave it empty", configured, err)
		}
		s.found = append([]binaries{b}, s.found...)
	}
	if err := s.findNew(ctx); err != nil {
		return err
	}
	return s.findOld(ctx)
}

// findNew sets the newer programs, in the order of precedence of a new cluster. Those of NewBinDir may be of the same
// version as the cluster.
func (s *upgradeSearch) findNew(ctx context.Context) (err error) {
	if s.NewBinDir != "" {
		s.new, err = named(ctx, "--new-bin", s.NewBinDir)
		if err == nil && s.new.major < s.major {
			err = fmt.Errorf("--new-bin: %s has Postgres %d, and data directory %s was made by Postgres %d: "+
				"a data directory cannot be downgraded", s.new.dir, s.new.major, s.cluster, s.major)
		}
		return err
	}
	same := binaries{}
	for _, b := range s.found {
		if b.major > s.major {
			s.new = b
			return nil
		}
		if b.major == s.major && same.dir == "" {
			same = b
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if same.dir != "" {
		s.old = same
		return errNothingToDo
	}
	return binariesSearch{places: s.places, cluster: s.cluster, major: s.major}.unsuitable(ctx, s.found)
}

// findOld sets the programs of the cluster's major version.
func (s *upgradeSearch) findOld(ctx context.Context) (err error) {
	if s.OldBinDir != "" {
		s.old, err = named(ctx, "--old-bin", s.OldBinDir)
		if err == nil && s.old.major != s.major {
			err = fmt.Errorf("--old-bin: %s has Postgres %d, and data directory %s was made by Postgres %d",
				s.old.dir, s.old.major, s.cluster, s.major)
		}
		return err
	}
	if s.new.major == s.major {
		s.found = append(s.found, s.new)
	}
	for _, b := range s.found {
		if b.major == s.major {
			s.old = b
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("data directory %s was made by Postgres %d, whose programs are needed once more to read it, "+
		"found only Postgres %d in %s: %s", s.cluster, s.major, s.new.major, s.new.dir, howToGetOld(s.major))
}

func named(ctx context.Context, flag, dir string) (binaries, error) {
	dir, err := filepath.Abs(dir) // the programs run in another directory
	if err != nil {
		return binaries{}, err
	}
	b, err := inspect(ctx, dir)
	if err != nil {
		return b, fmt.Errorf("%s: no Postgres in %s: %w", flag, dir, err)
	}
	return b, nil
}

// clientDirs returns the directories that may have pg_dump and psql, in order of precedence: programs of the newer
// version support the older one as well.
func (s *upgradeSearch) clientDirs() []string {
	dirs := []string{s.new.dir, s.old.dir}
	for _, pattern := range s.places.folders {
		found, _ := filepath.Glob(pattern) // fails only for bad patterns
		dirs = append(dirs, found...)
	}
	for _, dir := range filepath.SplitList(s.places.pathList) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}
