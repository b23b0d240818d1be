package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNameOf(t *testing.T) {
	t.Parallel()
	for sql, name := range map[string]string{
		"SELECT id FROM users WHERE id = $1 FOR UPDATE":               "SELECT users",
		"\n\tselect  a,\n b from\tusers":                              "SELECT users",
		"INSERT INTO apis (id) VALUES ($1) ON CONFLICT DO UPDATE SET": "INSERT apis",
		"UPDATE policies SET a = $1":                                  "UPDATE policies",
		"WITH changed AS (UPDATE users SET a = $1) SELECT 1":          "WITH users",
		"SELECT now() FROM unnest($1) JOIN nodes n":                   "SELECT nodes",
		`COPY "imported_apis"`:                                        "COPY imported_apis",
		"LOCK TABLE apis IN SHARE MODE":                               "LOCK apis",
		"CREATE TEMPORARY TABLE IF NOT EXISTS filler (a text)":        "CREATE filler",
		"DROP TABLE IF EXISTS filler":                                 "DROP filler",
		"SELECT pg_notify($1, $2)":                                    "SELECT",
		"COMMIT":                                                      "COMMIT",
		"":                                                            "",
	} {
		require.Equal(t, name, nameOf(sql), sql)
	}
}
