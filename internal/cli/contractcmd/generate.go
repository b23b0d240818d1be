package contractcmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"gatehouse/openapi/generate"
)

// newGenerate returns the command contract generate.
func newGenerate(cfg Config) *cobra.Command {
	return &cobra.Command{
		Use:   "generate [FOLDER]",
		Short: "Check the contracts in a folder, and generate Go code from them.",
		Long: `A contract is a file NAME.yaml in FOLDER, by default openapi, with a file NAME.codegen.yaml beside
it:

  package: api
  output: api/api.gen.go

The output is relative to the root of the module, where go.mod is. It has a type for each schema, an
interface with a handler for each operation, and the replies of each operation by outcome: what the
contract does not declare does not compile. The other settings are those of oapi-codegen, which need
not be installed.

Faults of the contracts are printed with file, line and column. Nothing is written then: files are
replaced when all of them are made. In a module with "tool gatehouse" in its go.mod, this line of a
Go file has go generate run the command:

  //go:generate go tool gatehouse contract generate openapi

The exit status is 0 if the contracts have no fault, 1 if one has, and 2 if the command could not
run.`,
		Example: `  gatehouse contract generate
  gatehouse contract generate openapi`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		Args:                  cobra.MaximumNArgs(1),
		RunE: runs(func(cmd *cobra.Command, args []string) error {
			folder := "openapi"
			if len(args) == 1 {
				folder = args[0]
			}
			result, err := generate.Run(cmd.Context(), folder)
			if err != nil {
				return err
			}
			for _, fault := range result.Faults {
				fmt.Fprintln(cfg.Log, fault)
			}
			if len(result.Faults) > 0 {
				return ErrDeparted
			}
			for _, path := range result.Written {
				fmt.Fprintln(cfg.Out, "wrote", path)
			}
			if len(result.Written) == 0 {
				fmt.Fprintln(cfg.Out, "the generated code is up to date")
			}
			return nil
		}),
	}
}
