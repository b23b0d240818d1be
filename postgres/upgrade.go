package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// UpgradeConfig configures an Upgrade.
type UpgradeConfig struct {
	DataDir string // the server's data directory
	// BinDir is Config.BinDir: the directory of the old programs, or of the new ones.
	BinDir string
	// OldBinDir and NewBinDir are the directories of the programs of the two versions. Empty: search the machine.
	OldBinDir, NewBinDir string
	Log                  *slog.Logger
	// Step is called when a step begins, and Copied for each part of the data that was copied. Both may be nil.
	Step   func(name string)
	Copied func(bytes int64)
}

// Upgraded is the result of an Upgrade.
type Upgraded struct {
	From string `json:"from"` // the version of Postgres, such as "15.18"
	To   string `json:"to"`   // the same as From if there was nothing to do
	Dir  string `json:"dir"`  // of the cluster
	// Kept is the directory of the old cluster; "" if there was nothing to do.
	Kept   string `json:"kept"`
	Tables int64  `json:"tables"`
	Rows   int64  `json:"rows"`
	// Settings are the settings of the old cluster that the new one does not have.
	Settings []string `json:"settings_not_copied"`
	// BinDir is the directory of the new programs if a start would not find them without Config.BinDir.
	BinDir string `json:"set_postgres_bin,omitempty"`
}

// errNothingToDo ends an Upgrade of a cluster for which there is no newer Postgres.
var errNothingToDo = errors.New("there is no newer Postgres")

// stopTimeout is the time for a postmaster to stop, including the checkpoint of all loaded data.
const stopTimeout = 5 * time.Minute

// Upgrade creates a cluster of a newer Postgres beside that of a data directory, copies the database with pg_dump and
// psql, compares the two, and replaces the old cluster, which is renamed and not deleted. Upgrade locks the data
// directory: the error wraps ErrInUse if a server runs on it. If Upgrade fails or is killed, either the old cluster is
// unchanged, or the new one is complete, and the next start or Upgrade completes the replacement.
func Upgrade(ctx context.Context, cfg UpgradeConfig) (done Upgraded, err error) {
	exists, err := Exists(cfg.DataDir)
	if err != nil {
		return done, err
	}
	if !exists {
		return done, fmt.Errorf("there is no private Postgres in %s", cfg.DataDir)
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return done, err
	}
	lock, err := lockDataDir(dir, upgradeMark)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlock(lock)) }()
	done.Dir, done.Settings = dir.cluster, []string{}
	if done.Kept, err = completeUpgrade(dir, slog.New(slog.DiscardHandler)); err != nil {
		return done, err
	}
	u := &upgrade{UpgradeConfig: cfg, dir: dir, done: done}
	if err = u.find(ctx); errors.Is(err, errNothingToDo) {
		return u.done, nil
	}
	if err == nil {
		err = u.run(ctx)
	}
	return u.done, err
}

// upgrade is an Upgrade in progress. It holds the lock of the data directory.
type upgrade struct {
	UpgradeConfig

	dir      dataDir
	old, new binaries
	clients  clients
	done     Upgraded
}

func (u *upgrade) step(name string) {
	if u.Step != nil {
		u.Step(name)
	}
}

func (u *upgrade) copied(bytes int64) {
	if u.Copied != nil {
		u.Copied(bytes)
	}
}

// run creates the new cluster, and replaces the old one by it.
func (u *upgrade) run(ctx context.Context) error {
	if err := requireSpace(u.dir.cluster); err != nil {
		return err
	}
	old := u.launcher(u.dir.cluster, oldSocketSuffix, u.old)
	old.more = []string{"default_transaction_read_only=on"}
	if err := old.chooseRights(); err != nil {
		return err
	}
	if err := old.mend(); err != nil {
		return err
	}
	u.clients.run.account, u.clients.run.capabilities = old.run.account, old.run.capabilities
	made := initializer{dir: u.dir, run: old.run, volatile: true, log: u.Log}
	made.run.binaries = u.new
	made.removeUnfinished(ctx)
	u.step("making the new data directory")
	draft, err := made.draftCluster(ctx)
	if err != nil {
		return err
	}
	if err := u.fill(ctx, old, draft, made); err != nil {
		return errors.Join(fmt.Errorf("%w; the old data is as it was", err), os.RemoveAll(draft))
	}
	u.done.Kept, err = replaceCluster(u.dir, draft)
	return err
}

// fill copies the old cluster to the draft, which is complete and durable afterwards.
func (u *upgrade) fill(ctx context.Context, old *launcher, draft string, made initializer) error {
	loaded := u.launcher(draft, newSocketSuffix, u.new)
	loaded.run.account, loaded.run.capabilities = old.run.account, old.run.capabilities
	// Nothing is synced before the draft is complete: after a crash, the next upgrade starts again with a new draft.
	loaded.volatile, loaded.more = true, []string{"wal_level=minimal", "max_wal_senders=0", "autovacuum=off"}
	err := u.running(ctx, old, func() error {
		return u.running(ctx, loaded, func() error { return u.copyAndCompare(ctx, old.socketDir, loaded.socketDir) })
	})
	if err != nil {
		return err
	}
	u.step("writing to the disk")
	return made.syncCluster(ctx, draft)
}

// launcher returns a launcher of a cluster whose socket has another path than that of a server, so that no other
// program connects to it during the upgrade.
func (u *upgrade) launcher(cluster, socketSuffix string, programs binaries) *launcher {
	dir := u.dir
	dir.cluster, dir.socketSuffix = cluster, socketSuffix
	return &launcher{dir: dir, run: runner{binaries: programs}, log: u.Log}
}

// running starts a postmaster, calls use, and stops the postmaster.
func (u *upgrade) running(ctx context.Context, l *launcher, use func() error) (err error) {
	if l.socketDir, err = openSocketDir(l.dir, l.run.account); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeSocketDir(l.socketDir)) }()
	u.step("starting Postgres " + l.run.binaries.version)
	postmaster, err := l.launch(ctx)
	if err != nil {
		return err
	}
	defer func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, postmaster.shutDown(stopCtx))
	}()
	return use()
}

// copyAndCompare copies the database from one running cluster to another, and compares the two.
func (u *upgrade) copyAndCompare(ctx context.Context, from, to string) (err error) {
	if err := requireNoOthers(ctx, u.clients, from); err != nil {
		return err
	}
	u.step("copying")
	if err := (transfer{u.clients, from, to, u.copied}).run(ctx); err != nil {
		return fmt.Errorf("copy the database: %w", cmp.Or(ctx.Err(), err))
	}
	if u.done.Settings, err = changedSettings(ctx, u.clients, from, to); err != nil {
		return err
	}
	u.step("comparing")
	before, err := contentOf(ctx, u.clients, from)
	if err != nil {
		return err
	}
	now, err := contentOf(ctx, u.clients, to)
	if err != nil {
		return err
	}
	if difference := before.difference(now); difference != "" {
		return fmt.Errorf("the new data directory differs from the old one: %s", difference)
	}
	u.done.Tables, u.done.Rows = before.count()
	u.step("gathering statistics")
	_, err = u.clients.query(ctx, to, `VACUUM (ANALYZE);`)
	return err
}

// find sets the programs. It returns errNothingToDo if there are none of a newer version than that of the cluster.
func (u *upgrade) find(ctx context.Context) error {
	major, err := clusterMajor(u.dir.cluster)
	if err != nil {
		return err
	}
	search := upgradeSearch{UpgradeConfig: u.UpgradeConfig, cluster: u.dir.cluster, major: major, places: machinePlaces()}
	search.places.folders = append(search.places.folders, filepath.Join(quoteGlob(u.dir.path), "postgres-*", "bin"))
	if err := search.find(ctx); err != nil {
		u.done.From, u.done.To = search.old.version, search.old.version
		return err
	}
	u.old, u.new = search.old, search.new
	u.clients.run.binaries.dir, err = clientsSearch{u.old.major, u.new.major, search.clientDirs()}.find(ctx)
	u.done.From, u.done.To = u.old.version, u.new.version
	start := binariesSearch{places: machinePlaces(), binDir: u.BinDir, cluster: u.dir.cluster, major: u.new.major}
	if found, startErr := start.find(ctx); startErr != nil || found.major != u.new.major {
		u.done.BinDir = u.new.dir
	}
	return err
}
