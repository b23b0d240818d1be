package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/postgres"
)

// newPostgres returns the command postgres.
func newPostgres(std Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "postgres", Short: "Upgrade the private Postgres to a newer version."}
	cmd.AddCommand(newPostgresUpgrade(std))
	return cmd
}

// newPostgresUpgrade returns the command postgres upgrade.
func newPostgresUpgrade(std Streams) *cobra.Command {
	var cfg config.Config
	p := upgradeParams{std: std}
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Copy the data of the private Postgres to a newer version of Postgres.",
		Long: `Stop the server first. The command makes a second data directory with the newest Postgres that it
finds, copies the data with pg_dump and psql, compares both, table by table, and puts the new
directory in the place of the old one, which is kept beside it. It needs the programs of both
versions. It searches them on PATH, where packages of Debian, Red Hat, Homebrew and "make serve" put
them, and in folders postgres-*/bin of the data directory.

If it fails or is killed, the old data is as it was: run it again. If there is no newer Postgres, it
changes nothing.

The exit status is 0 if the data has the newest version afterwards, 1 if the upgrade failed, and 2
for an error in the command line.`,
		Example: `  gatehouse postgres upgrade
  gatehouse postgres upgrade --old-bin /usr/lib/postgresql/15/bin`,
		RunE: func(cmd *cobra.Command, _ []string) error { return upgradePostgres(cmd.Context(), &cfg, p) },
	}
	cmd.Flags().StringVar(&p.oldBin, "old-bin", "",
		"Directory of the programs of the version that made the data. Default: searched for.")
	cmd.Flags().StringVar(&p.newBin, "new-bin", "",
		"Directory of the programs of the version to upgrade to. Default: the newest that is found.")
	p.format = output.AddFlag(cmd)
	addSettings(cmd, &cfg)
	return cmd
}

// upgradeParams are the arguments of the command postgres upgrade.
type upgradeParams struct {
	oldBin, newBin string
	format         *output.Format
	std            Streams
}

func upgradePostgres(ctx context.Context, cfg *config.Config, p upgradeParams) error {
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if cfg.Database.URL != "" {
		return errors.New("--database-url (DATABASE_URL) is set: " +
			"the command upgrades the private Postgres, which is not used then")
	}
	progress := &stepProgress{log: p.std.Log}
	done, err := postgres.Upgrade(ctx, postgres.UpgradeConfig{
		DataDir: cfg.Server.DataDir, BinDir: cfg.Database.PostgresBin, OldBinDir: p.oldBin, NewBinDir: p.newBin,
		Log: commandLog(cfg.Log, p.std), Step: progress.begin, Copied: progress.add,
	})
	progress.end()
	if errors.Is(err, postgres.ErrInUse) {
		return fmt.Errorf("the upgrade needs the private Postgres for itself: %w", err)
	}
	if err != nil {
		return err
	}
	if *p.format != output.Table {
		return output.WriteValue(p.std.Out, *p.format, done)
	}
	reportUpgrade(p.std.Out, done)
	return nil
}

// reportUpgrade prints what was done, what is left to do, and how to undo it.
func reportUpgrade(out io.Writer, done postgres.Upgraded) {
	if done.From == done.To && done.Rows == 0 && done.Kept == "" {
		fmt.Fprintf(out, "nothing to do: the private Postgres has version %s, and there is no newer one on this machine\n",
			done.From)
		return
	}
	if done.Tables == 0 {
		fmt.Fprintf(out, "completed an upgrade that was killed: the private Postgres has version %s\n", done.To)
	} else {
		fmt.Fprintf(out, "upgraded the private Postgres from %s to %s: %d rows of %d tables, compared\n",
			done.From, done.To, done.Rows, done.Tables)
	}
	if len(done.Settings) > 0 {
		fmt.Fprintf(out, "settings that were not copied: add them to %s/postgresql.conf\n  %s\n",
			done.Dir, strings.Join(done.Settings, "\n  "))
	}
	if done.BinDir != "" {
		fmt.Fprintf(out, "start the server with GATEHOUSE_POSTGRES_BIN=%s from now on\n", done.BinDir)
	}
	fmt.Fprintf(out, `the old data is in %s
  to remove it:  rm -r %s
  to go back, without what was changed since, with Postgres %s:
    mv %s %s.not-used && mv %s %s
`, done.Kept, done.Kept, done.From, done.Dir, done.Dir, done.Kept, done.Dir)
}

// stepProgress shows on a terminal which step is done and how much data was copied, and nothing elsewhere.
type stepProgress struct {
	log io.Writer
	bar *progressbar.ProgressBar // of the step; nil unless there is a terminal
}

func (p *stepProgress) begin(step string) {
	p.end()
	file, isFile := p.log.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return
	}
	const unknown = -1
	p.bar = progressbar.NewOptions64(unknown, progressbar.OptionSetWriter(file), progressbar.OptionSetDescription(step),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(redrawPause), progressbar.OptionClearOnFinish())
	_ = p.bar.RenderBlank() // see add
}

func (p *stepProgress) add(bytes int64) {
	if p.bar != nil {
		_ = p.bar.Add64(bytes) // a terminal that is gone is no reason to end the command
	}
}

func (p *stepProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // see add
	}
}
