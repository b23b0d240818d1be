package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// The functions below return the errors that storing a document would have now, and store nothing: they only read, so
// that a check while somebody types holds no lock.

// CheckAPI returns the error that CreateAPI would return for the API that build returns, or EditAPI if there is one
// that ref refers to: build gets that one, else nil. Another request may be first to store an API that is in the way.
// ErrQuota is not returned; CheckQuota returns it.
func (s *Store) CheckAPI(ctx context.Context, ref Ref, build func(stored *API) (API, error)) (err error) {
	defer wrap("check API", &err)
	var stored *API
	if ref.ID != "" {
		where, args := apiByID(ref).sql()
		if stored, err = queryMaybe[API](ctx, s.pool, `SELECT `+apiColumns+` FROM apis`+where, args); err != nil {
			return err
		}
	}
	api, err := build(stored)
	if err != nil {
		return err
	}
	if stored != nil {
		api.ID, api.OrgID = stored.ID, stored.OrgID
	}
	if stored == nil || api.APIID != stored.APIID {
		if err := s.checkNewAPI(ctx, api); err != nil {
			return err
		}
	}
	return api.checkOthers(ctx, s.pool)
}

// checkNewAPI returns the error for an API that has a new APIID.
func (s *Store) checkNewAPI(ctx context.Context, api API) error {
	at, err := queryRow[struct{ Taken, Organisation bool }](ctx, s.pool, `
		SELECT EXISTS (SELECT FROM apis WHERE api_id = $1) AS taken,
			EXISTS (SELECT FROM organisations WHERE id = $2) AS organisation`, api.APIID, api.OrgID)
	switch {
	case err != nil:
		return err
	case !at.Organisation:
		return ErrUnknownOrganisation
	case at.Taken:
		return ErrConflict
	}
	return checkReleased(ctx, s.pool, api)
}

// CheckPolicy does for CreatePolicy and EditPolicy what CheckAPI does for APIs.
func (s *Store) CheckPolicy(
	ctx context.Context, ref Ref, build func(stored *Policy) (PolicyParams, error),
) (err error) {
	defer wrap("check policy", &err)
	var stored *Policy
	if ref.ID != "" {
		where, args := policyByID(ref).sql()
		stored, err = queryMaybe[Policy](ctx, s.pool, `SELECT `+policyColumns+` FROM policies`+where, args)
		if err != nil {
			return err
		}
	}
	policy, err := build(stored)
	if err != nil {
		return err
	}
	if stored != nil {
		policy.ID, policy.OrgID = stored.ID, stored.OrgID
	}
	if stored == nil || policy.policyID() != stored.policyID() {
		if err := s.checkNewPolicy(ctx, policy.Policy); err != nil {
			return err
		}
	}
	return policy.checkAPIs(ctx, s.pool)
}

// checkNewPolicy returns the error for a policy that has new IDs.
func (s *Store) checkNewPolicy(ctx context.Context, policy Policy) error {
	ids := []string{policy.ID, policy.policyID()}
	at, err := queryRow[struct{ Foreign, Taken, Organisation bool }](ctx, s.pool, `
		SELECT (`+foreignPolicy+`) AS foreign,
			EXISTS (SELECT FROM policies WHERE policy_id = $3 AND id <> $4) AS taken,
			EXISTS (SELECT FROM organisations WHERE id = $2) AS organisation`,
		ids, policy.OrgID, policy.policyID(), policy.ID)
	switch {
	case err != nil:
		return err
	case !at.Organisation:
		return ErrUnknownOrganisation
	case at.Taken, at.Foreign:
		return ErrConflict
	}
	return nil
}

// Tables whose documents a quota limits.
const (
	TableAPIs     = "apis"
	TablePolicies = "policies"
)

// CheckQuota returns ErrQuota if an organisation may not store so much more in a table.
func (s *Store) CheckQuota(ctx context.Context, table, orgID string, more Quota) (err error) {
	defer wrap("check quota", &err)
	return s.quota.checkMore(ctx, s.pool, table, organisationUse{orgID, more})
}

// queryMaybe returns the row of a query, or nil if there is none.
func queryMaybe[T any](ctx context.Context, db querier, sql string, args ...any) (*T, error) {
	row, err := queryRow[T](ctx, db, sql, args...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &row, err
}
