package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Why a database cannot be connected to, besides ErrNoConnectionLeft.
var (
	// ErrCredentials is returned by Inspect if the database refuses the role or its password.
	ErrCredentials = errors.New("the database refuses the role or its password")
	// ErrNoDatabase is returned by Inspect if the server has no database of that name.
	ErrNoDatabase = errors.New("there is no such database")
	// ErrStarting is returned by Inspect while the server starts, stops or recovers.
	ErrStarting = errors.New("the database is starting or stopping")
)

// Tables returns the tables that the migrations make, without those that have their version.
func Tables() []string {
	return []string{
		"organisations", "users", "user_groups", "apis", "released_apis", "policies", "released_policies", "objects",
		"org_keys", "org_key_sync", "leases", "sso_nonces", "sessions", "nodes",
	}
}

const (
	// roundTrips is how many statements are timed: the median is little disturbed by a busy machine.
	roundTrips = 5
	// connectionsBesidePool are those of a server that are not of its pool: of Listen and of Health.
	connectionsBesidePool = 2
	// inspectedAPIs is the number of IDs in Inspection.APIs.
	inspectedAPIs = 3
)

// Inspection is what Inspect has found.
type Inspection struct {
	// Server is what Postgres says of itself.
	Server ServerState
	// Pooling is how the connections of the pool are pooled, and PoolerProblem an error that wraps ErrPooler or
	// ErrStatementPooler if that ends the start of a server.
	Pooling       Pooling
	PoolerProblem error
	// Latency is the median time of a small statement.
	Latency time.Duration
	// ClockAhead is how far the clock of the database is ahead of Config.Now, to within half of Latency.
	ClockAhead time.Duration
	// Unwritable is why the database stores nothing, although it can be read: ErrReadOnly or ErrDiskFull.
	Unwritable error
	Schema     SchemaState
	// Lacking are the privileges that the role lacks.
	Lacking []LackingPrivilege
	// Standbys are the standbys that are connected to the server; empty if it is one itself.
	Standbys []Standby
	// Connections is the number of connections that one server makes at most, and Max that which the database allows
	// the role, without those that are reserved for superusers.
	Connections, MaxConnections int
	// Nodes is the number of registered nodes, and APIs are the IDs of the first active APIs. They are empty before the
	// migrations have run.
	Nodes int
	APIs  []string
}

// ServerState is what Postgres says of itself and of the role.
type ServerState struct {
	Version string // "15.18 (Debian …)"
	Major   int
	Standby bool
	// LZ4 reports whether this build has the compression.
	LZ4 bool
	// Role is the name of the role, and Schema that of the first schema of its search_path; "" if there is none that
	// it may use.
	Role, Schema string
	// Limit is the number of connections of clients, RoleLimit and DatabaseLimit are those of the role and of the
	// database, or -1.
	Limit, RoleLimit, DatabaseLimit int
	// SynchronousStandbys is the setting synchronous_standby_names.
	SynchronousStandbys string
	// SeesStandbys reports whether the role may read the state of standbys.
	SeesStandbys bool
}

// SchemaState is the version of the schema.
type SchemaState struct {
	// Version is that of the database, 0 before the first migration, and Known that of this program.
	Version, Known int
	// UpgradePending is Store.UpgradePending.
	UpgradePending bool
}

// LackingPrivilege is a privilege that the role lacks.
type LackingPrivilege struct {
	// Object is a table, or the schema, and Privilege what the role lacks: SELECT, CREATE, … or OWNERSHIP.
	Object, Privilege string
	// ForMigrations reports whether only migrations need it.
	ForMigrations bool
}

// Standby is a standby that receives changes.
type Standby struct {
	Name string
	// State is "streaming" if the standby has caught up once; "" if the role may not see it.
	State string
	// Synchronous reports whether commits wait for it.
	Synchronous bool
	// Behind is how many bytes of the log of changes it has not replayed, and Lag how long the last one took that it has
	// replayed; 0 if it is idle.
	Behind int64
	Lag    time.Duration
}

// Inspect connects to a database as Open does, and looks at what a server needs of it. It applies no migrations, and
// leaves nothing in the database. It returns an error if the database cannot be connected to, or does not answer; the
// error wraps ErrConnString, ErrCredentials, ErrNoDatabase, ErrStarting or ErrNoConnectionLeft if that is the reason.
// cfg.Wait has no effect.
func Inspect(ctx context.Context, cfg Config) (found Inspection, err error) {
	defer wrap("inspect", &err)
	pooled, direct, err := inspectedConnectors(cfg)
	if err != nil {
		return found, err
	}
	found.Connections = int(pooled.size) + connectionsBesidePool
	found.Pooling, err = checkPoolers(ctx, pooled.connector, direct)
	switch {
	case errors.Is(err, ErrPooler) || errors.Is(err, ErrStatementPooler):
		found.PoolerProblem = err
	case err != nil:
		return found, unreachable(err)
	}
	conn, err := direct.alone(ctx)
	if err != nil {
		return found, unreachable(err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
		defer cancel()
		_ = conn.Close(closing) // the session ends in any case
	}()
	err = (&inspector{conn: conn, now: cfg.Now, found: &found}).run(ctx)
	return found, err
}

// sizedConnector is a connector with the size of its pool.
type sizedConnector struct {
	*connector

	size int32
}

// inspectedConnectors returns the connectors of a configuration. Their statements work through every pooler, and those
// of a pooler that allows no transactions do not need one.
func inspectedConnectors(cfg Config) (pooled sizedConnector, direct *connector, err error) {
	config, err := parseConnString(cfg.ConnString)
	if err != nil {
		return pooled, nil, err
	}
	limits := deadlines{
		timeout:  cmp.Or(cfg.StatementTimeout, defaultStatementTimeout),
		executes: func(context.Context, uint32) (bool, error) { return true, nil },
	}
	pooled = sizedConnector{newConnector(config, limits), config.MaxConns}
	pooled.config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if cfg.DirectConnString == "" {
		return pooled, pooled.connector, nil
	}
	if config, err = parseConnString(cfg.DirectConnString); err != nil {
		return pooled, nil, fmt.Errorf("direct %w", err)
	}
	direct = newConnector(config, limits)
	direct.config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pooled, direct, nil
}

// unreachable returns the error of an attempt to connect with its kind.
func unreachable(err error) error {
	switch code := sqlState(err); {
	case code == "":
		return unfit(err)
	case code == invalidCatalogName:
		return fmt.Errorf("%w: %w", ErrNoDatabase, err)
	case code == cannotConnectNow || code == adminShutdown || code == crashShutdown:
		return fmt.Errorf("%w: %w", ErrStarting, err)
	case code[:2] == classInvalidAuthorization || code == insufficientPrivilege:
		return fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return unfit(err)
}

// inspector fills an Inspection on one connection.
type inspector struct {
	conn  *pgx.Conn
	now   func() time.Time
	found *Inspection
}

func (i *inspector) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		i.time, i.server, i.writes, i.schema, i.privileges, i.standbys, i.contents,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// time measures the latency, and compares the clocks by the shortest round trip.
func (i *inspector) time(ctx context.Context) error {
	var took []time.Duration
	for range roundTrips {
		began := i.now()
		clock, err := queryValue[time.Time](ctx, i.conn, `SELECT clock_timestamp()`)
		if err != nil {
			return err
		}
		one := i.now().Sub(began)
		if took == nil || one < slices.Min(took) {
			i.found.ClockAhead = clock.Sub(began.Add(one / 2))
		}
		took = append(took, one)
	}
	slices.Sort(took)
	i.found.Latency = took[len(took)/2]
	return nil
}

func (i *inspector) server(ctx context.Context) (err error) {
	i.found.Server, err = queryRow[ServerState](ctx, i.conn, `
		SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
			pg_is_in_recovery() AS standby,
			EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) AS lz4,
			current_user::text AS role, coalesce(current_schema()::text, '') AS schema,
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
				- coalesce(current_setting('reserved_connections', true)::int, 0) AS limit,
			(SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit,
			(SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit,
			current_setting('synchronous_standby_names') AS synchronous_standbys,
			pg_has_role('pg_read_all_stats', 'USAGE') AS sees_standbys`)
	i.found.MaxConnections = i.found.Server.Limit
	for _, limit := range []int{i.found.Server.RoleLimit, i.found.Server.DatabaseLimit} {
		if limit >= 0 {
			i.found.MaxConnections = min(i.found.MaxConnections, limit)
		}
	}
	return err
}

// writes finds out whether the database stores anything, in a transaction that is rolled back.
func (i *inspector) writes(ctx context.Context) error {
	i.found.Unwritable = checkReadOnly(ctx, i.conn)
	if i.found.Unwritable != nil || errors.Is(i.found.PoolerProblem, ErrStatementPooler) { // that allows no transactions
		return nil //nolint:nilerr // it is a finding
	}
	tx, err := i.conn.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, writeProbe, pgx.QueryExecModeSimpleProtocol)
	i.found.Unwritable = unwritable(err)
	return tx.Rollback(ctx)
}

// schema reads the version of the schema. tern would make the tables that have it.
func (i *inspector) schema(ctx context.Context) error {
	i.found.Schema.Known = SchemaVersion()
	version, err := i.version(ctx, VersionTable)
	if err != nil || version == 0 {
		return err
	}
	i.found.Schema.Version = version
	removed, err := i.version(ctx, ContractVersionTable)
	i.found.Schema.UpgradePending = err == nil && removed < count(contract())
	return err
}

// version returns the number in a table of versions; 0 if there is none, or the role may not read it.
func (i *inspector) version(ctx context.Context, table string) (int, error) {
	readable, err := queryValue[bool](ctx, i.conn,
		`SELECT coalesce(has_table_privilege(to_regclass($1), 'SELECT'), false)`, table)
	if err != nil || !readable {
		return 0, err
	}
	return queryValue[int](ctx, i.conn, `SELECT coalesce(max(version), 0)::int FROM `+table)
}

// privileges finds those that the role lacks. Migrations change tables, which only their owner may.
func (i *inspector) privileges(ctx context.Context) (err error) {
	i.found.Lacking, err = queryRows[LackingPrivilege](ctx, i.conn, `
		WITH existing AS (
			SELECT name, to_regclass(name) AS id, name = ANY ($2) AS of_versions
			FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL
		)
		SELECT name AS object, privilege, of_versions AND privilege <> 'SELECT' AS for_migrations
		FROM existing, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
		WHERE NOT has_table_privilege(id, privilege)
		UNION ALL
		SELECT name, 'OWNERSHIP', true FROM existing JOIN pg_class ON pg_class.oid = existing.id
		WHERE NOT pg_has_role(relowner, 'USAGE')
		UNION ALL
		SELECT 'schema ' || current_schema(), 'CREATE', true WHERE NOT has_schema_privilege(current_schema(), 'CREATE')
		ORDER BY object, privilege`,
		append(Tables(), VersionTable, ContractVersionTable), []string{VersionTable, ContractVersionTable})
	return err
}

func (i *inspector) standbys(ctx context.Context) error {
	if i.found.Server.Standby {
		return nil
	}
	type row struct {
		Name, State string
		Synchronous bool
		Behind      int64
		Lag         float64 // in seconds
	}
	rows, err := queryRows[row](ctx, i.conn, `
		SELECT coalesce(nullif(application_name, ''), client_addr::text, 'standby') AS name, coalesce(state, '') AS state,
			coalesce(sync_state IN ('sync', 'quorum'), false) AS synchronous,
			coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::bigint AS behind,
			coalesce(extract(epoch FROM replay_lag), 0)::float8 AS lag
		FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup' ORDER BY 1, pid`)
	for _, each := range rows {
		i.found.Standbys = append(i.found.Standbys, Standby{
			Name: each.Name, State: each.State, Synchronous: each.Synchronous, Behind: each.Behind,
			Lag: time.Duration(each.Lag * float64(time.Second)),
		})
	}
	return err
}

// contents reads what a gateway is compared with. It reads no schema that this program does not know.
func (i *inspector) contents(ctx context.Context) (err error) {
	unreadable := func(l LackingPrivilege) bool { return l.Privilege == "SELECT" }
	if s := i.found.Schema; s.Version != s.Known || slices.ContainsFunc(i.found.Lacking, unreadable) {
		return nil
	}
	i.found.Nodes, err = countRows(ctx, i.conn, `nodes WHERE last_seen >= $1`, i.now().Add(-nodeLifetime))
	if err != nil {
		return err
	}
	i.found.APIs, err = queryColumn[string](ctx, i.conn,
		`SELECT api_id FROM apis WHERE active ORDER BY position LIMIT $1`, inspectedAPIs)
	return err
}
