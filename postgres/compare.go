package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ownSchema is the condition of a schema that is not Postgres's own.
const ownSchema = `nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'`

// contentSQL selects a line for each table, with the number of its rows and a checksum that does not depend on their
// order, a line for each sequence, and a count of each other kind of object in a dump. It does not count NOT NULL
// constraints, which are in pg_constraint only since Postgres 18.
const contentSQL = `
	SET bytea_output = hex; SET timezone = UTC; SET datestyle = ISO; SET intervalstyle = postgres;
	SET extra_float_digits = 1;
	SELECT format('SELECT %L, count(*), coalesce(sum((''x'' || left(encode(
			sha256(convert_to("gatehouse row"::text, ''UTF8'')), ''hex''), 15))::bit(60)::bigint), 0)
			FROM ONLY %I.%I AS "gatehouse row"',
		'table ' || nspname || '.' || relname, nspname, relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND ` + ownSchema + `
	ORDER BY nspname, relname
	\gexec
	SELECT 'sequence ' || schemaname || '.' || sequencename, last_value FROM pg_sequences ORDER BY 1;
	SELECT 'relations of kind ' || relkind::text, count(*) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
		WHERE ` + ownSchema + ` GROUP BY 1 ORDER BY 1;
	SELECT 'valid indexes', count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
		JOIN pg_namespace n ON n.oid = relnamespace WHERE indisvalid AND ` + ownSchema + `;
	SELECT 'valid constraints', count(*) FROM pg_constraint JOIN pg_namespace n ON n.oid = connamespace
		WHERE contype <> 'n' AND convalidated AND ` + ownSchema + `;
	SELECT 'triggers', count(*) FROM pg_trigger WHERE NOT tgisinternal;
	SELECT 'functions', count(*) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE ` + ownSchema + `;
	SELECT 'large objects', count(*) FROM pg_largeobject_metadata;`

// content is the content of a cluster, as the lines that contentSQL selects.
type content []string

func contentOf(ctx context.Context, c clients, socketDir string) (content, error) {
	text, err := c.query(ctx, socketDir, contentSQL)
	return lines(text), err
}

// difference returns the first difference of two contents, or "".
func (c content) difference(loaded content) string {
	for _, line := range c {
		if !slices.Contains(loaded, line) {
			return "the old one has " + line
		}
	}
	for _, line := range loaded {
		if !slices.Contains(c, line) {
			return "the new one has " + line
		}
	}
	return ""
}

// count returns the number of tables and of their rows.
func (c content) count() (tables, rows int64) {
	for _, line := range c {
		if values := strings.Split(line, "|"); strings.HasPrefix(line, "table ") && len(values) > 2 {
			n, _ := strconv.ParseInt(values[len(values)-2], 10, 64) // Postgres wrote it
			tables, rows = tables+1, rows+n
		}
	}
	return tables, rows
}

// othersSQL selects databases, roles and tablespaces that gatehouse has not created, and that pg_dump does not dump.
const othersSQL = `
	SELECT 'database ' || datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres';
	SELECT 'role ' || rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\_%' AND rolname <> '` + superuser + `';
	SELECT 'tablespace ' || spcname FROM pg_tablespace WHERE spcname NOT LIKE 'pg\_%';`

// requireNoOthers returns an error if a cluster has objects that an upgrade would lose.
func requireNoOthers(ctx context.Context, c clients, socketDir string) error {
	others, err := c.query(ctx, socketDir, othersSQL)
	if err != nil || strings.TrimSpace(others) == "" {
		return err
	}
	return fmt.Errorf("the private Postgres has objects that gatehouse has not created, and that the upgrade would "+
		"lose: %s: copy and drop them first", strings.Join(lines(others), ", "))
}

// settingsSQL selects the settings of the configuration files that are applied, and those of databases and roles.
const settingsSQL = `SELECT name || ' = ' || setting FROM pg_file_settings WHERE applied ORDER BY seqno;
	SELECT 'default ' || coalesce(rolname, '') || ' ' || array_to_string(setconfig, ', ')
	FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole;`

// changedSettings returns the settings of the old cluster that the new one does not have.
func changedSettings(ctx context.Context, c clients, oldSocket, newSocket string) ([]string, error) {
	before, err := c.query(ctx, oldSocket, settingsSQL)
	if err != nil {
		return nil, err
	}
	now, err := c.query(ctx, newSocket, settingsSQL)
	if err != nil {
		return nil, err
	}
	set := append(lines(now), "")
	return slices.DeleteFunc(lines(before), func(line string) bool { return slices.Contains(set, line) }), nil
}
