package e2e_test

import (
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/postgrespair"
	"gatehouse/store/storetest"
)

// supervisorTimeout is how long supervisors wait for the end of a program at least.
const supervisorTimeout = 30 * time.Second

// TestStopWithADatabaseThatHangs stops a server whose database does not answer, while requests wait for it: one that is
// configured, and a private one.
func TestStopWithADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	t.Run("configured", func(t *testing.T) {
		t.Parallel()
		proxy := storetest.NewProxy(t, storetest.Database(t))
		s := startServer(t, "DATABASE_URL="+proxy.ConnString())
		stopWhileHanging(t, s, proxy.Stop)
	})
	t.Run("private", func(t *testing.T) {
		t.Parallel()
		s := startServer(t)
		var stopped []int
		t.Cleanup(func() {
			for _, pid := range stopped {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		})
		stopWhileHanging(t, s, func() {
			stopped = postgrespair.Processes(postmasterPID(t, s.dir))
			for _, pid := range stopped {
				require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
			}
		})
	})
}

func stopWhileHanging(t *testing.T, s *server, hang func()) {
	t.Helper()
	id := s.newOrganisation()
	hang()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	secret := s.adminSecret()
	for range 50 {
		waiting.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				"http://"+s.address+"/admin/organisations/"+id, nil)
			require.NoError(t, err)
			request.Header.Set("Admin-Auth", secret)
			if response, err := http.DefaultClient.Do(request); err == nil {
				require.NotEqual(t, http.StatusOK, response.StatusCode)
				require.NoError(t, response.Body.Close())
			}
		})
	}
	time.Sleep(100 * time.Millisecond) // most of them have arrived
	began := time.Now()
	s.signal(syscall.SIGTERM)
	s.waitExit()
	took := time.Since(began)
	t.Logf("the server ended %s after SIGTERM", took)
	require.Less(t, took, supervisorTimeout)
}

// TestOrdinaryRole: the server needs a role that owns its database, as services for Postgres give it, and no superuser.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	database := storetest.EmptyDatabase(t)
	role := storetest.Role(t, database, "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")
	name := storetest.Value[string](t, database, `SELECT current_database()`)
	storetest.Exec(t, database, `ALTER DATABASE `+name+` OWNER TO `+role)
	t.Cleanup(func() {
		owner := storetest.Value[string](t, database, `SELECT current_user`)
		storetest.Exec(t, database, `ALTER DATABASE `+name+` OWNER TO `+owner)
		storetest.Exec(t, database, `REASSIGN OWNED BY `+role+` TO `+owner)
	})
	s := startServer(t, "DATABASE_URL="+database+" user="+role)
	org := s.newOrganisation()
	s.importAPI(org, "api")
	require.Equal(t, role, storetest.Value[string](t, database, `SELECT tableowner FROM pg_tables WHERE tablename = 'apis'`))
	require.Zero(t, storetest.Value[int](t, database, `SELECT count(*) FROM pg_extension WHERE extname <> 'plpgsql'`))
	require.Zero(t, s.stop())
	require.NotContains(t, s.log.String(), "level=ERROR")
}
