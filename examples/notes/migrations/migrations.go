// Package migrations has the schema of the database.
package migrations

import (
	"embed"
	"gatehouse/pgmigrate"
)

//go:embed *.sql
var files embed.FS

// All are the migrations, in the order of their numbers.
var All = pgmigrate.Sequence{Files: files}
