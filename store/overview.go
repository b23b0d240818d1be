package store

import (
	"context"
	"encoding/json"
	"slices"
)

// Overview is how much of everything there is.
type Overview struct {
	Organisations, Users, APIs, ActiveAPIs, OASAPIs, Policies int
	// WithheldAPIs and WithheldPolicies are those that gateways do not get, because they could not decode them.
	WithheldAPIs, WithheldPolicies int
}

// apiIsOAS selects Tyk OAS APIs by an index (migrations/022_overview.sql).
const apiIsOAS = `coalesce(search ->> 'oas', api_is_oas(document)) = 'true'`

// withheld selects, by an index, the documents that the check called checkedBy has refused.
const withheld = `starts_with(checked, '` + refusedMark + `') AND starts_with(checked, @refused)`

// Overview counts what there is of an organisation; nil is all of them. checkedBy is the name of the check.
func (s *Store) Overview(ctx context.Context, checkedBy string, orgID *string) (o Overview, err error) {
	defer wrap("count everything", &err)
	where, args := ofOrganisation(orgID)
	args["refused"] = refusedMark + checkedPrefix(checkedBy)
	organisations := ``
	if orgID != nil {
		organisations = ` WHERE id = @org_id`
	}
	count := func(table string, more ...string) string {
		return `(SELECT count(*) FROM ` + table + append(slices.Clip(where), more...).sql() + `)`
	}
	return queryRow[Overview](mayTakeLong(ctx), s.pool, `
		SELECT (SELECT count(*) FROM organisations`+organisations+`) AS organisations,
			`+count(`users`)+` AS users,
			`+count(`apis`)+` AS apis,
			`+count(`apis`, `active`)+` AS active_apis,
			`+count(`apis`, apiIsOAS)+` AS oas_apis,
			`+count(`policies`)+` AS policies,
			`+count(`apis`, `active`, withheld)+` AS withheld_apis,
			`+count(`policies`, withheld)+` AS withheld_policies`, args)
}

// WithheldDocument is a document that gateways do not get, because they could not decode it.
type WithheldDocument struct {
	ID, OrgID string
	Name      string // the beginning of a very long one
	// Document is nil if it is larger than was asked for.
	Document json.RawMessage
}

// WithheldFilter selects documents that gateways do not get.
type WithheldFilter struct {
	// CheckedBy is the name of the check that has refused them.
	CheckedBy string
	OrgID     *string // nil: all
	// Limit is how many are returned, the oldest, and MaxSize the maximum size of those that are returned with their
	// documents, in bytes.
	Limit, MaxSize int
}

// WithheldAPIs returns active APIs that gateways do not get.
func (s *Store) WithheldAPIs(ctx context.Context, f WithheldFilter) (documents []WithheldDocument, err error) {
	defer wrap("list withheld APIs", &err)
	return f.list(ctx, s.pool, `
		SELECT api_id AS id, coalesce(left(`+apiSearch+` ->> 'name', `+searchedName+`), '') AS name`+withheldColumns+`
		FROM apis`, `active`)
}

// WithheldPolicies returns policies that gateways do not get.
func (s *Store) WithheldPolicies(ctx context.Context, f WithheldFilter) (documents []WithheldDocument, err error) {
	defer wrap("list withheld policies", &err)
	return f.list(ctx, s.pool, `
		SELECT id, policy_name(document) AS name`+withheldColumns+` FROM policies`)
}

// withheldColumns are those of WithheldDocument that all tables have.
const withheldColumns = `, org_id,
	CASE WHEN coalesce(size, octet_length(document::text)) <= @size THEN document END AS document`

func (f WithheldFilter) list(
	ctx context.Context, db querier, selected string, more ...string,
) ([]WithheldDocument, error) {
	where, args := ofOrganisation(f.OrgID)
	args["refused"], args["limit"], args["size"] = refusedMark+checkedPrefix(f.CheckedBy), f.Limit, f.MaxSize
	return queryRows[WithheldDocument](mayTakeLong(ctx), db,
		selected+append(append(where, more...), withheld).sql()+` ORDER BY org_id, position LIMIT @limit`, args)
}
