// Package cli is the command line of gatehouse: a file for each command, and the parts that commands share.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/internal/cli/contractcmd"
	"gatehouse/internal/remote"
)

// Exit statuses. A Ctrl-C in the first milliseconds, before main handles signals, ends the program as it ends every
// other: without a message, as status 130 to a shell.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Run runs the command that args name, and returns the exit status of the program. ctx ends with Ctrl-C.
func Run(ctx context.Context, args []string, std Streams) int {
	root := New(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, contractcmd.ErrDeparted): // the command has printed what departed
		return exitFailed
	}
	fmt.Fprintln(std.Log, "gatehouse:", printableLines(err.Error()))
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return exitUsage
	}
	var status interface{ ExitStatus() int }
	if errors.As(err, &status) {
		return status.ExitStatus()
	}
	return exitFailed
}

// printableLines returns a text without the control characters that a server may have put into its lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		indent := len(lines[i]) - len(strings.TrimLeft(lines[i], "\t"))
		lines[i] = lines[i][:indent] + remote.Printable(lines[i][indent:])
	}
	return strings.Join(lines, "\n")
}

// New returns the command gatehouse with all its subcommands.
func New(std Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "gatehouse",
		Short:         "An open server for the Tyk Dashboard Admin API and Dashboard API.",
		Example:       "  gatehouse serve\n  gatehouse doctor",
		SilenceErrors: true, // Run prints them
		SilenceUsage:  true,
	}
	root.SetOut(std.Out)
	root.SetErr(std.Log)
	addGroup(root, "Run a server", newServe(std), newConfig(std), newDoctor(std), newHealthcheck(std))
	addGroup(root, "Manage what a server has",
		newOrgs(std), newUsers(std), newAPIs(std), newPolicies(std), newKeys(std), newNodes(std))
	addGroup(root, "Copy organisations, and keep them as files", newCopy(std), newExport(std), newDiff(std), newApply(std))
	addGroup(root, "Maintain the database and the secrets",
		newBackup(std), newRestore(std), newMigrate(std), newFinishUpgrade(std), newPostgres(std), newSecrets(std))
	addGroup(root, "Others", newContract(std), newCompletion(), newVersion(std))
	root.SetHelpCommand(newHelp())
	root.InitDefaultHelpCmd()
	root.CompletionOptions.DisableDefaultCmd = true // newCompletion replaces it
	root.PersistentFlags().BoolP("help", "h", false, "Print help.")
	root.PersistentFlags().Bool("version", false, "Print the version.")
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpFunc(printHelp)
	root.SetFlagErrorFunc(flagError)
	finish(root)
	return root
}

// addGroup adds commands to root, which its help lists below the title.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

// finish sets what all commands have in common.
func finish(cmd *cobra.Command) {
	cmd.Version = Version()
	cmd.Long = strings.TrimSpace(cmd.Long)
	cmd.Flags().SortFlags = false
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Value.Type() == "bool" {
			flag.Value = struct{ pflag.Value }{flag.Value} // hides IsBoolFlag, for which pflag prints [=true|false]
		}
	})
	cmd.SuggestionsMinimumDistance = maxTypos
	if cmd.HasSubCommands() {
		cmd.Example = cmp.Or(cmd.Example, cmd.Commands()[0].Example)
		cmd.Use += " COMMAND"
		cmd.DisableFlagsInUseLine = true
		if cmd.RunE == nil {
			cmd.Args, cmd.RunE = cobra.ArbitraryArgs, requireCommand
		}
	}
	if cmd.Args == nil {
		cmd.Args = noArguments
	}
	validate := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := validate(cmd, args); err != nil {
			return usage(fmt.Errorf("%w%s", err, hint(cmd, nil)))
		}
		return nil
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		finish(sub)
	}
}
