package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/internal/desired"
	"gatehouse/internal/remote"
	"gatehouse/server"
)

// exitDiffers is the exit status of diff if the server does not have what the files have.
const exitDiffers = 3

// filesHelp describes the files of apply and diff.
const filesHelp = `The files are JSON (.json) or YAML (.yaml, .yml), in any number of sub-folders, with one document or
more each, in the form of exports: organisations, users, APIs, policies, organisation keys, or the
lists of them. "gatehouse export" writes such a folder. Names that begin with a dot are not read.
Links are followed.

All files are checked before anything else: what is at fault is named by file, line and column.
Documents are compared as JSON values, without IDs and times that the server itself sets. Values are
not printed, because documents have secrets.

What the server has and the files do not have stays. With --prune, the users, APIs, policies or keys
of an organisation whose own document is in the files are deleted if they are not in the files.
Organisations are never deleted.`

// desiredParams are the arguments of the commands apply and diff.
type desiredParams struct {
	file   string
	prune  []string
	keys   string // the file for access keys
	admin  *adminFlags
	format *output.Format
	std    Streams
}

// newApply returns the command apply.
func newApply(std Streams) *cobra.Command {
	var cfg config.Config
	p := desiredParams{std: std}
	cmd := &cobra.Command{
		Use:   "apply -f FOLDER",
		Short: "Change a server so that it matches the files of a folder.",
		Long: filesHelp + `

APIs and policies are replaced in place, so that gateways never miss one. If you run the command
again, nothing is changed. An object that the server refuses is named with its file. The others are
changed, nothing is deleted, and the exit status is 1.

Passwords are not in files. The access keys of new users are not printed: --access-keys names a file
for them.`,
		Example: `  gatehouse apply -f organisations/
  gatehouse apply -f organisations/ --prune apis,policies --access-keys new-users.jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.run(cmd, p.apply)
		},
	}
	addDesiredFlags(cmd, &p)
	cmd.Flags().StringVar(&p.keys, "access-keys", "", "File that the access keys of new users are added to, as a line of "+
		"JSON each. Only its owner can read it. Default: they are not written; the admin API shows them.")
	p.admin = addAdminFlags(cmd, &cfg)
	return cmd
}

// newDiff returns the command diff.
func newDiff(std Streams) *cobra.Command {
	var cfg config.Config
	p := desiredParams{std: std}
	cmd := &cobra.Command{
		Use:   "diff -f FOLDER",
		Short: "Show where a server differs from the files of a folder.",
		Long: filesHelp + `

The exit status is 0 if apply would change nothing, 3 if it would change something, and 1 if the
files are at fault or the server does not answer.`,
		Example: `  gatehouse diff -f organisations/
  gatehouse diff -f organisations/ --prune apis,policies -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.run(cmd, func(_ context.Context, plan *desired.Plan, _ *remote.Server) error {
				if err := p.print(plan, "to "); err != nil || len(plan.Changes) == 0 {
					return err
				}
				return &differsError{len(plan.Changes)}
			})
		},
	}
	addDesiredFlags(cmd, &p)
	p.admin = addAdminFlags(cmd, &cfg)
	return cmd
}

// addDesiredFlags adds the flags that apply and diff share.
func addDesiredFlags(cmd *cobra.Command, p *desiredParams) {
	cmd.Flags().StringVarP(&p.file, "file", "f", "", "Folder with the files, or one file.")
	cmd.Flags().StringSliceVar(&p.prune, "prune", nil, "Kinds of which objects are deleted that the files do not have: "+
		strings.Join(prunable(), ", ")+", separated by commas.")
	p.format = output.AddFlag(cmd)
}

// pruneNames are the values of --prune.
var pruneNames = map[string]remote.Kind{
	"users": remote.User, "apis": remote.API, "policies": remote.Policy, "keys": remote.Key,
}

// prunable returns the values of --prune in the order of the kinds.
func prunable() (names []string) {
	for _, kind := range desired.Prunable() {
		for name, each := range pruneNames {
			if each == kind {
				names = append(names, name)
			}
		}
	}
	return names
}

// differsError is returned by diff if there is a difference.
type differsError struct{ changes int }

// Error implements error.
func (e *differsError) Error() string {
	return fmt.Sprintf("the server differs from the files; what apply would change: %d", e.changes)
}

// ExitStatus is the exit status of the program.
func (*differsError) ExitStatus() int { return exitDiffers }

// run makes the plan and hands it over.
func (p *desiredParams) run(
	cmd *cobra.Command, use func(context.Context, *desired.Plan, *remote.Server) error,
) (err error) {
	if p.file == "" {
		return usage(fmt.Errorf("--file (-f) is missing%s", hint(cmd, nil)))
	}
	opts := desired.Options{Prune: map[remote.Kind]bool{}}
	for _, name := range p.prune {
		kind, known := pruneNames[name]
		if !known {
			return usage(fmt.Errorf("--prune: %q is not one of %s%s", name, strings.Join(prunable(), ", "), hint(cmd, nil)))
		}
		opts.Prune[kind] = true
	}
	contract, err := server.LoadContract()
	if err != nil {
		return err
	}
	checks, err := desired.NewChecks(contract)
	if err != nil {
		return err
	}
	documents, err := desired.Load(p.file, checks)
	if err != nil {
		return err
	}
	to, err := remoteServer(p.admin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	plan, err := desired.NewPlan(cmd.Context(), to, documents, opts)
	if err != nil {
		return err
	}
	return use(cmd.Context(), plan, to)
}

// remoteServer returns the server that the flags of a command name.
func remoteServer(flags *adminFlags) (*remote.Server, error) {
	named, err := flags.server()
	if err != nil {
		return nil, err
	}
	calls, err := named.plainClient()
	if err != nil {
		return nil, err
	}
	return remote.New(remote.Config{Client: calls, SpoolDir: flags.settings.cfg.Limits.SpoolDir}), nil
}

// apply applies a plan and prints it.
func (p *desiredParams) apply(ctx context.Context, plan *desired.Plan, to *remote.Server) error {
	keys := &accessKeyFile{path: p.keys}
	if p.keys != "" {
		if err := keys.check(); err != nil { // before users are created
			return err
		}
	}
	failed := map[*desired.Change]bool{}
	progress := newRowProgress(p.std.Log, "applying", int64(len(plan.Changes)))
	err := plan.Apply(ctx, to, desired.ApplyOptions{
		Failed: func(change *desired.Change, cause error) {
			failed[change] = true
			at := ""
			if change.Place != "" {
				at = change.Place + ": "
			}
			fmt.Fprintf(p.std.Log, "gatehouse: %s%s %s %s of organisation %q failed: %s\n",
				at, change.Action, change.Kind, remote.Printable(change.ID), change.Organisation, remote.Printable(cause.Error()))
		},
		Created: keys.add,
	})
	progress.end()
	if err != nil {
		return fmt.Errorf("%w; what was changed before stays, and the command can be repeated", err)
	}
	done := &desired.Plan{Changes: []*desired.Change{}, Unchanged: plan.Unchanged, NotInFiles: plan.NotInFiles}
	for _, change := range plan.Changes {
		if !failed[change] {
			done.Changes = append(done.Changes, change)
		}
	}
	return errors.Join(p.print(done, ""), failedObjects(len(failed)))
}

// maxDifferences is how many differences of a document a table has. JSON and YAML have all.
const maxDifferences = 8

// print prints a plan. to is in front of what will be done.
func (p *desiredParams) print(plan *desired.Plan, to string) error {
	if format := p.format.String(); format != "table" {
		return output.WriteValue(p.std.Out, *p.format, plan)
	}
	if len(plan.Changes) > 0 {
		if err := output.Write(p.std.Out, *p.format, plan.Changes, []output.Column[*desired.Change]{
			{Heading: "ACTION", Text: func(c *desired.Change) string { return c.Action }},
			{Heading: "KIND", Text: func(c *desired.Change) string { return c.Kind }},
			{Heading: "ORGANISATION", Text: func(c *desired.Change) string { return remote.Printable(c.Organisation) }},
			{Heading: "ID", Text: func(c *desired.Change) string { return remote.Printable(c.ID) }},
			{Heading: "DIFFERENCES", Text: func(c *desired.Change) string { return describeDifferences(c.Differences) }},
		}); err != nil {
			return err
		}
	}
	end := "d"
	if to != "" {
		end = ""
	}
	line := fmt.Sprintf("%[1]d %[5]screate%[6]s, %[2]d %[5]supdate%[6]s, %[3]d %[5]sdelete%[6]s, %[4]d unchanged",
		plan.Count(desired.Create), plan.Count(desired.Update), plan.Count(desired.Delete), plan.Unchanged, to, end)
	if plan.NotInFiles > 0 {
		line += ", " + strconv.Itoa(plan.NotInFiles) + " not in the files"
	}
	_, err := fmt.Fprintln(p.std.Out, line)
	return err
}

// describeDifferences returns differences in one line.
func describeDifferences(all []desired.Difference) string {
	var words []string
	for _, difference := range all[:min(len(all), maxDifferences)] {
		words = append(words, remote.Printable(difference.String()))
	}
	if more := len(all) - maxDifferences; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, " ")
}

// accessKeyFile is the file that the access keys of new users are added to.
type accessKeyFile struct{ path string }

// check creates the file, and returns an error if others than its owner can read it.
func (f *accessKeyFile) check() error {
	file, err := f.open()
	if err != nil {
		return err
	}
	return file.Close()
}

func (f *accessKeyFile) open() (*os.File, error) {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	const others = fs.FileMode(0o077)
	if err == nil && info.Mode().IsRegular() && info.Mode()&others != 0 {
		err = fmt.Errorf("%s: others can read it: run chmod 600 on it, or name another file", f.path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// add adds the access key of a user, at once: what was created before an error has a key, too.
func (f *accessKeyFile) add(user desired.NewUser) error {
	if f.path == "" {
		return nil
	}
	file, err := f.open()
	if err != nil {
		return err
	}
	line, err := json.Marshal(user) //nolint:gosec // the file is for access keys
	if err == nil {
		_, err = file.Write(append(line, '\n'))
	}
	return errors.Join(err, file.Close())
}
