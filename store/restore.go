package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// RestoreMode is what Restore does with an object that exists already.
type RestoreMode int

const (
	// RefuseExisting restores nothing.
	RefuseExisting RestoreMode = iota
	// ReplaceExisting replaces the object by that of the backup.
	ReplaceExisting
	// SkipExisting keeps the object as it is.
	SkipExisting
)

// RestoreParams is what to restore, and how.
type RestoreParams struct {
	Mode RestoreMode
	// DryRun has nothing written.
	DryRun bool
	// Tables are those of the backup, in the order of the rows. A column that the table lacks is left out, and one that
	// the backup lacks has its default: the schema of later releases has both.
	Tables []BackupTable
	// Next returns the next row, or io.EOF.
	Next func() (BackupRow, error)
}

// RestoredTable is what has become of the rows of a table.
type RestoredTable struct {
	Name                  string
	Added, Replaced, Kept int64
}

// ErrNotRestorable is returned for a backup that cannot be restored into this database. Nothing was written then.
var ErrNotRestorable = errors.New("cannot be restored")

// ErrBusy is returned when a table is being written for too long.
var ErrBusy = errors.New("an import or another restore is being written")

// maxRefusals is how many objects an error names that cannot be restored.
const maxRefusals = 20

// RefusedError is the error of objects that cannot be restored. It wraps ErrNotRestorable.
type RefusedError struct {
	// Objects are the first objects, and why.
	Objects []string
	// Total is the number of all.
	Total int64
}

// Error implements error.
func (e *RefusedError) Error() string {
	text := strings.Join(e.Objects, "\n  ")
	if more := e.Total - int64(len(e.Objects)); more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	noun := "objects"
	if e.Total == 1 {
		noun = "object"
	}
	return fmt.Sprintf("%d %s %v:\n  %s", e.Total, noun, ErrNotRestorable, text)
}

// Unwrap returns ErrNotRestorable.
func (*RefusedError) Unwrap() error { return ErrNotRestorable }

// errDryRun rolls the transaction of a dry run back.
var errDryRun = errors.New("dry run")

// Restore stores the rows of a backup, all or none, and announces it. Meanwhile others can read, but not write. In a
// table that is empty, rows have the positions of the backup. Otherwise each row that is added or replaced gets a new
// one, in the order of the backup. Restore returns a *RefusedError for objects that cannot be restored, ErrBusy if
// others write, and the error of Next.
func (s *Store) Restore(ctx context.Context, p RestoreParams) (restored []RestoredTable, err error) {
	defer wrap("restore", &err)
	ctx = mayTakeLong(ctx)
	tables, err := tablesToRestore(p.Tables)
	if err != nil {
		return nil, err
	}
	for range transactionTries {
		r := &restore{RestoreParams: p, tables: tables}
		err = s.pool.begin(ctx, func(tx pgx.Tx) error {
			r.tx = tx
			return r.run(ctx)
		})
		restored = r.restored
		if r.began || !isDeadlock(err) {
			break
		}
	}
	if errors.Is(err, errDryRun) {
		err = nil
	}
	return restored, err
}

// tableToRestore is a table with the columns that a backup has of it, and the index of each in a row of the backup.
type tableToRestore struct {
	backupTable

	names   []string
	indexes []int
	rows    int64
}

func tablesToRestore(tables []BackupTable) (known []tableToRestore, err error) {
	for _, table := range tables {
		i := slices.IndexFunc(backupTables, func(t backupTable) bool { return t.name == table.Name })
		if i < 0 {
			return nil, fmt.Errorf("table %q of the backup %w: there is no such table", table.Name, ErrNotRestorable)
		}
		t := tableToRestore{backupTable: backupTables[i], rows: table.Rows}
		columns := t.columnNames()
		for i, name := range table.Columns {
			if slices.Contains(columns, name) {
				t.names, t.indexes = append(t.names, name), append(t.indexes, i)
			}
		}
		known = append(known, t)
	}
	return known, nil
}

// restore is a Restore in progress.
type restore struct {
	RestoreParams

	tables   []tableToRestore
	tx       pgx.Tx
	began    bool // whether a row was read
	row      BackupRow
	atEnd    bool // whether row is none, because there are no more
	restored []RestoredTable
	refused  RefusedError
	line     []byte   // of COPY
	rebuilt  []string // the tables whose indexes are made anew
}

func (r *restore) run(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	r.began = true
	if err := r.next(); err != nil {
		return err
	}
	for _, t := range r.tables {
		if err := r.table(ctx, t); err != nil {
			return err
		}
	}
	switch {
	case !r.atEnd:
		return fmt.Errorf("a row of table %s %w: it is not in the order of the tables", r.row.Table, ErrNotRestorable)
	case r.refused.Total > 0:
		return &r.refused
	case r.DryRun:
		return errDryRun
	}
	if err := announce(ctx, r.tx, EventOrgKey); err != nil {
		return err
	}
	return announce(ctx, r.tx, EventChange)
}

// begin locks the tables, so that what is compared stays as it is, and has Postgres look rows up by index: it does not
// know how many there will be.
func (r *restore) begin(ctx context.Context) error {
	if err := prepareBackup(ctx, r.tx); err != nil {
		return err
	}
	_, err := r.tx.Exec(ctx, `SELECT set_config('lock_timeout', '30s', true), set_config('enable_seqscan', 'off', true),
		set_config('enable_mergejoin', 'off', true), set_config('enable_hashjoin', 'off', true)`)
	if err != nil || r.DryRun {
		return err
	}
	var names []string
	for _, t := range backupTables {
		names = append(names, t.name)
	}
	_, err = r.tx.Exec(ctx, `LOCK TABLE `+strings.Join(names, ", ")+`, org_key_sync IN SHARE ROW EXCLUSIVE MODE`)
	switch {
	case sqlState(err) == lockNotAvailable:
		return ErrBusy
	case err != nil:
		return err
	}
	return r.lockRebuilt(ctx)
}

// hasRows reports whether a table has rows.
func hasRows(ctx context.Context, db querier, table string) (bool, error) {
	return queryValue[bool](ctx, db, `SELECT EXISTS (SELECT FROM `+table+`)`)
}

// next reads a row.
func (r *restore) next() (err error) {
	r.row, err = r.Next()
	if errors.Is(err, io.EOF) {
		r.atEnd, err = true, nil
	}
	return err
}

// table restores the rows of a table.
func (r *restore) table(ctx context.Context, t tableToRestore) error {
	filled, err := hasRows(ctx, r.tx, t.name)
	if err != nil {
		return err
	}
	r.restored = append(r.restored, RestoredTable{Name: t.name})
	report := &r.restored[len(r.restored)-1]
	if filled {
		return r.merge(ctx, t, report)
	}
	err = r.withoutIndexes(ctx, t.name, func() error {
		for r.isOf(t) {
			into := t.name
			if r.DryRun || r.refused.Total > 0 {
				into = ""
			}
			n, err := r.copyRows(ctx, t, into)
			if err != nil {
				return err
			}
			report.Added += n
		}
		return nil
	})
	if err != nil || report.Added == 0 || r.DryRun || r.refused.Total > 0 {
		return err
	}
	if t.name == "org_keys" {
		if err := r.resend(ctx, t.name); err != nil {
			return err
		}
	}
	return r.advance(ctx, t)
}

func (r *restore) isOf(t tableToRestore) bool { return !r.atEnd && r.row.Table == t.name }

// copiedBytes is how many bytes of rows are copied by one statement.
const copiedBytes = 16 << 20

// copyRows copies the next rows into a table, and returns their number. It reads them only if into is "".
func (r *restore) copyRows(ctx context.Context, t tableToRestore, into string) (int64, error) {
	rows := &copiedRows{restore: r, table: t}
	var err error
	if into == "" {
		_, err = io.Copy(io.Discard, rows)
	} else {
		ctx, cancel := context.WithTimeout(ctx, longStatementTimeout) // of which the tracer sees nothing
		defer cancel()
		sql := `COPY ` + into + ` (` + strings.Join(t.names, ", ") + `) FROM STDIN`
		_, err = r.tx.Conn().PgConn().CopyFrom(ctx, rows, sql)
	}
	return rows.n, cmp.Or(rows.err, err)
}

// copiedRows reads rows of a table in the text format of COPY.
type copiedRows struct {
	*restore

	table   tableToRestore
	n, size int64
	left    []byte // of the last line
	err     error  // of reading a row
}

// Read implements io.Reader.
func (c *copiedRows) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(c.left) == 0 {
			if c.err != nil || c.size >= copiedBytes || !c.isOf(c.table) {
				break
			}
			c.line = appendCopyRow(c.line[:0], c.row.Values, c.table.indexes)
			c.left, c.n, c.size = c.line, c.n+1, c.size+int64(len(c.line))
			c.err = c.next()
		}
		copied := copy(p[n:], c.left)
		n, c.left = n+copied, c.left[copied:]
	}
	switch {
	case n > 0:
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	return 0, io.EOF
}

// advance has rows that are added from now on come after those that have positions of the backup.
func (r *restore) advance(ctx context.Context, t tableToRestore) error {
	if t.order != "position" {
		return nil
	}
	_, err := r.tx.Exec(ctx, `SELECT setval(sequence, greatest(pg_sequence_last_value(sequence), last))
		FROM (SELECT max(position) AS last FROM `+t.name+`) AS rows,
			(SELECT pg_get_serial_sequence($1, 'position')::regclass) AS sequences (sequence)`, t.name)
	return err
}

// resend has the keys of a table sent to gateways.
func (r *restore) resend(ctx context.Context, table string) error {
	_, err := r.tx.Exec(ctx, `INSERT INTO org_key_sync (org_id, sent) SELECT org_id, false FROM `+table+againUnsynced)
	return err
}

// merge restores the rows of a table that has some. A temporary table has a part of them at a time, to compare them
// with what is stored.
func (r *restore) merge(ctx context.Context, t tableToRestore, report *RestoredTable) error {
	if !r.isOf(t) {
		return nil
	}
	names := strings.Join(t.names, ", ")
	_, err := r.tx.Exec(ctx, `CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT `+names+` FROM `+t.name+`
		WITH NO DATA`)
	if err != nil {
		return err
	}
	for r.isOf(t) {
		n, err := r.copyRows(ctx, t, "incoming")
		if err != nil {
			return err
		}
		existing, err := r.compare(ctx, t)
		if err != nil {
			return err
		}
		report.Added += n - existing
		if r.Mode == ReplaceExisting && !t.history {
			report.Replaced += existing
		} else {
			report.Kept += existing
		}
		if !r.DryRun && r.refused.Total == 0 {
			if err := r.write(ctx, t); err != nil {
				return err
			}
		}
		if _, err := r.tx.Exec(ctx, `TRUNCATE incoming`); err != nil {
			return err
		}
	}
	_, err = r.tx.Exec(ctx, `DROP TABLE incoming`)
	return err
}

// compare returns how many incoming rows exist, and adds those that cannot be restored to refused.
func (r *restore) compare(ctx context.Context, t tableToRestore) (existing int64, err error) {
	join := ` FROM incoming JOIN ` + t.name + ` AS stored ON stored.` + t.key + ` = incoming.` + t.key
	existing, err = queryValue[int64](ctx, r.tx, `SELECT count(*)`+join)
	if err != nil || t.history {
		return existing, err
	}
	selects := []string{`SELECT incoming.` + t.key + ` AS id, 'belongs to another organisation here: ' ||
		coalesce(nullif(stored.` + t.org + `, ''), 'none') AS why` + join + `
		WHERE stored.` + t.org + ` IS DISTINCT FROM incoming.` + t.org}
	if r.Mode == RefuseExisting {
		selects = append(selects, `SELECT incoming.`+t.key+`, 'exists'`+join+`
			WHERE stored.`+t.org+` IS NOT DISTINCT FROM incoming.`+t.org)
	}
	for _, unique := range t.unique {
		skipped := ``
		if r.Mode == SkipExisting {
			skipped = ` AND NOT EXISTS (SELECT FROM ` + t.name + ` AS same WHERE same.` + t.key + ` = incoming.` + t.key + `)`
		}
		selects = append(selects, `SELECT incoming.`+t.key+`, 'has the `+unique.what+` of `+t.noun+` ' || stored.`+t.key+`
			FROM incoming JOIN `+t.name+` AS stored ON `+unique.same+` WHERE stored.`+t.key+` <> incoming.`+t.key+skipped)
	}
	return existing, r.refuse(ctx, t, strings.Join(selects, ` UNION ALL `))
}

// refuse adds the objects that a query returns to refused.
func (r *restore) refuse(ctx context.Context, t tableToRestore, sql string) error {
	refused, err := queryRows[struct {
		ID, Why string
		Total   int64
	}](ctx, r.tx, `SELECT id, why, count(*) OVER () AS total FROM (`+sql+`) AS refused ORDER BY id, why LIMIT $1`,
		maxRefusals)
	for i, each := range refused {
		if i == 0 {
			r.refused.Total += each.Total
		}
		if len(r.refused.Objects) < maxRefusals {
			r.refused.Objects = append(r.refused.Objects, fmt.Sprintf("%s %s %s", t.noun, each.ID, each.Why))
		}
	}
	return err
}

// write adds the incoming rows to their table, or replaces those that exist.
func (r *restore) write(ctx context.Context, t tableToRestore) error {
	names := slices.DeleteFunc(slices.Clone(t.names), func(name string) bool { return name == "position" })
	replaces := r.Mode == ReplaceExisting && !t.history
	conflict := `NOTHING`
	if replaces {
		conflict = `UPDATE SET ` + t.set(names)
	}
	if replaces && t.released != "" {
		if _, err := r.tx.Exec(ctx, t.released); err != nil {
			return err
		}
	}
	columns := strings.Join(names, ", ")
	_, err := r.tx.Exec(ctx, `INSERT INTO `+t.name+` (`+columns+`) SELECT `+columns+` FROM incoming
		ORDER BY `+t.order+` ON CONFLICT (`+t.key+`) DO `+conflict)
	if err == nil && t.name == "org_keys" {
		err = r.resend(ctx, "incoming")
	}
	return err
}

// set returns the assignments that make a stored row the one of a backup, which has these columns. Columns that the
// backup lacks get their default, as in a new row: their values may be derived from the document that is replaced.
func (t backupTable) set(names []string) string {
	var set []string
	for _, name := range t.columnNames() {
		switch {
		case name == t.key:
		case slices.Contains(names, name):
			set = append(set, name+` = excluded.`+name)
		default:
			set = append(set, name+` = DEFAULT`)
		}
	}
	return strings.Join(set, ", ")
}
