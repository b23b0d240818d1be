package contractcmd

import (
	"errors"

	"github.com/spf13/cobra"

	"gatehouse/internal/contractdiff"
)

// newDiff returns the command contract diff.
func newDiff(cfg Config) *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show what changed between two versions of a contract, breaking changes first.",
		Long: `OLD and NEW are files, or REVISION:FILE for a file in the Git repository of the current directory,
with a path that is relative to the root of the repository.

In the root of gatehouse's own repository, the command also lists what is left to do for the new
version: operations without a handler, handlers without an operation, outcomes without a scenario,
and properties without a column.

The exit status is 0 if no change is breaking, 1 if one is, and 2 if the contracts cannot be
compared.`,
		Example:               `  gatehouse contract diff HEAD:openapi/admin.yaml openapi/admin.yaml`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault), // files
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("expected two contracts, OLD and NEW")
			}
			return nil
		},
		RunE: runs(func(_ *cobra.Command, args []string) error {
			result, err := contractdiff.Diff(args[0], args[1], ".")
			if err != nil {
				return withFaults(err, args...)
			}
			if err := result.Write(cfg.Out); err != nil {
				return err
			}
			if result.Breaking() > 0 {
				return ErrDeparted
			}
			return nil
		}),
	}
}
