package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gatehouse/internal/config"
)

// helpWidth is the number of columns of help texts. Terminals have more today, but pages are no easier to read for it.
const helpWidth = 100

// newHelp returns the command help. It replaces cobra's, which succeeds for unknown commands.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print the help of a command.",
		Example: "  gatehouse help serve",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return requireCommand(topic, rest)
			}
			return topic.Help()
		},
	}
}

// printHelp prints the help of a command.
func printHelp(cmd *cobra.Command, _ []string) {
	out, groups := cmd.OutOrStdout(), flagGroups(cmd) // before UseLine, which shows [flags] if the command has any
	fmt.Fprintf(out, "Usage: %s\n\n%s\n", cmd.UseLine(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(out, "\n%s\n", cmd.Long)
	}
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	printCommands(out, "Commands", availableCommands(cmd), "")
	for _, group := range cmd.Groups() {
		printCommands(out, group.Title, availableCommands(cmd), group.ID)
	}
	for _, group := range groups {
		fmt.Fprintf(out, "\n%s:\n%s", group.name, group.flags.FlagUsagesWrapped(helpWidth))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\nRun \"%s COMMAND --help\" for more information on a command.\n", cmd.CommandPath())
	}
}

// printCommands prints those of the commands that are in a group, "" for those that are in none.
func printCommands(out io.Writer, title string, commands []*cobra.Command, group string) {
	for _, sub := range commands {
		if sub.GroupID != group {
			continue
		}
		if title != "" {
			fmt.Fprintf(out, "\n%s:\n", title)
			title = ""
		}
		fmt.Fprintf(out, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
	}
}

// availableCommands returns the subcommands that users see.
func availableCommands(cmd *cobra.Command) []*cobra.Command {
	hidden := func(sub *cobra.Command) bool { return !sub.IsAvailableCommand() }
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), hidden)
}

// flagGroup is the flags below one heading of a help text.
type flagGroup struct {
	name  string
	flags *pflag.FlagSet
}

// flagGroups returns the flags of a command by group. The group of flags without one comes first.
func flagGroups(cmd *cobra.Command) []flagGroup {
	groups := []flagGroup{{name: "Flags", flags: newFlagSet()}}
	add := func(flag *pflag.Flag) {
		name := cmp.Or(config.GroupOf(flag), "Flags")
		i := slices.IndexFunc(groups, func(group flagGroup) bool { return group.name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, flagGroup{name: name, flags: newFlagSet()})
		}
		groups[i].flags.AddFlag(flag)
	}
	cmd.NonInheritedFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return slices.DeleteFunc(groups, func(group flagGroup) bool { return !group.flags.HasAvailableFlags() })
}

func newFlagSet() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	return flags
}
