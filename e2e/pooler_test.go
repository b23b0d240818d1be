package e2e_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// TestPooler starts two servers behind a PgBouncer in transaction mode.
func TestPooler(t *testing.T) {
	t.Parallel()
	direct := storetest.EmptyDatabase(t)
	pooler := storetest.PgBouncer(t, direct, storetest.PoolTransactions, 3)

	t.Run("without a direct connection the server does not start", func(t *testing.T) {
		s := newServer(t, "DATABASE_URL="+pooler)
		s.launch()
		require.Equal(t, 1, s.waitExit())
		lines := s.log.lines()
		require.Contains(t, lines[len(lines)-1], "set GATEHOUSE_DIRECT_DATABASE_URL")
		require.Regexp(t, `^gatehouse: `, lines[len(lines)-1])
	})
	t.Run("with a direct connection two servers work on the database", func(t *testing.T) {
		settings := append(fixedSecrets(), "DATABASE_URL="+pooler, "GATEHOUSE_DIRECT_DATABASE_URL="+direct)
		first := startServer(t, settings...)
		second := startServer(t, settings...)
		org := first.newOrganisation()
		for _, s := range []*server{first, second, first, second} {
			s.importAPI(org, "api")
			status, body := s.get("/admin/organisations/"+org, "Admin-Auth", s.adminSecret())
			require.Equal(t, 200, status, body)
		}
		require.Equal(t, 0, first.stop())
		require.Equal(t, 0, second.stop())
		require.NotContains(t, first.log.String()+second.log.String(), "listen failed")
	})
}

// TestFinishUpgrade runs the command that the log of a server asks for after an upgrade, while the server runs.
func TestFinishUpgrade(t *testing.T) {
	t.Parallel()
	database := storetest.UpgradedDatabase(t)
	s := startServer(t, "DATABASE_URL="+database)
	pending := regexp.MustCompile(`run gatehouse finish-upgrade`)
	eventually(t, "it is logged", func() bool { return len(s.log.matching(pending)) > 0 })
	require.Len(t, s.log.matching(pending), 1)
	org := s.newOrganisation()
	out, err := s.command("finish-upgrade").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "the database has nothing any more that only earlier releases need", strings.TrimSpace(string(out)))
	s.importAPI(org, "api")
	s.stop()
	s.start()
	require.Len(t, s.log.matching(pending), 1, "it is not due any more")
	require.Zero(t, storetest.Value[int](t, database, `SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal`))
}
