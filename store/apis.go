package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"slices"
)

// API is an API and what it is searched by.
type API struct {
	APIID string
	// ID is the ID in the original's database: 24 hexadecimal digits.
	ID       string
	OrgID    string
	Active   bool
	Document json.RawMessage
}

// NewAPIIDs completes the two IDs of an API. A missing one is derived from the other, so that importing the same
// document again finds the same API. If both are missing, both are new.
func (s *Store) NewAPIIDs(apiID, id string) (newAPIID, newID string) {
	switch {
	case apiID == "" && id == "":
		return s.ids.Key(), s.ids.Object()
	case apiID == "":
		return derive("api_id", id)[:32], id
	case id == "":
		return apiID, derive("id", apiID)[:24]
	}
	return apiID, id
}

// derive returns hexadecimal digits that are always the same for the same arguments.
func derive(what, from string) string {
	sum := sha256.Sum256([]byte(what + " of " + from))
	return hex.EncodeToString(sum[:])
}

// ImportAPIs stores APIs in one transaction, and replaces those that have the same APIID. It returns the APIs that it
// has refused, by APIID, and why. The APIIDs must differ. checkedBy is the name of the check that has found that
// gateways can decode the documents. An error of the sequence is returned, and nothing is stored.
func (s *Store) ImportAPIs(
	ctx context.Context, checkedBy string, apis iter.Seq2[API, error],
) (refused map[string]Refusal, err error) {
	defer wrap("import APIs", &err)
	i := importer{apiTable(), checkedBy}
	return importAll(ctx, s.pool, i, documents(apis, func(api API) document {
		return document{id: api.APIID, otherID: api.ID, orgID: api.OrgID, active: &api.Active, text: api.Document}
	}))
}

func apiTable() importTable {
	return importTable{
		name:    "apis",
		columns: []string{"api_id", "id", "org_id", "document", "loadable", "checked_by", "digest", "active"},
		compare: `
			WITH input AS (
				SELECT api_id, id, org_id, digest, n
				FROM unnest(@ids::text[], @other_ids::text[], @org_ids::text[], @digests::bytea[]) WITH ORDINALITY
					AS input (api_id, id, org_id, digest, n)
			), organisation AS (` + lockOrganisations + `)
			SELECT stored.api_id IS NOT NULL AS exists,
				coalesce(stored.digest = input.digest AND stored.checked_by = @checked_by, false) AS unchanged,
				coalesce(CASE
					WHEN organisation.id IS NULL THEN @unknown_organisation
					WHEN stored.org_id <> input.org_id THEN @other_owner
					WHEN EXISTS (
						SELECT FROM apis AS other WHERE other.id = input.id AND other.api_id <> input.api_id
					) THEN @id_taken
				END, '') AS refusal
			FROM input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN LATERAL (
				SELECT api_id, org_id, digest, checked_by FROM apis WHERE apis.api_id = input.api_id LIMIT 1
			) AS stored ON true
			ORDER BY n`,
		replace: `
			UPDATE apis SET id = input.id, active = input.active, document = input.document::json, loadable = true,
				checked_by = @checked_by, digest = input.digest
			FROM unnest(@ids::text[], @other_ids::text[], @active::boolean[], @documents::text[], @digests::bytea[])
				AS input (api_id, id, active, document, digest)
			WHERE apis.api_id = input.api_id AND apis.api_id = ANY (@ids)`,
	}
}

// APIs lists APIs, oldest first.
func (s *Store) APIs(ctx context.Context, f Filter) iter.Seq2[Row, error] {
	where, args := f.where()
	return streamRows(ctx, s.pool, query{
		"list APIs",
		`SELECT api_id, document FROM apis` + where + ` ORDER BY position LIMIT @limit OFFSET @offset`,
		f.Page.bounds(args),
	})
}

// CountAPIs counts the APIs of all pages.
func (s *Store) CountAPIs(ctx context.Context, f Filter) (n int, err error) {
	defer wrap("count APIs", &err)
	where, args := f.where()
	return queryValue[int](ctx, s.pool, `SELECT count(*) FROM apis`+where, args)
}

// API returns the API that has the ID as its APIID or, if there is none, as its ID. If orgID is not nil, the API must
// be one of that organisation. Otherwise, and if there is no such API, API returns ErrNotFound.
func (s *Store) API(ctx context.Context, id string, orgID *string) (row Row, err error) {
	defer wrap("get API", &err)
	and, args := ofOrganisation(orgID)
	args["id"] = id
	return queryRow[Row](ctx, s.pool, `
		SELECT api_id AS id, document FROM apis WHERE (api_id = @id OR id = @id)`+and+`
		ORDER BY api_id = @id DESC LIMIT 1`, args)
}

// DeleteAPI deletes the API that has the ID as its APIID or, if there is none, as its ID. It returns ErrNotFound if
// there is no such API.
func (s *Store) DeleteAPI(ctx context.Context, id string) (err error) {
	defer wrap("delete API", &err)
	return execRow(ctx, s.pool, `DELETE FROM apis WHERE api_id =
		(SELECT api_id FROM apis WHERE api_id = $1 OR id = $1 ORDER BY api_id = $1 DESC LIMIT 1)`, id)
}

// OwnsAPIs reports whether all of the APIs exist and belong to the organisation.
func (s *Store) OwnsAPIs(ctx context.Context, orgID string, apiIDs []string) (owns bool, err error) {
	defer wrap("check owner of APIs", &err)
	wanted := slices.Compact(slices.Sorted(slices.Values(apiIDs)))
	n, err := queryValue[int](ctx, s.pool,
		`SELECT count(*) FROM apis WHERE api_id = ANY ($1) AND org_id = $2`, wanted, orgID)
	return n == len(wanted), err
}
