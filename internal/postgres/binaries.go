package postgres

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// oldestMajor is the oldest Postgres that the project is written for.
	oldestMajor = 14
	// versionLimit bounds "postgres --version", which takes milliseconds unless
	// the binary lies on a file system that hangs.
	versionLimit = 10 * time.Second
)

// binaries is a folder that holds initdb and postgres of one version.
type binaries struct {
	dir   string
	major int
	minor int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// places says where binaries may be.
type places struct {
	pathList string   // as in PATH; wins over the folders, being the user's choice
	folders  []string // glob patterns, of which the newest version wins
}

func machinePlaces() places {
	return places{pathList: os.Getenv("PATH"), folders: []string{
		"/usr/lib/postgresql/*/bin",                      // Debian, Ubuntu: not on PATH
		"/usr/pgsql-*/bin",                               // packages of postgresql.org for Red Hat
		"/opt/homebrew/opt/postgresql*/bin",              // Homebrew: versioned formulas are not linked into PATH
		"/usr/local/opt/postgresql*/bin",                 // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", // Homebrew on Linux
	}}
}

// findBinaries returns binaries that can run the cluster in dir: those of its
// major, or any that are new enough if there is no cluster yet (major 0).
func findBinaries(ctx context.Context, in places, binDir, dir string, major int) (binaries, error) {
	var found []binaries
	if binDir != "" {
		b, err := probe(ctx, binDir)
		if err != nil {
			return binaries{}, fmt.Errorf("no Postgres in %s: %w: %s", binDir, err, whatToDo(major))
		}
		found = []binaries{b}
	} else {
		found = in.search(ctx)
	}
	for _, b := range found {
		if b.major == major || major == 0 && b.major >= oldestMajor {
			return b, nil
		}
	}
	return binaries{}, unsuitable(found, dir, major)
}

// unsuitable is the one line for a user whose machine has no fitting Postgres.
func unsuitable(found []binaries, dir string, major int) error {
	var have []string
	for _, b := range found {
		have = append(have, fmt.Sprintf("Postgres %d in %s", b.major, b.dir))
	}
	only := "found none"
	if len(have) > 0 {
		only = "found only " + strings.Join(have, ", ")
	}
	if major == 0 {
		return fmt.Errorf("the private Postgres needs Postgres %d or newer, %s: %s", oldestMajor, only, whatToDo(major))
	}
	return fmt.Errorf("data directory %s was made by Postgres %d, %s: %s", dir, major, only, whatToDo(major))
}

func whatToDo(major int) string {
	debian, brew := "postgresql", "postgresql@17"
	if major != 0 {
		debian, brew = fmt.Sprintf("postgresql-%d", major), fmt.Sprintf("postgresql@%d", major)
	}
	return fmt.Sprintf("install it (Debian: apt-get install %s; macOS: brew install %s), or set GATEHOUSE_POSTGRES_BIN to the folder of its initdb and postgres, or DATABASE_URL to a Postgres that already runs", debian, brew)
}

// search lists every usable folder once, best first.
func (in places) search(ctx context.Context) []binaries {
	seen := map[string]bool{}
	add := func(to []binaries, dir string) []binaries {
		b, err := probe(ctx, dir)
		if err != nil || seen[b.dir] {
			return to
		}
		seen[b.dir] = true
		return append(to, b)
	}
	var onPath, inFolders []binaries
	for _, dir := range filepath.SplitList(in.pathList) {
		if filepath.IsAbs(dir) { // a relative entry would let the working directory choose what runs
			onPath = add(onPath, dir)
		}
	}
	for _, pattern := range in.folders {
		dirs, _ := filepath.Glob(pattern) // its only error is a bad pattern
		for _, dir := range dirs {
			inFolders = add(inFolders, dir)
		}
	}
	slices.SortStableFunc(inFolders, newestFirst)
	return append(onPath, inFolders...)
}

func newestFirst(a, b binaries) int {
	return cmp.Or(cmp.Compare(b.major, a.major), cmp.Compare(b.minor, a.minor))
}

// probe asks the binaries in dir for their version.
func probe(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: realFolder(dir)}
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(b.path(name)); err != nil {
			return b, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("ask postgres for its version: %w", err)
	}
	return b, b.readVersion(string(out))
}

// readVersion reads lines such as "postgres (PostgreSQL) 15.18 (Debian …)".
func (b *binaries) readVersion(line string) error {
	_, version, _ := strings.Cut(line, ") ")
	major, ok := leadingNumber(version)
	if !ok {
		return fmt.Errorf("unknown version of postgres: %q", line)
	}
	b.major = major
	_, minor, _ := strings.Cut(version, ".")
	b.minor, _ = leadingNumber(minor) // a beta has none
	return nil
}

// realFolder follows links such as /usr/local/bin/postgres to the folder that
// holds the whole installation, if initdb is there too.
func realFolder(dir string) string {
	target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return dir
	}
	real := filepath.Dir(target)
	if _, err := os.Stat(filepath.Join(real, "initdb")); err != nil {
		return dir
	}
	return real
}
