// Package migrations holds the database's schema as numbered SQL files, applied in order and each once.
// Their names and constraints are what store translates into errors: a rule that the database can hold
// lives here, under a name.
//
// There are two sequences, so that servers of two releases can work on one database
// (docs/architecture.md#migrations). Files only add what a release needs, and a server applies them when it starts.
// Contract removes what only servers of earlier releases need, when none of them is left.
package migrations

import (
	"embed"
	"io/fs"
)

// Files are the migrations that add, named NNN_what.sql.
//
//go:embed *.sql
var Files embed.FS

//go:embed contract/*.sql
var contract embed.FS

// Contract returns the migrations that remove, named NNN_what.sql.
func Contract() fs.FS {
	files, err := fs.Sub(contract, "contract")
	if err != nil {
		panic(err) // the path is a constant
	}
	return files
}
