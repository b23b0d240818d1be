package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Policy is a policy as it is stored.
type Policy struct {
	// ID is `_id`, 24 hexadecimal digits.
	ID string
	// ExplicitID is `id`: if it is not empty, gateways know the policy by it and not by ID.
	ExplicitID string
	OrgID      string
	Document   json.RawMessage
}

// NewPolicyID makes the `_id` of a policy that has none. It follows from the explicit id, so that importing the same
// document again finds the same policy; without one it is new.
func (s *Store) NewPolicyID(explicitID string) string {
	if explicitID == "" {
		return s.ids.Object()
	}
	return derive("_id", explicitID)[:24]
}

// ImportPolicies makes the policies be as they say, as ImportAPIs does APIs; it returns those it refused by ID. The IDs
// must differ.
func (s *Store) ImportPolicies(ctx context.Context, checkedBy string, policies iter.Seq2[Policy, error]) (map[string]Refusal, error) {
	return importAll(ctx, s, policyImport, checkedBy, policies, func(b *batch, p Policy) {
		effective := p.ExplicitID
		if effective == "" {
			effective = p.ID
		}
		b.add(document{id: p.ID, other: effective, orgID: p.OrgID, text: p.Document})
	})
}

var policyImport = importing{
	table: "policies", columns: []string{"id", "policy_id", "org_id", "document", "loadable", "checked_by", "digest"},
	judge: `
		WITH input AS (
			SELECT * FROM unnest(@ids::text[], @others::text[], @org_ids::text[], @digests::bytea[]) WITH ORDINALITY
				AS input (id, policy_id, org_id, digest, n)
		), organisation AS (
			SELECT id FROM organisations WHERE id IN (SELECT org_id FROM input) ORDER BY id FOR KEY SHARE
		)
		SELECT present.id IS NOT NULL, coalesce(present.digest = input.digest AND present.checked_by = @checked_by, false),
			coalesce(CASE
			WHEN organisation.id IS NULL THEN @organisation
			WHEN present.org_id <> input.org_id THEN @owner
			WHEN EXISTS (SELECT FROM policies AS p WHERE p.policy_id = input.policy_id AND p.id <> input.id) THEN @id
		END, '')
		FROM input
		LEFT JOIN organisation ON organisation.id = input.org_id
		LEFT JOIN LATERAL (SELECT * FROM policies WHERE policies.id = input.id LIMIT 1) AS present ON true
		ORDER BY n`,
	replace: `
		UPDATE policies SET policy_id = input.policy_id, document = input.document::json, loadable = true,
			checked_by = @checked_by, digest = input.digest
		FROM unnest(@ids::text[], @others::text[], @documents::text[], @digests::bytea[]) AS input (id, policy_id, document, digest)
		WHERE policies.id = input.id AND policies.id = ANY (@ids)`,
}

// Policies lists policies, oldest first.
func (s *Store) Policies(ctx context.Context, f Filter) iter.Seq2[Row, error] {
	limit, offset := f.Page.limit()
	return s.rows(ctx, `SELECT id, document FROM policies`+whereOrganisation+` ORDER BY position LIMIT @limit OFFSET @offset`,
		pgx.StrictNamedArgs{"org_id": f.OrgID, "limit": limit, "offset": offset})
}

// CountPolicies counts the policies that the filter lets through on all pages.
func (s *Store) CountPolicies(ctx context.Context, f Filter) (int, error) {
	return s.count(ctx, `SELECT count(*) FROM policies`+whereOrganisation, pgx.StrictNamedArgs{"org_id": f.OrgID})
}

// Policy returns one policy by `_id` or by its explicit id, of one organisation if orgID is not nil. ErrNotFound.
func (s *Store) Policy(ctx context.Context, id string, orgID *string) (Row, error) {
	return one[Row](ctx, s, `SELECT id, document FROM policies
		WHERE (id = @id OR policy_id = @id) AND (@org_id::text IS NULL OR org_id = @org_id)
		ORDER BY id = @id DESC LIMIT 1`, pgx.StrictNamedArgs{"id": id, "org_id": orgID})
}

// DeletePolicy deletes a policy by `_id` or by its explicit id. ErrNotFound.
func (s *Store) DeletePolicy(ctx context.Context, id string) error {
	return s.exec(ctx, `DELETE FROM policies WHERE id =
		(SELECT id FROM policies WHERE id = @id OR policy_id = @id ORDER BY id = @id DESC LIMIT 1)`,
		pgx.StrictNamedArgs{"id": id})
}
