// Package migrations holds the database's schema as numbered SQL files, applied in order and each once.
// Their names and constraints are what store translates into errors: a rule that the database can hold
// lives here, under a name.
package migrations

import "embed"

// Files are the migrations, named NNN_what.sql.
//
//go:embed *.sql
var Files embed.FS
