package store

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
)

// Policy is a policy and what it is searched by.
type Policy struct {
	// ID is the `_id`: 24 hexadecimal digits.
	ID string
	// ExplicitID is the `id`. Gateways know the policy by it, or by ID if it is empty.
	ExplicitID string
	OrgID      string
	Document   json.RawMessage
}

// NewPolicyID returns the `_id` of a policy that has none. It is derived from the explicit ID, so that importing the
// same document again finds the same policy. Without an explicit ID it is new.
func (s *Store) NewPolicyID(explicitID string) string {
	if explicitID == "" {
		return s.ids.Object()
	}
	return derive("_id", explicitID)[:24]
}

// ImportPolicies stores policies as ImportAPIs stores APIs. It returns the policies that it has refused by ID, and why.
// The IDs must differ.
func (s *Store) ImportPolicies(
	ctx context.Context, checkedBy string, policies iter.Seq2[Policy, error],
) (refused map[string]Refusal, err error) {
	defer wrap("import policies", &err)
	i := importer{policyTable(), checkedBy}
	return importAll(ctx, s.pool, i, documents(policies, func(p Policy) document {
		return document{id: p.ID, otherID: cmp.Or(p.ExplicitID, p.ID), orgID: p.OrgID, text: p.Document}
	}))
}

func policyTable() importTable {
	return importTable{
		name:    "policies",
		columns: []string{"id", "policy_id", "org_id", "document", "loadable", "checked_by", "digest"},
		compare: `
			WITH input AS (
				SELECT id, policy_id, org_id, digest, n
				FROM unnest(@ids::text[], @other_ids::text[], @org_ids::text[], @digests::bytea[]) WITH ORDINALITY
					AS input (id, policy_id, org_id, digest, n)
			), organisation AS (` + lockOrganisations + `)
			SELECT stored.id IS NOT NULL AS exists,
				coalesce(stored.digest = input.digest AND stored.checked_by = @checked_by, false) AS unchanged,
				coalesce(CASE
					WHEN organisation.id IS NULL THEN @unknown_organisation
					WHEN stored.org_id <> input.org_id THEN @other_owner
					WHEN EXISTS (
						SELECT FROM policies AS other WHERE other.policy_id = input.policy_id AND other.id <> input.id
					) THEN @id_taken
				END, '') AS refusal
			FROM input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN LATERAL (
				SELECT id, org_id, digest, checked_by FROM policies WHERE policies.id = input.id LIMIT 1
			) AS stored ON true
			ORDER BY n`,
		replace: `
			UPDATE policies SET policy_id = input.policy_id, document = input.document::json, loadable = true,
				checked_by = @checked_by, digest = input.digest
			FROM unnest(@ids::text[], @other_ids::text[], @documents::text[], @digests::bytea[])
				AS input (id, policy_id, document, digest)
			WHERE policies.id = input.id AND policies.id = ANY (@ids)`,
	}
}

// Policies lists policies, oldest first.
func (s *Store) Policies(ctx context.Context, f Filter) iter.Seq2[Row, error] {
	where, args := f.where()
	return streamRows(ctx, s.pool, query{
		"list policies",
		`SELECT id, document FROM policies` + where + ` ORDER BY position LIMIT @limit OFFSET @offset`,
		f.Page.bounds(args),
	})
}

// CountPolicies counts the policies of all pages.
func (s *Store) CountPolicies(ctx context.Context, f Filter) (n int, err error) {
	defer wrap("count policies", &err)
	where, args := f.where()
	return queryValue[int](ctx, s.pool, `SELECT count(*) FROM policies`+where, args)
}

// Policy returns the policy that has the ID as its `_id` or, if there is none, as its explicit ID. If orgID is not nil,
// the policy must be one of that organisation. Otherwise, and if there is no such policy, Policy returns ErrNotFound.
func (s *Store) Policy(ctx context.Context, id string, orgID *string) (row Row, err error) {
	defer wrap("get policy", &err)
	and, args := ofOrganisation(orgID)
	args["id"] = id
	return queryRow[Row](ctx, s.pool, `
		SELECT id, document FROM policies WHERE (id = @id OR policy_id = @id)`+and+`
		ORDER BY id = @id DESC LIMIT 1`, args)
}

// DeletePolicy deletes the policy that has the ID as its `_id` or, if there is none, as its explicit ID. It returns
// ErrNotFound if there is no such policy.
func (s *Store) DeletePolicy(ctx context.Context, id string) (err error) {
	defer wrap("delete policy", &err)
	return execRow(ctx, s.pool, `DELETE FROM policies WHERE id =
		(SELECT id FROM policies WHERE id = $1 OR policy_id = $1 ORDER BY id = $1 DESC LIMIT 1)`, id)
}
