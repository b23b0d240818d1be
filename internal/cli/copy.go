package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/internal/remote"
	"gatehouse/internal/replicate"
)

// newCopy returns the command copy.
func newCopy(std Streams) *cobra.Command {
	p := copyParams{std: std}
	cmd := &cobra.Command{
		Use:   "copy --from URL --from-secret-file FILE --to URL --to-secret-file FILE",
		Short: "Copy organisations, with what belongs to them, from one server to another.",
		Long: `The source and the target are gatehouse or Tyk Dashboard. The command reads and writes by their
public operations of the admin API only: organisations, users, APIs, policies and organisation keys.
It creates what the target lacks, replaces what differs, and deletes nothing. IDs are kept, except
those of users. If you run it again, what the target has already is not written.

Passwords cannot be read: the users who must set one are listed. Access keys are kept if the source
shows them and the target accepts them.

The admin API of Tyk Dashboard has no lists of users, APIs and policies. With the access key of a
super user, or one of a user of each organisation, they are read from its Dashboard API. What the
source does not give is listed.

An object that the target refuses is named on standard error, with its organisation. The others are
copied, and the exit status is 1.`,
		Example: `  gatehouse copy --from http://tyk:3000 --from-secret-file old --to http://new --to-secret-file new`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []string{"from", "from-secret-file", "to", "to-secret-file"} {
				if cmd.Flag(flag).Value.String() == "" {
					return usage(fmt.Errorf("--%s is missing%s", flag, hint(cmd, nil)))
				}
			}
			return copyServer(cmd.Context(), p)
		},
	}
	addCopyFlags(cmd, &p)
	p.format = output.AddFlag(cmd)
	return cmd
}

// copyParams are the arguments of the command copy.
type copyParams struct {
	from, to         adminServer
	fromFile, toFile string   // of the secrets
	fromKeyFiles     []string // of users of the source
	toKeyFiles       []string // of users of the target
	organisation     string
	spoolDir         string
	timeout          time.Duration
	format           *output.Format
	std              Streams
}

func addCopyFlags(cmd *cobra.Command, p *copyParams) {
	flags := cmd.Flags()
	flags.StringVar(&p.from.url, "from", "", "URL of the source, such as http://127.0.0.1:3000.")
	flags.StringVar(&p.fromFile, "from-secret-file", "", "File that contains the admin secret of the source.")
	flags.StringArrayVar(&p.fromKeyFiles, "from-access-key-file", nil,
		"File that contains the access key of a user of the source, for lists that its admin API lacks; repeat it for more.")
	flags.StringVar(&p.from.caFile, "from-ca-file", "", "Certificates of the authorities that may have issued that of "+
		"the source, as PEM. Default: those of the machine.")
	flags.StringVar(&p.to.url, "to", "", "URL of the target.")
	flags.StringVar(&p.toFile, "to-secret-file", "", "File that contains the admin secret of the target.")
	flags.StringArrayVar(&p.toKeyFiles, "to-access-key-file", nil,
		"File that contains the access key of a user of the target, for lists that its admin API lacks; repeat it for more.")
	flags.StringVar(&p.to.caFile, "to-ca-file", "", "Certificates of the authorities that may have issued that of the "+
		"target, as PEM. Default: those of the machine.")
	flags.StringVar(&p.organisation, "org", "", "ID of the only organisation to copy. Default: all, and the super users.")
	flags.StringVar(&p.spoolDir, "spool-dir", "", "Directory that holds one list of an organisation while it is copied, "+
		"if it has more than 1 MiB. Default: the directory of temporary files.")
	addTimeoutFlag(cmd, &p.timeout)
}

func copyServer(ctx context.Context, p copyParams) (err error) {
	limitMemory()
	from, to, err := p.servers()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close(), to.Close()) }()
	var progress *rowProgress
	defer func() { progress.end() }()
	report, err := replicate.Copy(ctx, from, to, replicate.Options{
		Organisation: p.organisation,
		Failed: func(f replicate.Failure) {
			fmt.Fprintf(p.std.Log, "gatehouse: %s %s of organisation %q was not copied: %s\n",
				f.Kind, remote.Printable(f.ID), f.Organisation, remote.Printable(f.Reason))
		},
		Done: func(organisations int) {
			if progress == nil {
				progress = newRowProgress(p.std.Log, "copying organisations", int64(organisations))
			}
			progress.add()
		},
	})
	if err != nil {
		err = fmt.Errorf("%w; what was copied before stays, and the command can be repeated", err)
	}
	return errors.Join(err, p.print(report, err == nil), failedObjects(len(report.Failures)))
}

// servers returns the source and the target.
func (p copyParams) servers() (from, to *remote.Server, err error) {
	source, target := remote.Config{SpoolDir: p.spoolDir}, remote.Config{SpoolDir: p.spoolDir}
	p.from.timeout, p.to.timeout = p.timeout, p.timeout
	if p.from.secret, err = config.ReadSecretFile(p.fromFile); err == nil {
		source.Client, err = p.from.plainClient()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("source: %w", err)
	}
	if p.to.secret, err = config.ReadSecretFile(p.toFile); err == nil {
		target.Client, err = p.to.plainClient()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("target: %w", err)
	}
	if source.AccessKeys, err = readAccessKeys(p.fromKeyFiles); err != nil {
		return nil, nil, err
	}
	if target.AccessKeys, err = readAccessKeys(p.toKeyFiles); err != nil {
		return nil, nil, err
	}
	return remote.New(source), remote.New(target), nil
}

// readAccessKeys reads a key from each file.
func readAccessKeys(files []string) (keys []string, err error) {
	for _, file := range files {
		key, err := config.ReadSecretFile(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, string(key))
	}
	return keys, nil
}

// failedObjects returns an error if there are objects that were refused.
func failedObjects(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("objects that were not stored: %d", n)
}

// print prints the report of a copy, which is complete unless an error has ended it.
func (p copyParams) print(report *replicate.Report, complete bool) error {
	if p.format.String() != "table" {
		return output.WriteValue(p.std.Out, *p.format, report)
	}
	number := func(of func(replicate.Count) int) func(replicate.Count) string {
		return func(c replicate.Count) string { return strconv.Itoa(of(c)) }
	}
	if err := output.Write(p.std.Out, *p.format, report.Counts, []output.Column[replicate.Count]{
		{Heading: "KIND", Text: func(c replicate.Count) string { return c.Kind }},
		{Heading: "CREATED", Text: number(func(c replicate.Count) int { return c.Created })},
		{Heading: "UPDATED", Text: number(func(c replicate.Count) int { return c.Updated })},
		{Heading: "UNCHANGED", Text: number(func(c replicate.Count) int { return c.Unchanged })},
		{Heading: "FAILED", Text: number(func(c replicate.Count) int { return c.Failed })},
	}); err != nil {
		return err
	}
	printLines(p.std.Out, "The source did not give, or the target has otherwise:", report.NotGiven)
	if report.NeedsAccessKey {
		fmt.Fprintln(p.std.Out, "  With the access key of a super user, or of a user of each organisation\n"+
			"  (--from-access-key-file), users, APIs and policies are read from its Dashboard API.")
	}
	printLines(p.std.Out, "These users have another access key on the target:", usersOf(report.OtherAccessKey))
	printLines(p.std.Out, "These users must set a password:", usersOf(report.WithoutPassword))
	if complete && report.Written() == 0 && len(report.Failures) == 0 {
		fmt.Fprintln(p.std.Out, "\nNothing was changed: the target has everything that the source gave.")
	}
	return nil
}

// usersOf returns a line for each user.
func usersOf(users []replicate.NamedUser) (lines []string) {
	for _, u := range users {
		of := "super user"
		if u.Organisation != "" {
			of = "organisation " + u.Organisation
		}
		lines = append(lines, fmt.Sprintf("%s (%s)", u.EmailAddress, of))
	}
	return lines
}

// printLines prints a list, unless it is empty.
func printLines(out io.Writer, heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s\n", heading)
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", remote.Printable(line))
	}
}
