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
	return importAll(ctx, s, apiStaging, checkedBy, apis, func(api API, row []any) []any {
		return append(row, api.APIID, api.ID, api.OrgID, api.Active, []byte(api.Document))
	})
}

var apiStaging = staging{
	table:   "import_apis",
	columns: []string{"api_id", "id", "org_id", "active", "document"},
	create: `CREATE TEMPORARY TABLE import_apis (
		position bigint DEFAULT nextval('apis_position_seq'),
		api_id text, id text, org_id text, active boolean, document json) ON COMMIT DELETE ROWS`,
	// The organisations are locked against deletion, so that the insert cannot fail on one that goes meanwhile.
	merge: `
		WITH organisation AS (
			SELECT id FROM organisations WHERE id IN (SELECT org_id FROM import_apis) ORDER BY id FOR KEY SHARE
		), verdict AS (
			SELECT input.position, input.api_id, CASE
				WHEN organisation.id IS NULL THEN @organisation
				WHEN present.org_id <> input.org_id THEN @owner
				WHEN taken.api_id <> input.api_id THEN @id
				WHEN row_number() OVER (PARTITION BY input.id ORDER BY input.position) > 1 THEN @id
			END AS refusal
			FROM import_apis AS input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN apis AS present ON present.api_id = input.api_id
			LEFT JOIN apis AS taken ON taken.id = input.id
		), imported AS (
			INSERT INTO apis (position, api_id, id, org_id, active, document, loadable, checked_by) OVERRIDING SYSTEM VALUE
			SELECT input.position, input.api_id, input.id, input.org_id, input.active, input.document, true, @checked_by
			FROM import_apis AS input JOIN verdict USING (position) WHERE verdict.refusal IS NULL
			ON CONFLICT (api_id) DO UPDATE SET id = excluded.id, active = excluded.active, document = excluded.document,
				loadable = excluded.loadable, checked_by = excluded.checked_by
				WHERE apis.org_id = excluded.org_id
			RETURNING api_id
		)
		SELECT api_id AS id, coalesce(refusal, @owner) -- what raced to the same id is its owner now
		FROM verdict LEFT JOIN imported USING (api_id) WHERE imported.api_id IS NULL`,
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
