package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/backup"
	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/store"
)

// newRestore returns the command restore.
func newRestore(std Streams) *cobra.Command {
	var cfg config.Config
	p := restoreParams{std: std}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Store the organisations of a backup in the database.",
		Long: `All of the backup is restored, or nothing. "-" is standard input. A backup that is cut off or
was altered is refused before anything is written. So is one with an object that exists already,
unless a flag says what becomes of it. Objects that exist and are not in the backup stay.

The command reads the settings of the server, and works beside a running server, which serves what
was restored at once. Clients can read meanwhile, but not write. If the audit log has a file, the
command adds a line to it.`,
		Example: `  gatehouse restore gatehouse.backup
  gatehouse restore --replace --dry-run gatehouse.backup`,
		Args:              oneFile,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.replace && p.skip {
				return usage(fmt.Errorf("--replace and --skip-existing exclude each other%s", hint(cmd, nil)))
			}
			p.file, p.in = args[0], cmd.InOrStdin()
			return restore(cmd.Context(), &cfg, p)
		},
	}
	cmd.Flags().BoolVar(&p.replace, "replace", false, "Replace objects that exist already by those of the backup.")
	cmd.Flags().BoolVar(&p.skip, "skip-existing", false, "Keep objects that exist already as they are.")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "Write nothing, and print what would be restored.")
	p.format = output.AddFlag(cmd)
	addSettings(cmd, &cfg)
	return cmd
}

// restoreParams are the arguments of the command restore.
type restoreParams struct {
	file                  string
	in                    io.Reader
	replace, skip, dryRun bool
	format                *output.Format
	std                   Streams
}

func (p restoreParams) mode() store.RestoreMode {
	switch {
	case p.replace:
		return store.ReplaceExisting
	case p.skip:
		return store.SkipExisting
	}
	return store.RefuseExisting
}

func restore(ctx context.Context, cfg *config.Config, p restoreParams) (err error) {
	limitMemory()
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if p.dryRun {
		if err := requireDatabase(cfg); err != nil {
			return err
		}
	}
	file, err := openBackup(ctx, cfg, p)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was restored", p.file, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	reader, err := checkedBackup(file)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was restored", p.file, err)
	}
	defer reader.Close()
	db, err := openRunning(ctx, cfg, commandLog(cfg.Log, p.std))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	audit, err := openCommandAudit(cfg.Audit)
	if err != nil {
		return fmt.Errorf("%w; nothing was restored", err)
	}
	defer func() { err = errors.Join(err, audit.close()) }()
	restored, err := restoreRows(ctx, db.store, reader, p)
	if !p.dryRun {
		audit.write(context.WithoutCancel(ctx), "restore", err, p.auditAttrs(reader.Header, restored)...)
	}
	if refused := (*store.RefusedError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("%w\nnothing was restored%s", refused, p.adviceFor(refused))
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was restored", err)
	}
	return p.report(restored)
}

// restoredTable is what the command prints of a table. The numbers of a dry run are those that a restore would have.
type restoredTable struct {
	Table    string `json:"table"`
	Restored int64  `json:"restored"`
	Replaced int64  `json:"replaced"`
	Kept     int64  `json:"kept"`
	DryRun   bool   `json:"dry_run"`
}

// report prints what has become of the rows of each table: of those that have some, for people.
func (p restoreParams) report(restored []store.RestoredTable) error {
	if *p.format != output.Table {
		var tables []restoredTable
		for _, each := range restored {
			tables = append(tables, restoredTable{each.Name, each.Added, each.Replaced, each.Kept, p.dryRun})
		}
		return output.Write(p.std.Out, *p.format, tables, nil)
	}
	verbs := []string{"restored", "replaced", "kept"}
	if p.dryRun {
		verbs = []string{"would restore", "would replace", "would keep"}
	}
	for _, table := range restored {
		var parts []string
		for i, n := range []int64{table.Added, table.Replaced, table.Kept} {
			if n == 0 {
				continue
			}
			if len(parts) == 0 {
				parts = append(parts, fmt.Sprintf("%s %d %s", verbs[i], n, tableNoun(table.Name)))
			} else {
				parts = append(parts, fmt.Sprintf("%s %d", verbs[i], n))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintln(p.std.Out, strings.Join(parts, ", "))
		}
	}
	return nil
}

// auditAttrs describe a restore in the audit log.
func (p restoreParams) auditAttrs(header backup.Header, restored []store.RestoredTable) []slog.Attr {
	var added, replaced, kept int64
	for _, table := range restored {
		added, replaced, kept = added+table.Added, replaced+table.Replaced, kept+table.Kept
	}
	mode := map[store.RestoreMode]string{
		store.RefuseExisting: "refuse_existing", store.ReplaceExisting: "replace", store.SkipExisting: "skip_existing",
	}[p.mode()]
	return []slog.Attr{
		slog.String("file", p.file), slog.Time("backup_created", header.Created), slog.String("org_id", header.Organisation),
		slog.String("existing", mode), slog.Int64("restored", added), slog.Int64("replaced", replaced),
		slog.Int64("kept", kept),
	}
}

// adviceFor is the end of the message of objects that cannot be restored.
func (p restoreParams) adviceFor(refused *store.RefusedError) string {
	if p.mode() == store.RefuseExisting && strings.Contains(strings.Join(refused.Objects, "\n")+"\n", " exists\n") {
		return ": for objects that exist already, choose --replace or --skip-existing"
	}
	return ""
}

// checkedBackup returns a reader of a backup that is as it was written and of a schema that this program has.
func checkedBackup(file *os.File) (*backup.Reader, error) {
	if err := backup.Verify(file); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	reader, err := backup.NewReader(file)
	if err != nil {
		return nil, err
	}
	if known := store.SchemaVersion(); reader.Header.Schema > known {
		reader.Close()
		return nil, fmt.Errorf("it is of gatehouse %s, whose schema has version %d, and this program's has %d: "+
			"restore it with that version or a newer one", reader.Header.Version, reader.Header.Schema, known)
	}
	return reader, nil
}

// openBackup opens the file of a backup. Standard input is copied to a file without a name first, because a backup is
// read twice, and because a slow sender would otherwise hold the locks of all tables.
func openBackup(ctx context.Context, cfg *config.Config, p restoreParams) (*os.File, error) {
	if p.file != standardStream {
		return openSeekable(ctx, cfg, p.file)
	}
	return spoolBackup(ctx, cfg, p.in)
}

func openSeekable(ctx context.Context, cfg *config.Config, path string) (*os.File, error) {
	file, err := await(ctx, func() (*os.File, error) { return os.Open(path) }) // a FIFO may have no sender yet
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	if err == nil && info.Mode().IsRegular() {
		return file, nil
	}
	defer file.Close()
	if err != nil {
		return nil, err
	}
	return spoolBackup(ctx, cfg, file)
}

// spoolBackup copies a backup to a file without a name.
func spoolBackup(ctx context.Context, cfg *config.Config, in io.Reader) (*os.File, error) {
	file, err := os.CreateTemp(cfg.Limits.SpoolDir, "gatehouse-restore-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err = io.Copy(file, patientReader{ctx, in}); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// restoreRows restores the rows of a backup.
func restoreRows(
	ctx context.Context, to *store.Store, from *backup.Reader, p restoreParams,
) ([]store.RestoredTable, error) {
	params := store.RestoreParams{Mode: p.mode(), DryRun: p.dryRun}
	for _, table := range from.Header.Tables {
		params.Tables = append(params.Tables, store.BackupTable{Name: table.Name, Columns: table.Columns, Rows: table.Rows})
	}
	progress := newRowProgress(p.std.Log, "restoring", from.Header.Rows())
	defer progress.end()
	params.Next = func() (store.BackupRow, error) {
		row, err := from.Next()
		if err != nil {
			return store.BackupRow{}, err
		}
		progress.add()
		return store.BackupRow{Table: from.Header.Tables[row.Table].Name, Values: row.Values}, nil
	}
	return to.Restore(ctx, params)
}
