package store_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// statementCounter is a tracer that counts statements.
type statementCounter struct{ n atomic.Int64 }

func (c *statementCounter) TraceQueryStart(
	ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData,
) context.Context {
	c.n.Add(1)
	return ctx
}

func (c *statementCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestCallersAreReadInOneStatement: the group of a caller costs no statement of its own.
func TestCallersAreReadInOneStatement(t *testing.T) {
	t.Parallel()
	ctx, counter := t.Context(), &statementCounter{}
	s, err := store.Open(ctx, store.WithTracer(store.Config{
		ConnString: storetest.Database(t), Now: time.Now, IDs: store.NewIDs(time.Now),
	}, counter))
	require.NoError(t, err)
	t.Cleanup(s.Close)
	org, err := s.CreateOrganisation(ctx, store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	group := store.UserGroup{
		ID: s.NewUserGroupID(), OrgID: org, Active: true, UserPermissions: map[string]string{"apis": "read"},
		Document: json.RawMessage(`{}`),
	}
	require.NoError(t, s.CreateUserGroup(ctx, group))
	for _, groupID := range []string{"", group.ID} {
		user, err := s.CreateUser(ctx, store.UserParams{
			OrgID: &org, EmailAddress: groupID + "@example.org", Active: true, GroupID: groupID,
		})
		require.NoError(t, err)
		before := counter.n.Load()
		caller, err := s.UserByAccessKey(ctx, user.AccessKey)
		require.NoError(t, err)
		require.EqualValues(t, 1, counter.n.Load()-before)
		require.Equal(t, user, caller.User)
		if groupID != "" {
			require.Equal(t, group.UserPermissions, caller.GroupPermissions)
		} else {
			require.Nil(t, caller.GroupPermissions)
		}
	}
}
