package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"gatehouse/migrations"
	"gatehouse/pgmigrate"
)

const (
	// VersionTable is the table that has the number of the last migration that was applied.
	VersionTable = "gatehouse_schema_version"
	// ContractVersionTable is VersionTable for migrations.Contract.
	ContractVersionTable = "gatehouse_contract_version"
	// contractLockTimeout is how long a migration of migrations.Contract waits for a lock. Requests wait behind it.
	contractLockTimeout = "5s"
)

// ErrNewerDatabase is returned when the database has migrations that this program does not have.
var ErrNewerDatabase = pgmigrate.ErrNewerDatabase

// ErrMigrationsDue is returned when the database lacks migrations, and Config.NoMigrations is set.
var ErrMigrationsDue = pgmigrate.ErrDue

// expand returns the migrations that add what this release needs.
func expand() pgmigrate.Sequence {
	return pgmigrate.Sequence{Files: migrations.Files, Table: VersionTable}
}

// contract returns the migrations that remove what only servers of earlier releases need.
func contract() pgmigrate.Sequence {
	return pgmigrate.Sequence{Files: migrations.Contract(), Table: ContractVersionTable}
}

// applyMigrations applies the migrations that are missing, all of them or none. If there were none before, it applies
// those of the other sequences, too.
func applyMigrations(
	ctx context.Context, conn *pgx.Conn, sequence pgmigrate.Sequence, ifEmpty ...pgmigrate.Sequence,
) error {
	return sequence.Apply(withStatementTimeout(ctx, migrationTimeout), conn, ifEmpty...)
}

// count returns the number of the migrations of a sequence.
func count(sequence pgmigrate.Sequence) int {
	names, err := sequence.Names()
	if err != nil {
		panic(err) // they are embedded, and a database was made with them
	}
	return len(names)
}
