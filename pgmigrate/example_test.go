package pgmigrate_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"gatehouse/pgmigrate"
	"gatehouse/pgtest"
)

func Example() {
	// In a program:
	//
	//	//go:embed *.sql
	//	var files embed.FS
	files := fstest.MapFS{
		"001_notes.sql": {Data: []byte(`CREATE TABLE notes (title text);`)},
		"002_owner.sql": {Data: []byte(`ALTER TABLE notes ADD owner text;`)},
	}
	migrations := pgmigrate.Sequence{Files: files, Table: "notes_version"}

	ctx := context.Background()
	connString := pgtest.Server() // DATABASE_URL, in a program
	if err := migrations.Up(ctx, connString); err != nil {
		fmt.Println(err)
		return
	}
	conn, err := pgx.Connect(ctx, connString)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	names, applied, err := migrations.Status(ctx, conn)
	fmt.Println(names, applied, err)
	// Output: [001_notes 002_owner] 2 <nil>
}
