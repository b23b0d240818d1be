package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
)

// API is an API as it is stored.
type API struct {
	APIID string
	// ID is Tyk's id of the database, 24 hexadecimal digits.
	ID       string
	OrgID    string
	Active   bool
	Document json.RawMessage
}

// NewAPIIDs completes an API's two ids. What is missing follows from what is there, so that importing the same
// document again finds the same API; if nothing is there, both are new.
func (s *Store) NewAPIIDs(apiID, id string) (string, string) {
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

func derive(what, from string) string {
	sum := sha256.Sum256([]byte(what + " of " + from))
	return hex.EncodeToString(sum[:])
}

// ImportAPIs makes the APIs be as they say, all in one transaction, and returns those it refused, by APIID: a known id must
// belong to the same organisation. The APIIDs must differ. The check called checkedBy has found that a gateway can decode
// the documents. An error among the APIs undoes all.
func (s *Store) ImportAPIs(ctx context.Context, checkedBy string, apis iter.Seq2[API, error]) (map[string]Refusal, error) {
	return importAll(ctx, s, apiImport, checkedBy, apis, func(b *batch, api API) {
		b.add(document{id: api.APIID, other: api.ID, orgID: api.OrgID, active: &api.Active, text: api.Document})
	})
}

var apiImport = importing{
	table: "apis", columns: []string{"api_id", "id", "org_id", "active", "document", "loadable", "checked_by", "digest"},
	judge: `
		WITH input AS (
			SELECT * FROM unnest(@ids::text[], @others::text[], @org_ids::text[], @digests::bytea[]) WITH ORDINALITY
				AS input (api_id, id, org_id, digest, n)
		), organisation AS ( -- locked against deletion, so that no write fails on one that goes meanwhile
			SELECT id FROM organisations WHERE id IN (SELECT org_id FROM input) ORDER BY id FOR KEY SHARE
		)
		SELECT present.api_id IS NOT NULL, coalesce(present.digest = input.digest AND present.checked_by = @checked_by, false),
			coalesce(CASE
			WHEN organisation.id IS NULL THEN @organisation
			WHEN present.org_id <> input.org_id THEN @owner
			WHEN EXISTS (SELECT FROM apis WHERE apis.id = input.id AND apis.api_id <> input.api_id) THEN @id
		END, '')
		FROM input
		LEFT JOIN organisation ON organisation.id = input.org_id
		LEFT JOIN LATERAL (SELECT * FROM apis WHERE apis.api_id = input.api_id LIMIT 1) AS present ON true
		ORDER BY n`,
	replace: `
		UPDATE apis SET id = input.id, active = input.active, document = input.document::json, loadable = true,
			checked_by = @checked_by, digest = input.digest
		FROM unnest(@ids::text[], @others::text[], @active::boolean[], @documents::text[], @digests::bytea[])
			AS input (api_id, id, active, document, digest)
		WHERE apis.api_id = input.api_id AND apis.api_id = ANY (@ids)`,
}

const whereOrganisation = ` WHERE (@org_id::text IS NULL OR org_id = @org_id)`

// APIs lists APIs, oldest first.
func (s *Store) APIs(ctx context.Context, f Filter) iter.Seq2[Row, error] {
	limit, offset := f.Page.limit()
	return s.rows(ctx, `SELECT api_id, document FROM apis`+whereOrganisation+` ORDER BY position LIMIT @limit OFFSET @offset`,
		pgx.StrictNamedArgs{"org_id": f.OrgID, "limit": limit, "offset": offset})
}

// CountAPIs counts the APIs that the filter lets through on all pages.
func (s *Store) CountAPIs(ctx context.Context, f Filter) (int, error) {
	return s.count(ctx, `SELECT count(*) FROM apis`+whereOrganisation, pgx.StrictNamedArgs{"org_id": f.OrgID})
}

// whereAPI finds an API by either id.
const whereAPI = ` WHERE (api_id = @id OR id = @id) AND (@org_id::text IS NULL OR org_id = @org_id)`

// API returns one API by `api_id` or by Tyk's id of the database, of one organisation if orgID is not nil. ErrNotFound.
func (s *Store) API(ctx context.Context, id string, orgID *string) (Row, error) {
	return one[Row](ctx, s, `SELECT api_id AS id, document FROM apis`+whereAPI+` ORDER BY api_id = @id DESC LIMIT 1`,
		pgx.StrictNamedArgs{"id": id, "org_id": orgID})
}

// DeleteAPI deletes an API by `api_id` or by Tyk's id of the database. ErrNotFound.
func (s *Store) DeleteAPI(ctx context.Context, id string) error {
	return s.exec(ctx, `DELETE FROM apis WHERE api_id =
		(SELECT api_id FROM apis WHERE api_id = @id OR id = @id ORDER BY api_id = @id DESC LIMIT 1)`,
		pgx.StrictNamedArgs{"id": id})
}

// OwnsAPIs tells whether all of these are APIs of the organisation.
func (s *Store) OwnsAPIs(ctx context.Context, orgID string, apiIDs []string) (bool, error) {
	n, err := s.count(ctx, `SELECT count(*) FROM unnest(@ids::text[]) AS wanted (api_id)
		WHERE NOT EXISTS (SELECT FROM apis WHERE apis.api_id = wanted.api_id AND apis.org_id = @org_id)`,
		pgx.StrictNamedArgs{"ids": apiIDs, "org_id": orgID})
	return n == 0, err
}
