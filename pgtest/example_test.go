package pgtest_test

import (
	"flag"
	"fmt"
	"testing"

	"gatehouse/pgtest"
)

// The test package begins with
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m, migrations.Up)) }
//
// where migrations is a pgmigrate.Sequence.
func Example() {
	testInsert := func(t *testing.T) {
		conn := pgtest.Database(t)
		pgtest.Exec(t, conn, `INSERT INTO notes (title) VALUES ('Tide tables')`)
		if n := pgtest.Value[int](t, conn, `SELECT count(*) FROM notes`); n != 1 {
			t.Errorf("%d notes are stored", n)
		}
	}
	fmt.Println(passes(testInsert)) // go test runs it
	// Output: true
}

// passes reports whether a test passes. With -v, the test would print lines between those of the example.
func passes(test func(*testing.T)) bool {
	verbose := flag.Lookup("test.v").Value
	set := verbose.String()
	_ = verbose.Set("false")
	defer func() { _ = verbose.Set(set) }()
	all := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: "TestInsert", F: test}})
}
