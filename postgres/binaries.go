package postgres

import (
	"cmp"
	"context"
	_ "embed" // for the two lists
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// OldestMajor is the oldest major version that the schema and the tests support.
	OldestMajor = 14
	// versionTimeout limits --version, which takes milliseconds unless a file system does not respond.
	versionTimeout = 10 * time.Second
)

// folders.txt and install.txt are shared with internal/install.sh.
var (
	// usualFolders are glob patterns, one a line: packages of Debian and Ubuntu, which are not on PATH; packages of
	// postgresql.org for Red Hat; Homebrew's versioned formulas on ARM, Intel and Linux.
	//go:embed folders.txt
	usualFolders string
	// waysToInstall are the ways to get a Postgres, one a line.
	//go:embed install.txt
	waysToInstall string
)

// binaries is a directory that holds initdb and postgres of one version.
type binaries struct {
	dir     string
	version string // such as "15.18"
	major   int
	minor   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// places are where binaries may be, in order of precedence.
type places struct {
	pathList string   // in the form of PATH
	folders  []string // glob patterns
	cache    string   // glob pattern of what internal/install.sh downloaded with npm
}

func machinePlaces() places {
	return places{pathList: os.Getenv("PATH"), folders: lines(usualFolders), cache: cachePattern()}
}

// cachePattern returns the glob pattern of the binaries in the user's cache, or "" without one. Root's cache is one
// that the account of Postgres can read. internal/install.sh chooses the same.
func cachePattern() string {
	cache, err := os.UserCacheDir()
	switch {
	case os.Geteuid() != 0:
	case runtime.GOOS == "darwin":
		cache, err = "/Library/Caches", nil
	default:
		cache, err = "/var/cache", nil
	}
	if err != nil {
		return ""
	}
	return filepath.Join(quoteGlob(cache), "gatehouse", "postgres-*", "bin")
}

// binariesSearch is a search for binaries that can run a cluster.
type binariesSearch struct {
	places  places
	binDir  string // the only directory to use, unless empty
	cluster string
	major   int // major version of the cluster; 0 for a new cluster, which any supported version can make
}

// find returns the binaries of highest precedence that can run the cluster. If ctx ends first, it returns an error that
// wraps that of ctx.
func (s binariesSearch) find(ctx context.Context) (binaries, error) {
	var found []binaries
	if s.binDir != "" {
		b, err := inspect(ctx, s.binDir)
		if err != nil && ctx.Err() == nil {
			return binaries{}, fmt.Errorf("no Postgres in %s: %w: %s", s.binDir, err, howToInstall(s.major))
		}
		found = []binaries{b}
	} else {
		found = s.places.search(ctx)
	}
	if err := ctx.Err(); err != nil { // the search was cut short: that it found none means nothing
		return binaries{}, fmt.Errorf("find postgres: %w", err)
	}
	for _, b := range found {
		if b.major == s.major || s.major == 0 && b.major >= OldestMajor {
			return b, nil
		}
	}
	return binaries{}, s.unsuitable(ctx, found)
}

// unsuitable returns the error for a machine without suitable binaries.
func (s binariesSearch) unsuitable(ctx context.Context, found []binaries) error {
	var have []string
	for _, b := range found {
		have = append(have, fmt.Sprintf("Postgres %d in %s", b.major, b.dir))
	}
	only := "found none"
	if len(have) > 0 {
		only = "found only " + strings.Join(have, ", ")
	}
	if s.major == 0 {
		return fmt.Errorf("the private Postgres needs Postgres %d or newer, %s: %s", OldestMajor, only, howToInstall(0))
	}
	mismatch := fmt.Sprintf("data directory %s was made by Postgres %d, %s", s.cluster, s.major, only)
	if s.major < OldestMajor || !slices.ContainsFunc(found, func(b binaries) bool { return b.major > s.major }) {
		return fmt.Errorf("%s: %s", mismatch, howToInstall(s.major))
	}
	if slices.ContainsFunc(s.places.search(ctx), func(b binaries) bool { return b.major == s.major }) {
		return fmt.Errorf("%s: run gatehouse postgres upgrade, which copies the data to the newer version", mismatch)
	}
	return fmt.Errorf("%s: gatehouse postgres upgrade copies the data to the newer version, for which it needs "+
		"the programs of Postgres %d: %s", mismatch, s.major, howToGetOld(s.major))
}

// howToInstall returns the ways to get a Postgres of the major version, or any if major is 0.
func howToInstall(major int) string {
	ways := lines(waysToInstall)
	if major != 0 {
		ways = slices.DeleteFunc(ways, func(way string) bool { return !strings.HasPrefix(way, "set ") })
		ways = slices.Insert(ways, 0, fmt.Sprintf("Debian, Ubuntu: apt-get install postgresql-%d", major),
			fmt.Sprintf("macOS: brew install postgresql@%d", major))
	}
	return "install it or name one (" + strings.Join(ways, "; ") + ")"
}

// howToGetOld returns the ways to install the programs of a version that the operating system may no longer package.
func howToGetOld(major int) string {
	return fmt.Sprintf("install them (Debian, Ubuntu: apt-get install postgresql-%d; if the release has another version, "+
		"first apt-get install postgresql-common and run /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh; "+
		"Fedora: dnf install postgresql%d-server from yum.postgresql.org; macOS: brew install postgresql@%d), "+
		"or name the folder of initdb and postgres with --old-bin, then run gatehouse postgres upgrade", major, major, major)
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// search returns each directory with binaries once. On PATH, which is the user's choice, the order of PATH counts;
// elsewhere the newest version is first.
func (p places) search(ctx context.Context) []binaries {
	var pathDirs []string
	for _, dir := range filepath.SplitList(p.pathList) {
		if filepath.IsAbs(dir) { // a relative entry would let the working directory choose what runs
			pathDirs = append(pathDirs, dir)
		}
	}
	var folders []string
	for _, pattern := range p.folders {
		dirs, _ := filepath.Glob(pattern) // fails only for bad patterns
		folders = append(folders, dirs...)
	}
	cached, _ := filepath.Glob(p.cache)

	var found []binaries
	for _, group := range [][]binaries{
		inspectAll(ctx, pathDirs), newestFirst(inspectAll(ctx, folders)), newestFirst(inspectAll(ctx, cached)),
	} {
		for _, b := range group {
			if !slices.Contains(found, b) {
				found = append(found, b)
			}
		}
	}
	return found
}

// inspectAll returns the binaries in those of the directories that have usable ones.
func inspectAll(ctx context.Context, dirs []string) []binaries {
	var found []binaries
	for _, dir := range dirs {
		if b, err := inspect(ctx, dir); err == nil {
			found = append(found, b)
		}
	}
	return found
}

func newestFirst(found []binaries) []binaries {
	slices.SortStableFunc(found, func(a, b binaries) int {
		return cmp.Or(cmp.Compare(b.major, a.major), cmp.Compare(b.minor, a.minor))
	})
	return found
}

// inspect runs the binaries in dir to get their version.
func inspect(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: installationDir(dir)}
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(b.path(name)); err != nil {
			return b, err
		}
	}
	line, err := printedVersion(ctx, b.path("postgres"))
	if err != nil {
		return b, fmt.Errorf("get version of postgres: %w", err)
	}
	return b, b.parseVersion(line)
}

// printedVersion returns what a program of Postgres prints with --version. The program has a process group of its own:
// Ctrl-C in a terminal would end it, which looks as if it were missing.
func printedVersion(ctx context.Context, program string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	var out []byte
	err := repeatIfPreempted(ctx, func() (err error) {
		cmd := exec.CommandContext(ctx, program, "--version")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err = cmd.Output()
		return err
	})
	return string(out), err
}

// parseVersion parses lines such as "postgres (PostgreSQL) 15.18 (Debian …)".
func (b *binaries) parseVersion(line string) error {
	_, after, _ := strings.Cut(line, ") ")
	version, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	major, ok := leadingNumber(version)
	if !ok {
		return fmt.Errorf("unknown version of postgres: %q", line)
	}
	_, minor, _ := strings.Cut(version, ".")
	b.version, b.major = version, major
	b.minor, _ = leadingNumber(minor) // a beta has none
	return nil
}

// installationDir follows a link such as /usr/local/bin/postgres to the directory of the installation, if that has
// initdb as well.
func installationDir(dir string) string {
	target, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
	if err != nil {
		return dir
	}
	installation := filepath.Dir(target)
	if _, err := os.Stat(filepath.Join(installation, "initdb")); err != nil {
		return dir
	}
	return installation
}
