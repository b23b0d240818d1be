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
	return importAll(ctx, s, policyStaging, checkedBy, policies, func(p Policy, row []any) []any {
		effective := p.ExplicitID
		if effective == "" {
			effective = p.ID
		}
		return append(row, p.ID, effective, p.OrgID, []byte(p.Document))
	})
}

var policyStaging = staging{
	table:   "import_policies",
	columns: []string{"id", "policy_id", "org_id", "document"},
	create: `CREATE TEMPORARY TABLE import_policies (
		position bigint DEFAULT nextval('policies_position_seq'),
		id text, policy_id text, org_id text, document json) ON COMMIT DELETE ROWS`,
	merge: `
		WITH organisation AS (
			SELECT id FROM organisations WHERE id IN (SELECT org_id FROM import_policies) ORDER BY id FOR KEY SHARE
		), verdict AS (
			SELECT input.position, input.id, CASE
				WHEN organisation.id IS NULL THEN @organisation
				WHEN present.org_id <> input.org_id THEN @owner
				WHEN taken.id <> input.id THEN @id
				WHEN row_number() OVER (PARTITION BY input.policy_id ORDER BY input.position) > 1 THEN @id
			END AS refusal
			FROM import_policies AS input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN policies AS present ON present.id = input.id
			LEFT JOIN policies AS taken ON taken.policy_id = input.policy_id
		), imported AS (
			INSERT INTO policies (position, id, policy_id, org_id, document, loadable, checked_by) OVERRIDING SYSTEM VALUE
			SELECT input.position, input.id, input.policy_id, input.org_id, input.document, true, @checked_by
			FROM import_policies AS input JOIN verdict USING (position) WHERE verdict.refusal IS NULL
			ON CONFLICT (id) DO UPDATE SET policy_id = excluded.policy_id, document = excluded.document,
				loadable = excluded.loadable, checked_by = excluded.checked_by
				WHERE policies.org_id = excluded.org_id
			RETURNING id
		)
		SELECT id, coalesce(refusal, @owner) -- what raced to the same id is its owner now
		FROM verdict LEFT JOIN imported USING (id) WHERE imported.id IS NULL`,
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
