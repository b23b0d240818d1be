package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

// newFinishUpgrade returns the command finish-upgrade.
func newFinishUpgrade(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "finish-upgrade",
		Short: "End an upgrade: remove from the database what only earlier releases need.",
		Long: `Run it once after an upgrade, when no server of an earlier release runs on the database any more.
Those would fail from then on. The command reads the settings of the server, and works beside
running servers. If it cannot lock a table within 5 seconds, because of a long import for example,
it changes nothing and fails: run it again.`,
		Example: `  gatehouse finish-upgrade --database-url postgres://gatehouse@db.example/gatehouse`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return finishUpgrade(cmd.Context(), &cfg, std) },
	}
	addSettings(cmd, &cfg)
	return cmd
}

// finishUpgrade applies the migrations that remove.
func finishUpgrade(ctx context.Context, cfg *config.Config, std Streams) (err error) {
	if err := cfg.Resolve(); err != nil {
		return err
	}
	db, err := openRunning(ctx, cfg, commandLog(cfg.Log, std))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	if err := db.store.FinishUpgrade(ctx); err != nil {
		return err
	}
	fmt.Fprintln(std.Out, "the database has nothing any more that only earlier releases need")
	return nil
}
