package postgres

import "log/slog"

// Config configures a private Postgres.
type Config struct {
	DataDir string // the server's data directory, made if missing; the cluster is <DataDir>/postgres
	BinDir  string // directory of initdb and postgres; empty: search the machine
	Log     *slog.Logger
	// Volatile trades safety for speed: a crash of the operating system may lose or corrupt the data. A crash of Postgres
	// alone is harmless. It is for tests.
	Volatile bool
	// Settings are more settings of Postgres, as name=value. They are for tests.
	Settings []string
	// Temporary reports whether Postgres runs for a command, and not for a server: other starts then return ErrBusy
	// instead of ErrInUse.
	Temporary bool
}
