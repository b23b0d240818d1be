// Package contractcmd has the commands below `gatehouse contract`: their flags, and what they print. The engines are
// packages contract, conformance and internal/contractdiff.
package contractcmd

import "github.com/spf13/cobra"

// New returns the command contract.
func New(cfg Config) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "contract",
		Short: "Check servers and clients against a contract, an OpenAPI file.",
		Long: `The contract is an OpenAPI 3.0 file: those of gatehouse, or another that --contract names. Its named
response examples are outcomes. Exit statuses: 0 if the contract held, 1 if something departed from
it, 2 if the command could not run.`,
	}
	cmd.AddCommand(newCheck(cfg), newProxy(cfg), newMock(cfg), newDiff(cfg), newLint(cfg), newGenerate(cfg),
		newNew(cfg))
	return cmd
}
