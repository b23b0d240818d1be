package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// newCompletion returns the command completion. It replaces cobra's, which has a subcommand for each shell.
func newCompletion() *cobra.Command {
	shells := map[string]func(root *cobra.Command, out io.Writer) error{
		"bash":       func(root *cobra.Command, out io.Writer) error { return root.GenBashCompletionV2(out, true) },
		"fish":       func(root *cobra.Command, out io.Writer) error { return root.GenFishCompletion(out, true) },
		"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
		"zsh":        (*cobra.Command).GenZshCompletion,
	}
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a completion script for bash, fish, powershell or zsh.",
		Long: `The examples load it into the shell that runs. Write them into the shell's startup file to have it
in every shell. For bash, the package bash-completion has to be installed; for zsh, run
"autoload -U compinit; compinit" before.`,
		Example: `  source <(gatehouse completion bash)
  gatehouse completion fish | source
  gatehouse completion powershell | Out-String | Invoke-Expression
  source <(gatehouse completion zsh)`,
		DisableFlagsInUseLine: true,
		ValidArgs:             names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return fmt.Errorf("expected a shell: %s", strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return shells[args[0]](cmd.Root(), cmd.OutOrStdout()) },
	}
}
