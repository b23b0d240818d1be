package server_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// exampleServers lends servers, each on a database with the rows of the contracts' examples, to tests of one operation
// each. A database and a server for each operation would be most of what the tests cost.
type exampleServers struct {
	start func() *bundle // in the test of all operations

	mu   sync.Mutex // guards idle, for the time of one access
	idle []*bundle
}

// newExampleServers starts the first server: a template cannot be made while the tests of operations run.
func newExampleServers(t *testing.T) *exampleServers {
	t.Helper()
	start := func() *bundle { return setupOn(t, exampleDatabase(t)) }
	return &exampleServers{start: start, idle: []*bundle{start()}}
}

// lend returns a server that no other test has until t ends. Its rows are those of the examples, and its log is empty.
func (s *exampleServers) lend(t *testing.T) *bundle {
	t.Helper()
	b := s.take()
	if b == nil {
		b = s.start()
	}
	b.log.reset()
	t.Cleanup(func() {
		storetest.Restore(t, b.conn)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle = append(s.idle, b)
	})
	lent := *b
	lent.t = t
	return &lent
}

func (s *exampleServers) take() *bundle {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	b := s.idle[last]
	s.idle = s.idle[:last]
	return b
}

// TestLentServersHaveTheExamples changes a row of each table, and adds and deletes some: the next test has the rows of
// the examples.
func TestLentServersHaveTheExamples(t *testing.T) {
	t.Parallel()
	servers := newExampleServers(t)
	var conn, before string
	t.Run("changes", func(t *testing.T) {
		b := servers.lend(t)
		conn, before = b.conn, storetest.Dump(t, b.conn)
		b.admin("PUT", "/admin/organisations/"+exampleOrg, `{"owner_name":"changed"}`).is(200)
		b.user(exampleOrg, "another@example.org", nil)
		b.importAPIs(apiOf(exampleOrg, "another")).is(200)
		b.admin("DELETE", "/admin/users/"+exampleUser, nil).is(200)
		storetest.Exec(t, b.conn, `DELETE FROM policies; DELETE FROM objects; DELETE FROM sso_nonces; DELETE FROM user_groups`)
		require.NotEqual(t, before, storetest.Dump(t, b.conn))
	})
	b := servers.lend(t)
	require.Equal(t, conn, b.conn)
	require.Equal(t, before, storetest.Dump(t, b.conn))
	b.user(exampleOrg, "another@example.org", nil)
	b.importAPIs(apiOf(exampleOrg, "another")).is(200)
}
