package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"gatehouse/postgres"
	"gatehouse/store"
)

const (
	// slowLatency is the time of a small statement above which requests, of one to five statements, are noticeably slow.
	slowLatency = 20 * time.Millisecond
	// maxLag and maxBehind, in bytes, are the replication lag above which a failover loses many changes.
	maxLag    = 10 * time.Second
	maxBehind = 64 << 20
)

// DatabaseConfig configures CheckDatabase.
type DatabaseConfig struct {
	// Store has the connection strings. Without one, CheckDatabase inspects the private Postgres.
	Store   store.Config
	Private postgres.Config
}

// CheckDatabase inspects the database, and stores the inspection in result, which other checks read.
func CheckDatabase(cfg DatabaseConfig, result *Database) Check {
	return Check{"database", func(ctx context.Context) []Finding {
		var findings []Finding
		if cfg.Store.ConnString == "" {
			private, running := checkPrivate(ctx, &cfg)
			if !running {
				result.set(store.Inspection{}, errNotRunning)
				return private
			}
			findings = private
		}
		found, err := store.Inspect(ctx, cfg.Store)
		result.set(found, err)
		if err != nil {
			return append(findings, unreachable(err))
		}
		return append(findings, databaseFindings(found)...)
	}}
}

// errNotRunning is the error of the inspection if the private Postgres does not run.
var errNotRunning = errors.New("the private Postgres does not run")

// checkPrivate inspects the private Postgres without starting it. If it runs, its connection string is set in cfg.
func checkPrivate(ctx context.Context, cfg *DatabaseConfig) (findings []Finding, running bool) {
	const name = "private postgres"
	state, err := postgres.Inspect(ctx, cfg.Private)
	if err != nil {
		findings = []Finding{{name, Fault, err.Error(), "correct this: the server does not start without its database"}}
		return findings, state.Running && setConnString(cfg, state)
	}
	programs := fmt.Sprintf("Postgres %s from %s", state.Version, state.BinDir)
	switch {
	case state.Cluster == "":
		return []Finding{{
			name, Note, "there is no database yet in " + cfg.Private.DataDir + ": the server creates it with " + programs,
			"start the server with gatehouse serve, or set --data-dir or --database-url if there is one elsewhere",
		}}, false
	case !state.Running:
		return []Finding{{
			name, Note, errNotRunning.Error() + ": " + state.Cluster + ", " + programs,
			"start the server with gatehouse serve, and run doctor beside it to have its database checked",
		}}, false
	}
	return []Finding{{name, OK, "runs in " + state.Cluster, ""}}, setConnString(cfg, state)
}

func setConnString(cfg *DatabaseConfig, state postgres.State) bool {
	cfg.Store.ConnString = state.ConnString
	return true
}

// unreachable returns the finding about a database that cannot be connected to.
func unreachable(err error) Finding {
	advice := "check that the server runs, and that host and port of --database-url (DATABASE_URL) are right"
	var unknownHost *net.DNSError
	for _, each := range []struct {
		is     bool
		advice string
	}{
		{errors.Is(err, store.ErrConnString), "correct --database-url (DATABASE_URL) or --direct-database-url"},
		{
			errors.Is(err, store.ErrCredentials),
			"check user and password of --database-url (DATABASE_URL), the password of the role, and pg_hba.conf",
		},
		{
			errors.Is(err, store.ErrNoDatabase),
			"create it with createdb, or correct its name in --database-url (DATABASE_URL)",
		},
		{errors.Is(err, store.ErrStarting), "wait until Postgres has started; its log shows the progress"},
		{
			errors.Is(err, store.ErrNoConnectionLeft),
			"raise max_connections of Postgres, or lower pool_max_conns in the connection strings of its clients",
		},
		{errors.Is(err, store.ErrReadOnly), "name the primary in --database-url (DATABASE_URL), or promote a standby"},
		{errors.As(err, &unknownHost), "correct the name of the host in --database-url (DATABASE_URL), or its DNS"},
		{
			strings.Contains(err.Error(), "tls error"),
			"check sslmode, sslrootcert, sslcert and sslkey in --database-url (DATABASE_URL)",
		},
		{strings.Contains(err.Error(), "server error"), "read the log of Postgres"},
	} {
		if each.is {
			advice = each.advice
			break
		}
	}
	return Finding{"database", Fault, "cannot be used: " + err.Error(), advice}
}

// databaseFindings returns the findings about a database that could be inspected.
func databaseFindings(found store.Inspection) []Finding {
	findings := []Finding{writesFinding(found), versionFinding(found), schemaFinding(found)}
	findings = append(findings, privilegeFindings(found)...)
	findings = append(findings, compressionFinding(found), poolerFinding(found))
	findings = append(findings, replicationFindings(found)...)
	return append(findings, latencyFinding(found), connectionsFinding(found), clockFinding(found))
}

func writesFinding(found store.Inspection) Finding {
	const name = "database"
	switch err := found.Unwritable; {
	case err == nil:
		return Finding{name, OK, "answers, and can be written", ""}
	case errors.Is(err, store.ErrDiskFull):
		return Finding{name, Fault, store.ErrDiskFull.Error(), "free space on the disk of Postgres"}
	case errors.Is(err, store.ErrReadOnly) && found.Server.Standby:
		return Finding{
			name, Fault, "the server is a standby, which accepts no writes",
			"name the primary in --database-url (DATABASE_URL), or all servers, of which gatehouse finds the primary",
		}
	case errors.Is(err, store.ErrReadOnly):
		return Finding{
			name, Fault, store.ErrReadOnly.Error(),
			"turn default_transaction_read_only off, which is set for the server, the database, the role or the connection",
		}
	}
	return Finding{name, Fault, "cannot be written: " + found.Unwritable.Error(), "read the log of Postgres"}
}

func versionFinding(found store.Inspection) Finding {
	const name = "database version"
	version := "Postgres " + found.Server.Version
	if found.Server.Major < postgres.OldestMajor {
		return Finding{
			name, Fault, version + " is older than gatehouse supports",
			fmt.Sprintf("upgrade to Postgres %d or newer", postgres.OldestMajor),
		}
	}
	return Finding{name, OK, version, ""}
}

func schemaFinding(found store.Inspection) Finding {
	const name = "database schema"
	schema := found.Schema
	have := fmt.Sprintf("version %d, this program has %d", schema.Version, schema.Known)
	switch {
	case schema.Version > schema.Known:
		return Finding{name, Fault, have, "run the newer version of gatehouse that has upgraded the database"}
	case schema.Version == 0:
		return Finding{
			name, Note, "there are no tables of gatehouse in the database",
			"if it should have some, check the name of the database and search_path; " +
				"otherwise start the server, which creates them",
		}
	case schema.Version < schema.Known:
		return Finding{
			name, Note, have,
			"back up the database, then start a server of this version, which applies the migrations; " +
				"servers of the previous release continue to work",
		}
	case schema.UpgradePending:
		return Finding{
			name, Note, have + ", and the database has what only servers of earlier releases need",
			"run gatehouse finish-upgrade when no server of an earlier release runs any more",
		}
	}
	return Finding{name, OK, fmt.Sprintf("version %d, as this program has it", schema.Version), ""}
}

// privilegeFindings returns a fault if the role lacks a privilege that the server needs, and a warning if it lacks one
// that only the next migrations need.
func privilegeFindings(found store.Inspection) []Finding {
	const name = "database privileges"
	role := found.Server.Role
	if found.Server.Schema == "" {
		return []Finding{{
			name, Fault, "the role " + role + " has the privilege USAGE on no schema of its search_path",
			"GRANT USAGE, CREATE ON SCHEMA public TO " + role + "; or create a schema for it",
		}}
	}
	var now, later []string
	for _, each := range found.Lacking {
		what := each.Privilege + " on " + each.Object
		switch {
		case each.ForMigrations && found.Schema.Version >= found.Schema.Known:
			later = append(later, what)
		default:
			now = append(now, what)
		}
	}
	if now == nil && later == nil {
		return []Finding{{name, OK, "the role " + role + " has all that the server and the migrations need", ""}}
	}
	advice := "have the owner run: ALTER TABLE … OWNER TO " + role + ", and GRANT USAGE, CREATE ON SCHEMA " +
		found.Server.Schema + " TO " + role
	var findings []Finding
	if now != nil {
		findings = append(findings, Finding{
			name, Fault, "the role " + role + " lacks " + list(now) + ", without which the server does not work", advice,
		})
	}
	if later != nil {
		findings = append(findings, Finding{
			name, Warning, "the role " + role + " lacks " + list(later) + ", which the migrations of the next release need",
			advice,
		})
	}
	return findings
}

// maxListed is the number of items that a finding lists.
const maxListed = 5

// list joins the first maxListed items, and appends the number of the others.
func list(items []string) string {
	if len(items) > maxListed {
		return strings.Join(items[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(items)-maxListed)
	}
	return strings.Join(items, ", ")
}

func compressionFinding(found store.Inspection) Finding {
	const name = "database compression"
	if found.Server.LZ4 {
		return Finding{name, OK, "lz4", ""}
	}
	return Finding{
		name, Note, "this build of Postgres lacks lz4: imports take up to twice as long",
		"if imports are too slow, use a build with lz4 (configure --with-lz4)",
	}
}

func poolerFinding(found store.Inspection) Finding {
	const name = "database pooler"
	switch {
	case errors.Is(found.PoolerProblem, store.ErrStatementPooler):
		return Finding{
			name, Fault, found.PoolerProblem.Error(), "set pool_mode=session for this database in the pooler",
		}
	case found.PoolerProblem != nil:
		return Finding{
			name, Fault, found.PoolerProblem.Error(),
			"set GATEHOUSE_DIRECT_DATABASE_URL to a connection string of Postgres itself, or pool_mode=session in the pooler",
		}
	}
	return Finding{name, OK, map[store.Pooling]string{
		store.NoPooler:          "none, connections lead to Postgres itself",
		store.PoolsSessions:     "one in session mode",
		store.PoolsTransactions: "one in transaction mode, and a direct connection for LISTEN and advisory locks",
	}[found.Pooling], ""}
}

// replicationFindings returns findings about standbys, and a fault if no synchronous standby is connected although
// commits wait for one.
func replicationFindings(found store.Inspection) []Finding {
	const name = "database replication"
	var findings []Finding
	synchronous := false
	for _, each := range found.Standbys {
		synchronous = synchronous || each.Synchronous && each.State == "streaming"
		state := fmt.Sprintf("standby %s: %d KB behind, lag %s", each.Name, each.Behind>>10, round(each.Lag))
		switch {
		case each.State == "":
			findings = append(findings, Finding{
				name, Note, "standby " + each.Name + ": the role may not see its state",
				"GRANT pg_read_all_stats TO " + found.Server.Role + " to have it checked",
			})
		case each.State != "streaming":
			findings = append(findings, Finding{
				name, Warning, state + ", state " + each.State, "wait until it has caught up; if it does not, read its log",
			})
		case each.Lag > maxLag || each.Behind > maxBehind:
			findings = append(findings, Finding{
				name, Warning, state, "check it for long queries, a slow disk and a slow network: a failover would lose " +
					"these changes",
			})
		default:
			findings = append(findings, Finding{name, OK, state, ""})
		}
	}
	if found.Server.SynchronousStandbys != "" && !synchronous && found.Server.SeesStandbys && !found.Server.Standby {
		findings = append(findings, Finding{
			name, Fault, "no synchronous standby is connected (synchronous_standby_names): every change waits for one",
			"start the standby, or set synchronous_standby_names to '' and reload Postgres",
		})
	}
	if findings == nil {
		return []Finding{{name, OK, "no standby", ""}}
	}
	return findings
}

func latencyFinding(found store.Inspection) Finding {
	const name = "database latency"
	took := round(found.Latency).String() + " for a small statement"
	if found.Latency > slowLatency {
		return Finding{
			name, Warning, took, "run the server near its database, and check the load of the database and of this machine",
		}
	}
	return Finding{name, OK, took, ""}
}

func connectionsFinding(found store.Inspection) Finding {
	const name = "database connections"
	have := fmt.Sprintf("a server makes up to %d, the database allows %d", found.Connections, found.MaxConnections)
	if found.Connections > found.MaxConnections {
		return Finding{
			name, Warning, have,
			"add pool_max_conns=… to --database-url (DATABASE_URL), or raise max_connections of Postgres, " +
				"or the CONNECTION LIMIT of the role or of the database",
		}
	}
	return Finding{name, OK, have, ""}
}

// round rounds a duration for display.
func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
