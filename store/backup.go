package store

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// backupTable is a table of backups. Not in them are nodes, which register again; nonces, which would be valid a second
// time; leases; org_key_sync, which a restore fills anew; and audit_events, which say what happened to the database of
// the backup.
type backupTable struct {
	name string
	// noun is what a row is called, and key the column that has its ID.
	noun, key string
	// org is the column with the ID of the organisation.
	org string
	// order is the column that rows are listed by.
	order string
	// columns are those of a row, except those that migrations.Contract removes.
	columns string
	// unique are the values that no other row has.
	unique []uniqueValue
	// released is a statement that records the IDs that rows of "incoming" take from their stored rows; "" if none.
	released string
	// history has rows that no one has made: one that exists is as good as that of a backup, or better.
	history bool
}

// uniqueValue is a value that only one row of a table may have.
type uniqueValue struct {
	what string
	// same is the condition that the rows "stored" and "incoming" have the same value.
	same string
}

// backupTables are the tables of backups. One that refers to another is after it.
var backupTables = []backupTable{
	{
		name: "organisations", noun: "organisation", key: "id", org: "id", order: "position",
		columns: "id, position, cname_key, sso_enabled, document",
		unique:  []uniqueValue{{"cname", "stored.cname_key = incoming.cname_key"}},
	},
	{
		name: "users", noun: "user", key: "id", org: "org_id", order: "position",
		columns: `id, position, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, password_hash, password_updated, password_history,
			last_login_date, created_at`,
		unique: []uniqueValue{
			{
				"e-mail address",
				"stored.email_key = incoming.email_key AND coalesce(stored.org_id, '') = coalesce(incoming.org_id, '')",
			},
			{"access key", "stored.access_key = incoming.access_key"},
		},
	},
	{
		name: "user_groups", noun: "user group", key: "id", org: "org_id", order: "position",
		columns: "id, position, org_id, active, user_permissions, document",
	},
	{
		name: "apis", noun: "API", key: "api_id", org: "org_id", order: "position",
		columns: "api_id, position, id, org_id, active, calls, document, checked, search, size",
		unique:  []uniqueValue{{"id", "stored.id = incoming.id"}},
		released: `WITH released (api_id, org_id) AS (
			SELECT stored.id, stored.org_id FROM incoming JOIN apis AS stored USING (api_id) WHERE stored.id <> incoming.id
		)` + releaseAPIs,
	},
	{
		name: "policies", noun: "policy", key: "id", org: "org_id", order: "position",
		columns: "id, position, policy_id, org_id, active, document, served, checked, size",
		unique:  []uniqueValue{{"id", "stored.policy_id = incoming.policy_id"}},
		released: `WITH released (id, policy_id, org_id) AS (
			SELECT stored.id, stored.policy_id, stored.org_id FROM incoming JOIN policies AS stored USING (id)
			WHERE stored.policy_id <> incoming.policy_id
		)` + releasePolicies,
	},
	{
		name: "objects", noun: "object", key: "id", org: "org_id", order: "position",
		columns: "id, position, kind, org_id, public_id, look_up, password_hash, document, size",
		unique: []uniqueValue{{
			"public ID",
			`stored.kind = incoming.kind AND stored.public_id = incoming.public_id AND stored.org_id = incoming.org_id`,
		}},
	},
	{
		name: "org_keys", noun: "key of organisation", key: "org_id", org: "org_id", order: "org_id",
		columns: "org_id, session",
	},
	{
		name: "released_apis", key: "api_id", org: "org_id", order: "api_id", history: true,
		columns: "api_id, org_id",
	},
	{
		name: "released_policies", key: "policy_id", org: "org_id", order: "policy_id", history: true,
		columns: "policy_id, org_id",
	},
}

func (t backupTable) columnNames() []string {
	names := strings.Split(t.columns, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// SchemaVersion is the version of the schema of this program.
func SchemaVersion() int { return count(expand()) }

// ValueKind is what the text of a value is.
type ValueKind int

// The kinds of values. TextValue is any other.
const (
	TextValue ValueKind = iota
	NumberValue
	BooleanValue // "t" or "f"
	JSONValue
)

// kindOf returns the kind of the values of a type of Postgres.
func kindOf(oid uint32) ValueKind {
	switch oid {
	case pgtype.Int4OID, pgtype.Int8OID:
		return NumberValue
	case pgtype.BoolOID:
		return BooleanValue
	case pgtype.JSONOID, pgtype.JSONBOID:
		return JSONValue
	}
	return TextValue
}

// BackupTable is a table in a backup.
type BackupTable struct {
	Name    string
	Columns []string
	Kinds   []ValueKind
	Rows    int64
}

// BackupRow is a row of a backup. Its values have the form that Postgres gives them as text; nil is NULL. They are
// valid until the next row is read.
type BackupRow struct {
	Table  string
	Values [][]byte
}

// Snapshot is the state of a database at one time.
type Snapshot struct {
	Tables []BackupTable

	tx    pgx.Tx
	orgID string
}

// fetchedRows is how many rows of a snapshot a statement reads. They are not in memory at once.
const fetchedRows = 1000

// Snapshot calls read with a snapshot of the database, or of what belongs to one organisation if orgID is not "". The
// snapshot is held by a transaction until read returns. Snapshot returns ErrNotFound if there is no such organisation,
// and the error of read.
func (s *Store) Snapshot(ctx context.Context, orgID string, read func(*Snapshot) error) (err error) {
	defer wrap("back up", &err)
	ctx = mayTakeLong(ctx)
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return s.pool.beginWith(ctx, options, func(tx pgx.Tx) error {
		if err := prepareBackup(ctx, tx); err != nil {
			return err
		}
		snapshot := &Snapshot{tx: tx, orgID: orgID}
		for _, t := range backupTables {
			table, err := snapshot.describe(ctx, t)
			if err != nil {
				return err
			}
			snapshot.Tables = append(snapshot.Tables, table)
		}
		if orgID != "" && snapshot.Tables[0].Rows == 0 {
			return ErrNotFound
		}
		return read(snapshot)
	})
}

// prepareBackup has a transaction write values in the form that backups have, and last as long as it needs.
func prepareBackup(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, YMD', true),
			set_config('bytea_output', 'hex', true)`)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `SELECT set_config(name, '0', true) FROM pg_settings
		WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`)
	return err
}

// where returns the condition of the rows in the snapshot.
func (s *Snapshot) where(t backupTable) (string, []any) {
	if s.orgID == "" {
		return "", nil
	}
	return ` WHERE ` + t.org + ` = $1`, []any{s.orgID}
}

func (s *Snapshot) describe(ctx context.Context, t backupTable) (table BackupTable, err error) {
	table = BackupTable{Name: t.name, Columns: t.columnNames()}
	where, args := s.where(t)
	if table.Rows, err = queryValue[int64](ctx, s.tx, `SELECT count(*) FROM `+t.name+where, args...); err != nil {
		return table, err
	}
	rows, err := s.tx.Query(ctx, `SELECT `+t.columns+` FROM `+t.name+` LIMIT 0`)
	if err != nil {
		return table, err
	}
	for _, column := range rows.FieldDescriptions() {
		table.Kinds = append(table.Kinds, kindOf(column.DataTypeOID))
	}
	rows.Close()
	return table, rows.Err()
}

// Rows reads the rows of all tables, in the order of Tables, and within a table in that of its lists.
func (s *Snapshot) Rows(ctx context.Context) iter.Seq2[BackupRow, error] {
	ctx = mayTakeLong(ctx)
	return func(yield func(BackupRow, error) bool) {
		for _, t := range backupTables {
			more := true
			err := s.read(ctx, t, func(values [][]byte) bool {
				more = yield(BackupRow{t.name, values}, nil)
				return more
			})
			if !more {
				return // with an error, too: the caller has one
			}
			if err != nil {
				yield(BackupRow{}, err)
				return
			}
		}
	}
}

// read yields the rows of a table. A cursor has them: each statement is one of the many that this takes.
func (s *Snapshot) read(ctx context.Context, t backupTable, yield func([][]byte) bool) error {
	where, args := s.where(t)
	sql := `DECLARE backup NO SCROLL CURSOR FOR SELECT ` + t.columns + ` FROM ` + t.name + where + ` ORDER BY ` + t.order
	// The simple protocol has all values as text, and prepares no statement for the cursor of another table.
	if _, err := s.tx.Exec(ctx, sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...); err != nil {
		return err
	}
	fetch := fmt.Sprintf(`FETCH %d FROM backup`, fetchedRows)
	for {
		rows, _ := s.tx.Query(ctx, fetch, pgx.QueryExecModeSimpleProtocol) // rows.Err returns the error
		n := 0
		for ; rows.Next(); n++ {
			if !yield(rows.RawValues()) {
				rows.Close()
				return rows.Err()
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if n == 0 {
			_, err := s.tx.Exec(ctx, `CLOSE backup`)
			return err
		}
	}
}
