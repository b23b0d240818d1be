package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Policy is a policy and what it is searched by.
type Policy struct {
	// ID is the `_id`: 24 hexadecimal digits.
	ID string
	// ExplicitID is the `id`. Gateways know the policy by it, or by ID if it is empty.
	ExplicitID string
	OrgID      string
	Active     bool
	Document   json.RawMessage
	// Served is what gateways are given in place of Document; nil if that is Document.
	Served json.RawMessage `json:"Served,omitempty"`
}

// NewPolicyID returns the `_id` of a new policy.
func (s *Store) NewPolicyID() string { return s.ids.Object() }

// ImportedPolicyID returns the `_id` of a policy that is imported without one. It is derived from the explicit ID, so
// that importing the same document again finds the same policy. Without an explicit ID it is new. So it is where a user
// of another organisation has, or had, a policy with the derived ID, which everybody can derive: that policy is in the
// way, and gateways may have keys of it.
func (s *Store) ImportedPolicyID(ctx context.Context, orgID, explicitID string) (id string, err error) {
	defer wrap("find ID of policy", &err)
	if explicitID == "" {
		return s.ids.Object(), nil
	}
	derived := derive("_id", explicitID)[:24]
	foreign, err := queryValue[bool](ctx, s.pool, foreignPolicy, []string{derived}, orgID)
	if err != nil || !foreign {
		return derived, err
	}
	id, err = queryValue[string](ctx, s.pool,
		`SELECT id FROM policies WHERE policy_id = $1 AND org_id = $2`, explicitID, orgID)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.ids.Object(), nil
	}
	return id, err
}

// policyID returns the ID that gateways know the policy by.
func (p Policy) policyID() string { return cmp.Or(p.ExplicitID, p.ID) }

// ImportPolicies stores policies as ImportAPIs stores APIs. It returns the policies that it has refused by ID, and why.
// The IDs must differ.
func (s *Store) ImportPolicies(
	ctx context.Context, checkedBy string, policies iter.Seq2[Policy, error],
) (refused map[string]Refusal, err error) {
	defer wrap("import policies", &err)
	i := importer{policyTable(), checkedBy, s.policyImports}
	return importAll(ctx, s.pool, i, documents(policies, func(p Policy) document {
		return document{
			id: p.ID, otherID: p.policyID(), orgID: p.OrgID, active: p.Active, text: p.Document, derived: p.Served,
		}
	}))
}

func policyTable() importTable {
	return importTable{
		name:    "policies",
		columns: []string{"id", "policy_id", "org_id", "document", "checked", "active", "served", "size"},
		compare: `
			WITH input AS (
				SELECT id, policy_id, org_id, checked, n
				FROM unnest(@ids::text[], @other_ids::text[], @org_ids::text[], @checked::text[]) WITH ORDINALITY
					AS input (id, policy_id, org_id, checked, n)
			), organisation AS (` + lockOrganisations + `), ids (lower) AS (
				SELECT array_agg(lower(id)) FROM unnest(@ids::text[] || @other_ids::text[]) AS id
			), other (id, org_id) AS MATERIALIZED (
				SELECT id, org_id FROM policies WHERE id = ANY ((SELECT lower FROM ids)::text[])
				UNION SELECT lower(policy_id), org_id FROM policies WHERE lower(policy_id) = ANY ((SELECT lower FROM ids)::text[])
			)
			SELECT stored.id IS NOT NULL AS exists,
				coalesce(stored.checked = input.checked, false) AS unchanged,
				coalesce(CASE
					WHEN organisation.id IS NULL THEN @unknown_organisation
					WHEN stored.org_id <> input.org_id THEN @other_owner || ' (' || stored.org_id || ')'
					WHEN stored.policy_id = input.policy_id THEN NULL
					WHEN other.org_id IS NOT NULL THEN @other_owner || ' (' || other.org_id || ')'
					ELSE @id_taken || ' (' || (
						SELECT other.id FROM policies AS other WHERE other.policy_id = input.policy_id AND other.id <> input.id
					) || ')'
				END, '') AS refusal
			FROM input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN LATERAL (
				SELECT id, policy_id, org_id, checked FROM policies WHERE policies.id = input.id LIMIT 1
			) AS stored ON true
			LEFT JOIN LATERAL (
				SELECT org_id FROM other
				WHERE other.id IN (lower(input.id), lower(input.policy_id)) AND other.org_id <> input.org_id
				LIMIT 1
			) AS other ON true
			ORDER BY n`,
		replace: `
			WITH before AS (
				SELECT id, policy_id FROM policies WHERE id = ANY (@ids) ORDER BY id FOR UPDATE
			), replaced AS (
				UPDATE policies SET policy_id = input.policy_id, document = input.document::json,
					checked = input.checked, active = input.active, served = input.served::json,
					size = octet_length(input.document)
				FROM unnest(@ids::text[], @other_ids::text[], @active::boolean[], @documents::text[], @checked::text[],
					@derived::text[]) AS input (id, policy_id, active, document, checked, served), before
				WHERE policies.id = input.id AND before.id = input.id AND policies.id = ANY (@ids)
				RETURNING policies.id, before.policy_id, policies.org_id, policies.policy_id AS other_id
			), released AS (
				SELECT id, policy_id, org_id FROM replaced WHERE policy_id <> other_id
			)` + releasePolicies,
	}
}

// PolicyFilter selects policies of a list. A field that is zero selects all.
type PolicyFilter struct {
	// OrgID selects those of one organisation.
	OrgID *string
	// Active selects those that are active, or those that are not.
	Active *bool
	// Text selects those that have it in their name, whatever the case, and the one with this `_id` or explicit ID; ""
	// selects all.
	Text string
	Page Page
}

// where returns the conditions of the filter, as APIFilter.where does.
func (f PolicyFilter) where() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(f.OrgID)
	if f.Active != nil {
		// Another program does not write the column.
		where = append(where, `coalesce(active, policy_active(document)) = @active`)
		args["active"] = *f.Active
	}
	if f.Text != "" {
		where = append(where,
			`(strpos(lower(policy_name(document)), lower(@text)) > 0 OR id = lower(@text) OR policy_id = @text)`)
		args["text"] = f.Text
	}
	return where, args
}

// Policies lists policies, oldest first.
func (s *Store) Policies(ctx context.Context, f PolicyFilter) iter.Seq2[Row, error] {
	where, args := f.where()
	return listQuery[Row]{
		operation: "list policies", columns: `id, document`, table: `policies`,
		where: where, args: args, page: f.Page, scan: scanRow,
	}.rows(ctx, s.pool)
}

// CountPolicies counts the policies of all pages.
func (s *Store) CountPolicies(ctx context.Context, f PolicyFilter) (n int, err error) {
	defer wrap("count policies", &err)
	where, args := f.where()
	return countRows(ctx, s.pool, `policies`+where.sql(), args)
}

// Policy returns a policy, or ErrNotFound.
func (s *Store) Policy(ctx context.Context, ref Ref) (row Row, err error) {
	defer wrap("get policy", &err)
	return getDocument(ctx, s.pool, `SELECT id, document FROM policies`, policyByID(ref))
}

// PolicyParams is a policy to store.
type PolicyParams struct {
	Policy
	// CheckedBy is the name of the check that has found that gateways can decode the policy.
	CheckedBy string
	// APIIDs are the APIs that the policy grants access to. None may belong to another organisation.
	APIIDs []string
}

// CreatePolicy stores a policy. It returns ErrConflict if another policy has one of its IDs, or one of another
// organisation has it, or had it last, as either of its own; ErrForeign if it grants access to an API of another
// organisation, ErrQuota, and ErrUnknownOrganisation.
func (s *Store) CreatePolicy(ctx context.Context, p PolicyParams) (err error) {
	defer wrap("create policy", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		if err := p.checkAPIs(ctx, tx); err != nil {
			return err
		}
		sql, args := p.columns().insert("policies")
		if err := execRow(ctx, tx, sql, args...); err != nil {
			return err
		}
		if err := s.quota.check(ctx, tx, "policies", p.OrgID); err != nil {
			return err
		}
		return checkForeignPolicy(ctx, tx, p.Policy)
	})
}

// checkForeignPolicy returns ErrConflict if gateways may know a policy of another organisation by an ID of this one: by
// its explicit ID, or by its _id, which they use unless they are configured to use explicit IDs. Gateways may also have
// keys of a policy of another organisation that had one of the IDs last. IDs that differ in case only are the same.
// The check runs after the policy was written, as checkReleased does for APIs, and locks the IDs until the end of the
// transaction: no unique index holds an ID that is in another column of another row. A transaction that has such a lock
// waits for no rows any more, and the locks are acquired in order, so that there is no deadlock.
func checkForeignPolicy(ctx context.Context, tx pgx.Tx, p Policy) error {
	ids := []string{p.ID, p.policyID()}
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(lock) FROM (
		SELECT DISTINCT hashtextextended(lower(id), 1) AS lock FROM unnest($1::text[]) AS id ORDER BY lock) AS locks`, ids)
	if err != nil {
		return err
	}
	foreign, err := queryValue[bool](ctx, tx, foreignPolicy, ids, p.OrgID)
	if err == nil && foreign {
		err = ErrConflict
	}
	return err
}

// foreignPolicy selects whether another organisation than $2 has, or had last, a policy with one of the IDs $1.
const foreignPolicy = `
	WITH wanted (ids) AS (SELECT array_agg(lower(id)) FROM unnest($1::text[]) AS id)
	SELECT EXISTS (SELECT FROM released_policies WHERE policy_id = ANY ((SELECT ids FROM wanted)::text[]) AND org_id <> $2)
		OR EXISTS (SELECT FROM policies WHERE id = ANY ((SELECT ids FROM wanted)::text[]) AND org_id <> $2)
		OR EXISTS (SELECT FROM policies WHERE lower(policy_id) = ANY ((SELECT ids FROM wanted)::text[]) AND org_id <> $2)`

// releasePolicies is the end of a statement that records the IDs and organisations of released policies.
const releasePolicies = ` INSERT INTO released_policies (policy_id, org_id)
	SELECT DISTINCT ON (known) known, org_id FROM released, unnest(ARRAY[lower(id), lower(policy_id)]) AS known
	ORDER BY known
	ON CONFLICT (policy_id) DO UPDATE SET org_id = excluded.org_id`

// checkAPIs returns ErrForeign if the policy grants access to an API of another organisation. Otherwise its keys, which
// belong to this one, would open the API.
func (p PolicyParams) checkAPIs(ctx context.Context, db querier) error {
	foreign, err := queryValue[bool](ctx, db,
		`SELECT EXISTS (SELECT FROM apis WHERE api_id = ANY ($1) AND org_id <> $2)`, distinct(p.APIIDs), p.OrgID)
	if err == nil && foreign {
		err = ErrForeign
	}
	return err
}

// policyColumns are read into a Policy.
const policyColumns = `id, policy_id AS explicit_id, org_id, coalesce(active, true) AS active, document, served`

// EditPolicy replaces a policy, as EditAPI replaces an API. Its ID and its organisation stay. It returns ErrForeign
// and ErrQuota as CreatePolicy does.
func (s *Store) EditPolicy(ctx context.Context, ref Ref, edit func(Policy) (PolicyParams, error)) (err error) {
	defer wrap("edit policy", &err)
	var before, after Policy
	ctx = mayTakeLong(ctx) // it may wait for an import
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		err := editDocumentIn(ctx, tx, documentEdit[Policy]{
			columns: policyColumns, table: "policies", where: policyByID(ref),
			edit: func(tx pgx.Tx, stored Policy) (columns, error) {
				p, err := edit(stored)
				if err != nil {
					return nil, err
				}
				p.ID, p.OrgID = stored.ID, stored.OrgID
				before, after = stored, p.Policy
				return p.columns(), p.checkAPIs(ctx, tx)
			},
			id: func(stored Policy) string { return stored.ID },
		})
		if err == nil && len(after.Document) > len(before.Document) {
			err = s.quota.check(ctx, tx, "policies", before.OrgID)
		}
		if err != nil || after.policyID() == before.policyID() {
			return err
		}
		sql := `WITH released (id, policy_id, org_id) AS (VALUES ($1, $2, $3))` + releasePolicies
		if _, err := tx.Exec(ctx, sql, before.ID, before.policyID(), before.OrgID); err != nil {
			return err
		}
		return checkForeignPolicy(ctx, tx, after)
	})
}

func (p PolicyParams) columns() columns {
	return append(columns{
		{"id", p.ID},
		{"policy_id", p.policyID()},
		{"org_id", p.OrgID},
		{"active", p.Active},
		{"served", p.Served},
	}, checkedColumns(p.Document, p.CheckedBy)...)
}

// policyByID selects a policy by its `_id`, whatever its case, or, if there is none, by the ID that gateways use.
func policyByID(ref Ref) documentRef {
	return documentRef{ref, `(id = lower(@id) OR policy_id = @id)`, `id = lower(@id) DESC`}
}

// DeletePolicy deletes a policy. It returns ErrNotFound if there is none.
func (s *Store) DeletePolicy(ctx context.Context, ref Ref) (err error) {
	defer wrap("delete policy", &err)
	where, args := policyByID(ref).sql()
	return s.release(ctx, `
		WITH released AS (
			DELETE FROM policies WHERE position = (SELECT position FROM policies`+where+`)
			RETURNING id, policy_id, org_id
		)`+releasePolicies, args)
}

// KeyPolicy is what keys get of a policy, by ID: `id`, or `_id` if that is empty.
type KeyPolicy struct {
	ID string
	// Rights is an object with the access rights and the partitions of the policy; empty if it was not asked for them.
	Rights json.RawMessage
	// Unchecked is the whole document if the check has not seen it yet.
	Unchecked json.RawMessage
}

// policyRights are the members of a policy that KeyPolicy.Rights has.
const policyRights = `json_build_object('partitions', served_document -> 'partitions', 'access_rights',
	served_document -> 'access_rights', 'access_rights_array', served_document -> 'access_rights_array')`

// servedPolicies are the policies of an organisation by the IDs that keys name, with what gateways are given.
const servedPolicies = ` FROM policies, LATERAL (SELECT coalesce(served, document)) AS given (served_document)
	WHERE policy_id = ANY (@ids) AND org_id = @org_id`

// readable is whether Postgres can read the members of a policy: it has no NUL, which no policy has a use for.
const readable = `strpos(served_document::text, '\u0000') = 0`

// KeyPolicyFilter selects policies of an organisation by the IDs that keys name.
type KeyPolicyFilter struct {
	OrgID string
	IDs   []string
	// CheckedBy is the name of the check. Those that it has found not to be loadable are left out.
	CheckedBy string
	// Rights asks for KeyPolicy.Rights. Without them, no document that was checked is read.
	Rights bool
}

// KeyPolicies returns what keys get of policies.
func (s *Store) KeyPolicies(ctx context.Context, f KeyPolicyFilter) (policies []KeyPolicy, err error) {
	defer wrap("get policies of keys", &err)
	args := checkArgs(f.CheckedBy)
	args["ids"], args["org_id"], args["rights"] = distinct(f.IDs), f.OrgID, f.Rights
	return queryRows[KeyPolicy](ctx, s.pool, `SELECT policy_id AS id,
		CASE WHEN @rights THEN `+policyRights+` ELSE '{}' END AS rights,
		CASE WHEN `+unchecked+` THEN served_document END AS unchecked`+servedPolicies+`
			AND (NOT @rights OR `+readable+`) AND `+loadableByNodes, args)
}

// APIRights returns what those of an organisation's policies that keys name by these IDs say of one API: their Rights
// have its access rights only, as a member of any value.
func (s *Store) APIRights(
	ctx context.Context, orgID string, ids []string, apiID string,
) (policies []KeyPolicy, err error) {
	defer wrap("get rights of policies", &err)
	args := pgx.StrictNamedArgs{"ids": distinct(ids), "org_id": orgID, "api_id": apiID}
	return queryRows[KeyPolicy](ctx, s.pool, `SELECT policy_id AS id, NULL::json AS unchecked,
		json_build_object('partitions', served_document -> 'partitions', 'access_rights',
			CASE WHEN served_document -> 'access_rights' -> @api_id::text IS NULL THEN '{}'::json
			ELSE json_build_object(@api_id::text, true) END) AS rights`+servedPolicies+`
			AND `+readable, args)
}
