package store_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"

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
	var ids []string
	for i := range 8 {
		u, err := s.CreateUser(ctx, user(org, strconv.Itoa(i)))
		require.NoError(t, err)
		ids = append(ids, u.ID)
	}
	api := func(apiID, id, org string) func(yield func(store.API, error) bool) {
		return func(yield func(store.API, error) bool) {
			yield(store.API{APIID: apiID, ID: id, OrgID: org, Document: document}, nil)
		}
	}
	refusedIs := func(refused map[string]store.Refusal, err error, want store.Refusal) error {
		for _, refusal := range refused {
			assert.Equal(t, want, refusal)
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
			_, err := s.UpdateUser(ctx, ids[n], store.UserParams{
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
	_, err := s.CreateUser(t.Context(), params)
	require.NoError(t, err)
	_, err = s.CreateUser(t.Context(), params)
	require.EqualError(t, err, "store: create user: already taken (constraint users_email_key)")
	_, err = s.User(t.Context(), "secret\x00")
	require.EqualError(t, err, "store: get user: not a value that can be stored (SQLSTATE 22021)")
	_, err = s.User(t.Context(), "secret")
	require.EqualError(t, err, "store: get user: not found")
	for _, err := range s.Users(t.Context(), store.UserFilter{Email: "secret\x00"}) {
		require.EqualError(t, err, "store: list users: not a value that can be stored (SQLSTATE 22021)")
	}
}
