package cli

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/internal/desired"
)

// newExport returns the command export.
func newExport(std Streams) *cobra.Command {
	var cfg config.Config
	var organisation string
	var admin *adminFlags
	var format *output.Format
	cmd := &cobra.Command{
		Use:   "export FOLDER",
		Short: "Write what a server has to a folder of files, for diff and apply.",
		Long: `FOLDER gets a folder for each organisation, with a file for the organisation, each user, API and
policy, and its key. Documents are indented, and otherwise as the server has them. Files of users
have neither access keys nor passwords. The other documents have their secrets: only you can read
the files. FOLDER must be empty, or not exist.

It is a start for apply and diff. For copies of everything, see "gatehouse backup".`,
		Example: `  gatehouse export organisations/
  gatehouse export --org 5e9d9544a1dcd60001d0ed20 organisations/`,
		Args:              oneFolder,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return exportFolder(cmd.Context(), exportParams{args[0], organisation, admin, format, std})
		},
	}
	cmd.Flags().StringVar(&organisation, "org", "",
		"ID of the only organisation to write. Default: all, and the super users.")
	format = output.AddFlag(cmd)
	admin = addAdminFlags(cmd, &cfg)
	return cmd
}

// oneFolder is the cobra.PositionalArgs of export.
func oneFolder(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("expected one FOLDER")
	}
	return nil
}

// exportParams are the arguments of the command export.
type exportParams struct {
	folder, organisation string
	admin                *adminFlags
	format               *output.Format
	std                  Streams
}

func exportFolder(ctx context.Context, p exportParams) (err error) {
	from, err := remoteServer(p.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	written, err := desired.Write(ctx, from, p.folder, p.organisation)
	if err != nil {
		return err
	}
	return output.Write(p.std.Out, *p.format, written, []output.Column[desired.Written]{
		{Heading: "KIND", Text: func(w desired.Written) string { return w.Kind }},
		{Heading: "FILES", Text: func(w desired.Written) string { return strconv.Itoa(w.Files) }},
	})
}
