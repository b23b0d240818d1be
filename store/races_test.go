package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// race is concurrent calls of which those that lose must get an error that is documented.
type race struct {
	// lose is the error of those that lose; nil if all calls succeed.
	lose error
	// call is the nth of the calls.
	call func(n int) error
}

// TestRaces makes concurrent requests break each rule that they can.
func TestRaces(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx, org := t.Context(), organisation(t, s)
	document := json.RawMessage(`{}`)
	user := func(org, email string) store.UserParams { return store.UserParams{OrgID: &org, EmailAddress: email} }
	var ids, others []string // others are users of a race of their own
	for i := range 8 {
		u, err := s.CreateUser(ctx, user(org, strconv.Itoa(i)))
		require.NoError(t, err)
		other, err := s.CreateUser(ctx, user(org, fmt.Sprint("other", i)))
		require.NoError(t, err)
		ids, others = append(ids, u.ID), append(others, other.ID)
	}
	api := func(apiID, id, org string) func(yield func(store.API, error) bool) {
		return func(yield func(store.API, error) bool) {
			yield(store.API{APIID: apiID, ID: id, OrgID: org, Document: document}, nil)
		}
	}
	refusedIs := func(refused map[string]store.Refusal, err error, want store.Refusal) error {
		for _, refusal := range refused {
			assert.Regexp(t, `^`+string(want)+` \((api|policy)[0-9]+\)$`, refusal, "it names the document that was first")
			err = store.ErrConflict
		}
		return err
	}
	races := map[string]race{
		"organisations_pkey": {nil, func(int) error {
			_, err := s.ImportOrganisation(ctx, store.Organisation{ID: "imported", Document: document})
			return err
		}},
		"organisations_cname_key": {store.ErrConflict, func(int) error {
			_, err := s.CreateOrganisation(ctx, store.Organisation{CName: "raced.example", Document: document})
			return err
		}},
		"organisations_cname_key of imports": {store.ErrConflict, func(n int) error {
			_, err := s.ImportOrganisation(ctx, store.Organisation{
				ID: fmt.Sprint("import", n), CName: "imported.example", Document: document,
			})
			return err
		}},
		"users_email_key": {store.ErrConflict, func(int) error {
			_, err := s.CreateUser(ctx, user(org, "raced@example.org"))
			return err
		}},
		"users_email_key of super users": {store.ErrConflict, func(int) error {
			_, err := s.CreateUser(ctx, user("", "raced@example.org"))
			return err
		}},
		"users_email_key of updates": {store.ErrConflict, func(n int) error {
			_, err := s.UpdateUser(ctx, ids[n], store.UserParams{EmailAddress: "updated@example.org"})
			return err
		}},
		"users_access_key_key": {store.ErrAccessKeyTaken, func(n int) error {
			_, err := s.UpdateUser(ctx, others[n], store.UserParams{
				EmailAddress: fmt.Sprint(n, "@example.org"), AccessKey: "raced",
			})
			return err
		}},
		"apis_pkey": {nil, func(int) error {
			refused, err := s.ImportAPIs(ctx, "check", api("raced", "raced", org))
			return refusedIs(refused, err, "")
		}},
		"apis_id_key": {store.ErrConflict, func(n int) error {
			refused, err := s.ImportAPIs(ctx, "check", api(fmt.Sprint("api", n), "same", org))
			return refusedIs(refused, err, store.RefusedID)
		}},
		"policies_policy_id_key": {store.ErrConflict, func(n int) error {
			refused, err := s.ImportPolicies(ctx, "check", func(yield func(store.Policy, error) bool) {
				id := fmt.Sprint("policy", n)
				yield(store.Policy{ID: id, ExplicitID: "same", OrgID: org, Document: document}, nil)
			})
			return refusedIs(refused, err, store.RefusedID)
		}},
		"org_keys_pkey": {nil, func(int) error {
			return s.WriteOrgKey(ctx, store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: document}})
		}},
		"nodes_session_id_key": {nil, func(int) error {
			_, err := s.RegisterNode(ctx, "raced", "host")
			return err
		}},
	}
	for name, r := range races {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var won int
			var calls sync.WaitGroup
			for n := range ids {
				calls.Go(func() {
					err := r.call(n)
					if err == nil {
						mu.Lock()
						defer mu.Unlock()
						won++
						return
					}
					assert.ErrorIs(t, err, r.lose)
				})
			}
			calls.Wait()
			if r.lose == nil {
				require.Equal(t, len(ids), won)
			} else {
				require.Equal(t, 1, won)
			}
		})
	}
}

// TestUserIsUpdatedAfterADeadlock: an update waits for the e-mail address of another transaction, which then waits for
// the row of the update.
func TestUserIsUpdatedAfterADeadlock(t *testing.T) {
	t.Parallel()
	for _, active := range []bool{true, false} {
		t.Run(fmt.Sprint("active ", active), func(t *testing.T) {
			t.Parallel()
			conn := storetest.Database(t)
			s := storetest.Open(t, conn+" deadlock_timeout=3s") // time for the other update to wait
			t.Cleanup(s.Close)
			ctx, org := t.Context(), organisation(t, s)
			first, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "first@example.org", Active: active})
			require.NoError(t, err)
			second, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "second@example.org", Active: active})
			require.NoError(t, err)

			other := connect(t, conn)
			exec := func(sql string, args ...any) {
				t.Helper()
				_, err := other.Exec(ctx, sql, args...)
				require.NoError(t, err)
			}
			exec(`SET deadlock_timeout = '1min'`) // the deadlock ends the update of the Store
			exec(`BEGIN`)
			exec(`UPDATE users SET email_address = 'new@example.org', email_key = 'new@example.org' WHERE id = $1`, first.ID)
			updated := make(chan error, 1)
			go func() {
				_, err := s.UpdateUser(ctx, second.ID, store.UserParams{
					OrgID: &org, EmailAddress: "first@example.org", AccessKey: second.AccessKey, Active: active,
				})
				updated <- err
			}()
			require.Eventually(t, func() bool { return storetest.WaitsForLock(t, conn) }, time.Minute, time.Millisecond)
			exec(`UPDATE users SET first_name = 'Ada' WHERE id = $1`, second.ID)
			exec(`COMMIT`)
			require.NoError(t, <-updated)
		})
	}
}

// TestOrganisationDeletedMeanwhile: what is created in an organisation that is being deleted is an error that is
// documented, and nothing of the organisation is left.
func TestOrganisationDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	s := storetest.Open(t, conn)
	t.Cleanup(s.Close)
	ctx, document := t.Context(), json.RawMessage(`{}`)
	creations := map[string]func(org string, n int) error{
		"user": func(org string, n int) error {
			_, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: strconv.Itoa(n)})
			return err
		},
		"nonce": func(org string, _ int) error {
			_, err := s.CreateNonce(ctx, store.SignOn{OrgID: org, Document: document})
			return err
		},
		"key": func(org string, _ int) error {
			return s.WriteOrgKey(ctx, store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: document}})
		},
		"API": func(org string, n int) error {
			refused, err := s.ImportAPIs(ctx, "check", func(yield func(store.API, error) bool) {
				id := fmt.Sprint(org, n)
				yield(store.API{APIID: id, ID: id, OrgID: org, Document: document}, nil)
			})
			for _, refusal := range refused {
				assert.Equal(t, store.RefusedOrganisation, refusal)
				err = store.ErrUnknownOrganisation
			}
			return err
		},
	}
	for name, create := range creations {
		t.Run(name, func(t *testing.T) {
			for round := range 10 {
				org := organisation(t, s)
				var calls sync.WaitGroup
				for n := range 4 {
					calls.Go(func() {
						if err := create(org, 10*round+n); err != nil {
							assert.ErrorIs(t, err, store.ErrUnknownOrganisation)
						}
					})
				}
				calls.Go(func() { assert.NoError(t, s.DeleteOrganisation(ctx, org)) })
				calls.Wait()
			}
		})
	}
	storetest.Exec(t, conn, `DELETE FROM org_key_sync`)
	require.NotContains(t, storetest.Dump(t, conn), "(")
}

func TestErrorsNameTheOperationAndTheConstraintAndNoValue(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	org := organisation(t, s)
	params := store.UserParams{OrgID: &org, EmailAddress: "secret@example.org"}
	first, err := s.CreateUser(t.Context(), params)
	require.NoError(t, err)
	_, err = s.CreateUser(t.Context(), params)
	require.EqualError(t, err, "store: create user: already taken (constraint users_email_key): "+
		"email_address belongs to user "+first.ID)
	_, err = s.User(t.Context(), "secret\x00")
	require.EqualError(t, err, "store: get user: not a value that can be stored (SQLSTATE 22021)")
	_, err = s.User(t.Context(), "secret")
	require.EqualError(t, err, "store: get user: not found")
	for _, err := range s.Users(t.Context(), store.UserFilter{Email: "secret\x00"}) {
		require.EqualError(t, err, "store: list users: not a value that can be stored (SQLSTATE 22021)")
	}
}

// TestBootstrapOnce has several servers bootstrap a database at the same time.
func TestBootstrapOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	const calls = 8
	errs := make([]error, calls)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			user := store.UserParams{EmailAddress: "first@example.org", Active: true, AccessKey: strconv.Itoa(i)}
			_, errs[i] = s.Bootstrap(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)}, user)
		})
	}
	running.Wait()
	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
			continue
		}
		require.ErrorIs(t, err, store.ErrConflict)
	}
	require.Equal(t, 1, stored)
	n, err := s.CountOrganisations(t.Context(), store.OrganisationFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// commitTracer calls the function that a context has as its value of commitTracer{} before each COMMIT.
type commitTracer struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (commitTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if before, ok := ctx.Value(commitTracer{}).(func()); ok && strings.EqualFold(data.SQL, "COMMIT") {
		before()
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (commitTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestPoliciesShareNoID: while a transaction stores a policy, one of another organisation stores a policy that gateways
// may know by the same ID. The second gets ErrConflict.
func TestPoliciesShareNoID(t *testing.T) {
	t.Parallel()
	const id, otherID = "5fd08ed769710900018bc196", "5fd08ed769710900018bc197"
	policy := func(org, id, explicitID string) store.PolicyParams {
		return store.PolicyParams{
			Policy:    store.Policy{ID: id, ExplicitID: explicitID, OrgID: org, Document: json.RawMessage(`{}`)},
			CheckedBy: "check",
		}
	}
	for name, is := range map[string]struct {
		before bool // the second policy is stored before, with another ID
		store  func(ctx context.Context, s *store.Store, org string) error
	}{
		"a new policy": {false, func(ctx context.Context, s *store.Store, org string) error {
			return s.CreatePolicy(ctx, policy(org, otherID, id))
		}},
		"a policy that changes": {true, func(ctx context.Context, s *store.Store, org string) error {
			return s.EditPolicy(ctx, store.Ref{ID: otherID}, func(store.Policy) (store.PolicyParams, error) {
				return policy(org, otherID, id), nil
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, conn := t.Context(), storetest.Database(t)
			second := storetest.Open(t, conn)
			t.Cleanup(second.Close)
			org, other := organisation(t, second), organisation(t, second)
			if is.before {
				require.NoError(t, second.CreatePolicy(ctx, policy(other, otherID, "free")))
			}
			conflict := make(chan error, 1)
			first, err := store.Open(ctx, store.WithTracer(config(conn), commitTracer{}))
			require.NoError(t, err)
			t.Cleanup(first.Close)
			storing := context.WithValue(ctx, commitTracer{}, func() {
				go func() { conflict <- is.store(ctx, second, other) }()
				require.Eventually(t, func() bool {
					return len(conflict) > 0 || storetest.WaitsForLock(t, conn)
				}, failoverBound, time.Millisecond)
			})
			require.NoError(t, first.CreatePolicy(storing, policy(org, id, "explicit")))
			require.ErrorIs(t, <-conflict, store.ErrConflict)
		})
	}
}

// TestUserIsDeletedMeanwhile: a change of a user whom somebody else is deleting finds no user.
func TestUserIsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(ctx context.Context, s *store.Store, id string) error{
		"deletion": func(ctx context.Context, s *store.Store, id string) error {
			return s.DeleteUserAs(ctx, id, store.User{})
		},
		"new access key": func(ctx context.Context, s *store.Store, id string) error {
			return s.RenewAccessKey(ctx, id, store.User{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, conn := t.Context(), storetest.Database(t)
			s := storetest.Open(t, conn)
			t.Cleanup(s.Close)
			org := organisation(t, s)
			user, err := s.CreateUser(ctx, store.UserParams{OrgID: &org, EmailAddress: "kofi@rivermouth.example"})
			require.NoError(t, err)
			deletion, err := connect(t, conn).Begin(ctx)
			require.NoError(t, err)
			_, err = deletion.Exec(ctx, `DELETE FROM users WHERE id = $1`, user.ID)
			require.NoError(t, err)
			changed := make(chan error, 1)
			go func() { changed <- change(ctx, s, user.ID) }()
			require.Eventually(t, func() bool {
				return storetest.WaitsForLock(t, conn)
			}, failoverBound, time.Millisecond)
			require.NoError(t, deletion.Commit(ctx))
			require.ErrorIs(t, <-changed, store.ErrNotFound)
		})
	}
}

// TestAPIsOfOthersAtOnce: of two APIs of different organisations that may not be there together, and are stored at
// once, the second is refused.
func TestAPIsOfOthersAtOnce(t *testing.T) {
	t.Parallel()
	api := func(org, apiID string) store.API {
		return store.API{APIID: apiID, ID: "id of " + apiID, OrgID: org, Document: json.RawMessage(`{}`)}
	}
	calling := func(org, apiID, target string) store.API {
		calls := api(org, apiID)
		calls.Calls = []string{target}
		return calls
	}
	serving := func(org, apiID string) store.API {
		served := api(org, apiID)
		served.Active, served.Search = true, json.RawMessage(`{"route":"/shop"}`)
		served.Serving = &store.Serving{Routes: []string{"/shop"}, Domains: []string{""}}
		return served
	}
	for name, is := range map[string]struct {
		first, second func(org string) store.API
		refused       error
	}{
		"a call, and what it calls": {
			func(org string) store.API { return calling(org, "caller", "target") },
			func(org string) store.API { return api(org, "target") }, store.ErrConflict,
		},
		"an API, and a call of it": {
			func(org string) store.API { return api(org, "target") },
			func(org string) store.API { return calling(org, "caller", "target") }, store.ErrForeign,
		},
		"a listen path": {
			func(org string) store.API { return serving(org, "one") },
			func(org string) store.API { return serving(org, "two") }, store.ErrServed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, conn := t.Context(), storetest.Database(t)
			second := storetest.Open(t, conn)
			t.Cleanup(second.Close)
			org, other := organisation(t, second), organisation(t, second)
			refused := make(chan error, 1)
			first, err := store.Open(ctx, store.WithTracer(config(conn), commitTracer{}))
			require.NoError(t, err)
			t.Cleanup(first.Close)
			storing := context.WithValue(ctx, commitTracer{}, func() {
				go func() { refused <- second.CreateAPI(ctx, "check", is.second(other)) }()
				require.Eventually(t, func() bool {
					return len(refused) > 0 || storetest.WaitsForLock(t, conn)
				}, failoverBound, time.Millisecond)
			})
			require.NoError(t, first.CreateAPI(storing, "check", is.first(org)))
			require.ErrorIs(t, <-refused, is.refused)
		})
	}
}
