package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatehouse/internal/backup"
	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/postgres"
	"gatehouse/store"
)

// newBackup returns the command backup.
func newBackup(std Streams) *cobra.Command {
	var cfg config.Config
	p := backupParams{std: std}
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all organisations, with everything that belongs to them, to a file.",
		Long: `The backup is the state of the database at one time: it works beside a running server, whose
clients may write meanwhile. FILE gets its name when it is complete, and replaces a file of that
name then. "-" is standard output. The file has the hashes of passwords, access keys and all
credentials in documents: only its owner may read it. It does not have the admin secret and the
node secret.

The command reads the settings of the server.`,
		Example: `  gatehouse backup gatehouse.backup
  gatehouse backup --org 5e9d9544a1dcd60001d0ed20 one.backup
  gatehouse backup - | ssh backup.example 'cat > gatehouse.backup'`,
		Args:              oneFile,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.file = args[0]
			return backUp(cmd.Context(), &cfg, p)
		},
	}
	cmd.Flags().StringVar(&p.organisation, "org", "", "ID of the only organisation to back up. Default: all.")
	p.format = output.AddFlag(cmd)
	addSettings(cmd, &cfg)
	return cmd
}

// standardStream is the FILE that is standard input or output.
const standardStream = "-"

// oneFile is the cobra.PositionalArgs of commands that have a file.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("expected one FILE")
	}
	return nil
}

// backupParams are the arguments of the command backup.
type backupParams struct {
	file, organisation string
	format             *output.Format
	std                Streams
}

func backUp(ctx context.Context, cfg *config.Config, p backupParams) (err error) {
	limitMemory()
	if err := cfg.Resolve(); err != nil {
		return err
	}
	if err := requireDatabase(cfg); err != nil {
		return err
	}
	out, err := createBackup(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.discard()) }()
	db, err := openRunning(ctx, cfg, commandLog(cfg.Log, p.std))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close(ctx)) }()
	var header backup.Header
	err = db.store.Snapshot(ctx, p.organisation, func(snapshot *store.Snapshot) (err error) {
		header, err = writeBackup(ctx, snapshot, p, out.writer(ctx))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no organisation %q", p.organisation)
	}
	if err != nil {
		return err
	}
	if err := out.keep(); err != nil {
		return err
	}
	return p.report(header)
}

// backupReport is what the command prints for programs.
type backupReport struct {
	File         string         `json:"file"`
	Created      time.Time      `json:"created"`
	Organisation string         `json:"organisation"`
	Tables       []backup.Table `json:"tables"`
}

// report prints how much was backed up: on standard error, if the backup is on standard output.
func (p backupParams) report(header backup.Header) error {
	out := p.std.Out
	if p.file == standardStream {
		out = p.std.Log
	}
	if *p.format != output.Table {
		return output.WriteValue(out, *p.format, backupReport{p.file, header.Created, header.Organisation, header.Tables})
	}
	fmt.Fprintf(out, "backed up %s\n", describeTables(header.Tables))
	return nil
}

// writeBackup writes a snapshot.
func writeBackup(
	ctx context.Context, snapshot *store.Snapshot, p backupParams, out io.Writer,
) (header backup.Header, err error) {
	header = backup.Header{
		Version: Version(), Schema: store.SchemaVersion(), Created: time.Now().UTC(), Organisation: p.organisation,
	}
	for _, table := range snapshot.Tables {
		header.Tables = append(header.Tables, toBackupTable(table))
	}
	writer, err := backup.NewWriter(out, header)
	if err != nil {
		return header, err
	}
	progress := newRowProgress(p.std.Log, "backing up", header.Rows())
	defer progress.end()
	for row, err := range snapshot.Rows(ctx) {
		if err == nil {
			err = writer.Write(row.Table, row.Values)
		}
		if err != nil {
			writer.Abort()
			return header, err
		}
		progress.add()
	}
	return header, writer.Close()
}

func toBackupTable(table store.BackupTable) backup.Table {
	kinds := make([]backup.Kind, len(table.Kinds))
	for i, kind := range table.Kinds {
		kinds[i] = map[store.ValueKind]backup.Kind{
			store.TextValue: backup.Text, store.NumberValue: backup.Number,
			store.BooleanValue: backup.Boolean, store.JSONValue: backup.JSON,
		}[kind]
	}
	return backup.Table{Name: table.Name, Columns: table.Columns, Kinds: kinds, Rows: table.Rows}
}

// requireDatabase returns an error if there is no private Postgres: the command would start one that has nothing.
func requireDatabase(cfg *config.Config) error {
	if cfg.Database.URL != "" {
		return nil
	}
	exists, err := postgres.Exists(cfg.Server.DataDir)
	if err == nil && !exists {
		err = fmt.Errorf("there is no database in %s: set --data-dir (GATEHOUSE_DATA_DIR) or --database-url (DATABASE_URL)",
			cfg.Server.DataDir)
	}
	return err
}

// backupFile is the file of a backup that is being written.
type backupFile struct {
	*os.File

	// path is the name that the file gets when it is complete; "" if it has it already.
	path string
}

// writer returns what writes to the file. A pipe may have a reader that does not read.
func (f *backupFile) writer(ctx context.Context) io.Writer {
	if f.path != "" {
		return f.File
	}
	return patientWriter{ctx, f.File}
}

// createBackup creates a file beside the one that it will replace. A pipe or a device is written to as it is.
func createBackup(ctx context.Context, p backupParams) (backupFile, error) {
	if p.file == standardStream {
		out, isFile := p.std.Out.(*os.File)
		if !isFile || term.IsTerminal(int(out.Fd())) {
			return backupFile{}, errors.New("a backup is not for a terminal: redirect standard output, or name a FILE")
		}
		return backupFile{File: out}, nil
	}
	path := p.file
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return backupFile{}, err
	case !info.Mode().IsRegular():
		// A FIFO may have no reader yet.
		file, err := await(ctx, func() (*os.File, error) { return os.OpenFile(path, os.O_WRONLY, 0) })
		return backupFile{File: file}, err
	default:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return backupFile{}, err
		}
	}
	// os.CreateTemp lets only the owner read.
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.incomplete")
	if err != nil {
		return backupFile{}, err
	}
	return backupFile{file, path}, nil
}

// keep gives the file its name. It is on the disk then.
func (f *backupFile) keep() error {
	if f.path == "" {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	f.path = ""
	return errors.Join(dir.Sync(), dir.Close())
}

// discard closes the file, and removes it if it has not been kept.
func (f *backupFile) discard() error {
	if f.File == os.Stdout {
		return nil
	}
	err := f.Close()
	if f.path != "" {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
