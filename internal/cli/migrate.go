package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/store"
)

// newMigrate returns the command migrate.
func newMigrate(std Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Show and apply the migrations of the database."}
	cmd.AddCommand(newMigrateStatus(std), newMigrateUp(std))
	return cmd
}

// exitDue is the exit status of migrate status if migrations are due.
const exitDue = 3

// dueError is returned if the server needs migrations that the database lacks.
type dueError struct{ count int }

// Error implements error.
func (e dueError) Error() string {
	if e.count == 1 {
		return "1 migration is due: run gatehouse migrate up, or start the server"
	}
	return fmt.Sprintf("%d migrations are due: run gatehouse migrate up, or start the server", e.count)
}

// ExitStatus is the exit status of the program.
func (dueError) ExitStatus() int { return exitDue }

// listedMigration is a migration as migrate status prints it.
type listedMigration struct {
	Migration string `json:"migration"`
	// Kind is expand or contract.
	Kind    string `json:"kind"`
	Applied bool   `json:"applied"`
}

var migrationColumns = []output.Column[listedMigration]{
	{Heading: "MIGRATION", Text: func(m listedMigration) string { return m.Migration }},
	{Heading: "KIND", Text: func(m listedMigration) string { return m.Kind }},
	{Heading: "STATE", Text: func(m listedMigration) string {
		switch {
		case m.Applied:
			return "applied"
		case m.Kind == kindContract:
			return "due: gatehouse finish-upgrade"
		}
		return "due"
	}},
}

// The kinds of migrations.
const (
	kindExpand   = "expand"
	kindContract = "contract"
)

func newMigrateStatus(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which migrations the database has, and which are due.",
		Long: `Migrations of the kind expand add what this release needs. Those of the kind contract remove what
only servers of earlier releases need: "gatehouse finish-upgrade" applies them. The command changes
nothing. It reads the settings of the server, and works beside a running server.

The exit status is 0 if the server needs no migration, 1 if the command failed, 2 for an error in
the command line, and 3 if migrations of the kind expand are due.`,
		Example: "  gatehouse migrate status\n  gatehouse migrate status -o json",
	}
	format := output.AddFlag(cmd)
	addSettings(cmd, &cfg)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := cfg.Resolve(); err != nil {
			return err
		}
		if err := requireDatabase(&cfg); err != nil {
			return err
		}
		log := commandLog(cfg.Log, std)
		db, err := startRunning(cmd.Context(), &cfg, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.close(cmd.Context())) }()
		all, err := store.Migrations(cmd.Context(), db.storeConfig(&cfg, log))
		if err != nil {
			return err
		}
		if err := output.Write(std.Out, *format, listedMigrations(all), migrationColumns); err != nil {
			return err
		}
		if due := dueMigrations(all); len(due) > 0 {
			return dueError{len(due)}
		}
		return nil
	}
	return cmd
}

func listedMigrations(all []store.Migration) (listed []listedMigration) {
	for _, each := range all {
		kind := kindExpand
		if each.Contract {
			kind = kindContract
		}
		listed = append(listed, listedMigration{Migration: each.Name, Kind: kind, Applied: each.Applied})
	}
	return listed
}

// dueMigrations returns the names of those that the server needs, and the database lacks.
func dueMigrations(all []store.Migration) (due []string) {
	for _, each := range all {
		if !each.Applied && !each.Contract {
			due = append(due, each.Name)
		}
	}
	return due
}

func newMigrateUp(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply the migrations that are due, all of them or none.",
		Long: `The server does the same at its start, unless --auto-migrate is false. Run the command with an
account that may change the schema, if that of the server may not. Servers of the last release work
on meanwhile.
The command reads the settings of the server.`,
		Example: "  gatehouse migrate up",
		RunE:    func(cmd *cobra.Command, _ []string) error { return migrateUp(cmd.Context(), &cfg, std) },
	}
	addSettings(cmd, &cfg)
	return cmd
}

// migrateUp applies the migrations that add.
func migrateUp(ctx context.Context, cfg *config.Config, std Streams) (err error) {
	if err := cfg.Resolve(); err != nil {
		return err
	}
	cfg.Database.AutoMigrate = true
	log := commandLog(cfg.Log, std)
	db, err := startRunning(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	before, err := store.Migrations(ctx, db.storeConfig(cfg, log))
	if err != nil && !errors.Is(err, store.ErrNewerDatabase) {
		log.Info("the migrations are not known yet", "err", err) // opening the database waits for it
	}
	if err := db.open(ctx, cfg, log, nil); err != nil {
		return err
	}
	for _, name := range dueMigrations(before) {
		fmt.Fprintf(std.Out, "applied %s\n", name)
	}
	fmt.Fprintln(std.Out, "the database has all migrations that the server needs")
	db.logPendingUpgrade(log)
	return nil
}
