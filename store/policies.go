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

// ImportPolicies makes the policies be as they say, all in one transaction, and returns those it refused, by ID: a known
// id must belong to the same organisation. The IDs must differ. The check called checkedBy has found that a gateway can
// decode the documents.
func (s *Store) ImportPolicies(ctx context.Context, policies []Policy, checkedBy string) (map[string]Refusal, error) {
	refused := map[string]Refusal{}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		clear(refused) // of a try that lost a deadlock
		if err := writeChecked(ctx, tx); err != nil {
			return err
		}
		for start := 0; start < len(policies); start += importBatch {
			if err := importPolicies(ctx, tx, policies[start:min(start+importBatch, len(policies))], checkedBy, refused); err != nil {
				return err
			}
		}
		return nil
	})
	return refused, err
}

func importPolicies(ctx context.Context, tx pgx.Tx, policies []Policy, checkedBy string, refused map[string]Refusal) error {
	var ids, policyIDs, orgIDs, documents []string
	for _, p := range policies {
		effective := p.ExplicitID
		if effective == "" {
			effective = p.ID
		}
		ids, policyIDs = append(ids, p.ID), append(policyIDs, effective)
		orgIDs, documents = append(orgIDs, p.OrgID), append(documents, string(p.Document))
	}
	rows, _ := tx.Query(ctx, `
		WITH input AS (
			SELECT * FROM unnest(@ids::text[], @policy_ids::text[], @org_ids::text[], @documents::text[])
				WITH ORDINALITY AS input (id, policy_id, org_id, document, n)
		), organisation AS (
			SELECT id FROM organisations WHERE id IN (SELECT org_id FROM input) ORDER BY id FOR KEY SHARE
		), verdict AS (
			SELECT input.*, CASE
				WHEN organisation.id IS NULL THEN @organisation
				WHEN present.org_id <> input.org_id THEN @owner
				WHEN EXISTS (SELECT FROM policies AS p WHERE p.policy_id = input.policy_id AND p.id <> input.id) THEN @id
				WHEN EXISTS (SELECT FROM input AS other WHERE other.policy_id = input.policy_id AND other.n < input.n) THEN @id
			END AS refusal
			FROM input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN policies AS present ON present.id = input.id
		), imported AS (
			INSERT INTO policies (id, policy_id, org_id, document, loadable, checked_by)
			SELECT id, policy_id, org_id, document::json, true, @checked_by FROM verdict WHERE refusal IS NULL ORDER BY n
			ON CONFLICT (id) DO UPDATE SET policy_id = excluded.policy_id, document = excluded.document,
				loadable = excluded.loadable, checked_by = excluded.checked_by
				WHERE policies.org_id = excluded.org_id
			RETURNING id
		)
		SELECT id, coalesce(refusal, @owner) -- what raced to the same id is its owner now
		FROM verdict LEFT JOIN imported USING (id) WHERE imported.id IS NULL`,
		pgx.StrictNamedArgs{
			"ids": ids, "policy_ids": policyIDs, "org_ids": orgIDs, "documents": documents, "checked_by": checkedBy,
			"organisation": RefusedOrganisation, "owner": RefusedOwner, "id": RefusedID,
		})
	return collectRefusals(rows, refused)
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
