package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// API is an API and what it is searched by.
type API struct {
	APIID string
	// ID is the ID in the original's database: 24 hexadecimal digits.
	ID       string
	OrgID    string
	Active   bool
	Document json.RawMessage
	// Search is what lists are filtered and sorted by (migrations/008_list_filters.sql).
	Search json.RawMessage

	// Calls are the APIs that gateways find for the API's requests to others: by api_id, by ID, or by the name that they
	// compare. None may belong to another organisation, now or later.
	Calls []string `db:"-" json:",omitempty"`
	// AllCalls are Calls and those that the API had before. No import gives one of them to another organisation.
	AllCalls []string `db:"-" json:",omitempty"`
	// Hosts are those that gateways may take for such an API. They are not stored.
	Hosts []string `db:"-" json:",omitempty"`
	// LoopName is the name, in lower case, by which gateways find the API for requests of others. It is not stored, but
	// must not be the api_id or the ID of another organisation's API. "" is not checked.
	LoopName string `db:"-" json:",omitempty"`
	// Serving is where gateways serve the API, which must not be in the way of another organisation's. It is not stored;
	// nil is not checked.
	Serving *Serving `db:"-" json:",omitempty"`
}

// Serving is where gateways serve an API.
type Serving struct {
	// Routes are the listen paths, those above them, and the path that is the api_id, without slashes at their ends.
	// None may be the listen path of an API of another organisation.
	Routes []string
	// Prefixes are those of patterns: no listen path of another organisation may begin with one of them.
	Prefixes []string
	// APIID is the api_id that the listen path begins with, which no API of another organisation may have.
	APIID string
	// Domains are the domains, in lower case, that count; "" is each. No other organisation may have one as its cname.
	Domains []string
	// AnyDomain has every domain count.
	AnyDomain bool
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
	i := importer{apiTable(), checkedBy, s.apiImports}
	return importAll(ctx, s.pool, i, documents(apis, func(api API) document {
		return document{
			id: api.APIID, otherID: api.ID, orgID: api.OrgID, active: api.Active, text: api.Document, derived: api.Search,
		}
	}))
}

func apiTable() importTable {
	return importTable{
		name:    "apis",
		columns: []string{"api_id", "id", "org_id", "document", "checked", "active", "search", "size"},
		compare: `
			WITH input AS (
				SELECT api_id, id, org_id, checked, n
				FROM unnest(@ids::text[], @other_ids::text[], @org_ids::text[], @checked::text[]) WITH ORDINALITY
					AS input (api_id, id, org_id, checked, n)
			), organisation AS (` + lockOrganisations + `), ids (exact, lower) AS (
				SELECT array_agg(id), array_agg(lower(id)) FROM unnest(@ids::text[] || @other_ids::text[]) AS id
			), other (id, org_id) AS MATERIALIZED (
				SELECT called, org_id FROM apis, unnest(calls) AS called
				WHERE calls && (SELECT exact FROM ids)::text[] AND called IN (SELECT unnest(exact) FROM ids)
				UNION SELECT ` + apiLoopName + `, org_id FROM apis WHERE ` + apiLoopName + ` = ANY ((SELECT lower FROM ids)::text[])
				UNION SELECT api_id, org_id FROM apis WHERE api_id = ANY ((SELECT exact FROM ids)::text[])
			)
			SELECT stored.api_id IS NOT NULL AS exists,
				coalesce(stored.checked = input.checked, false) AS unchanged,
				coalesce(CASE
					WHEN organisation.id IS NULL THEN @unknown_organisation
					WHEN stored.org_id <> input.org_id THEN @other_owner || ' (' || stored.org_id || ')'
					WHEN stored.id = input.id THEN NULL
					WHEN other.org_id IS NOT NULL THEN @other_owner || ' (' || other.org_id || ')'
					ELSE @id_taken || ' (' || (
						SELECT other.api_id FROM apis AS other WHERE other.id = input.id AND other.api_id <> input.api_id
					) || ')'
				END, '') AS refusal
			FROM input
			LEFT JOIN organisation ON organisation.id = input.org_id
			LEFT JOIN LATERAL (
				SELECT api_id, id, org_id, checked FROM apis WHERE apis.api_id = input.api_id LIMIT 1
			) AS stored ON true
			LEFT JOIN LATERAL (
				SELECT org_id FROM other
				WHERE other.id IN (input.api_id, lower(input.api_id), input.id) AND other.org_id <> input.org_id
				LIMIT 1
			) AS other ON true
			ORDER BY n`,
		replace: `
			WITH before AS (
				SELECT api_id, id FROM apis WHERE api_id = ANY (@ids) ORDER BY api_id FOR UPDATE
			), replaced AS (
				UPDATE apis SET id = input.id, active = input.active, document = input.document::json,
					checked = input.checked, search = input.search::jsonb, size = octet_length(input.document), calls = NULL
				FROM unnest(@ids::text[], @other_ids::text[], @active::boolean[], @documents::text[], @checked::text[],
					@derived::text[]) AS input (api_id, id, active, document, checked, search), before
				WHERE apis.api_id = input.api_id AND before.api_id = input.api_id AND apis.api_id = ANY (@ids)
				RETURNING before.id AS api_id, apis.org_id, apis.id
			), released AS (
				SELECT api_id, org_id FROM replaced WHERE api_id <> id
			)` + releaseAPIs,
	}
}

// APIFilter selects APIs of a list. A field that is zero selects all.
type APIFilter struct {
	// OrgID selects those of one organisation; nil selects all.
	OrgID *string
	// Text selects those that have it in their name or in their listen path, whatever the case, and the one with this
	// APIID or ID.
	Text string
	// Active selects those that are active, or those that are not; nil selects all.
	Active *bool
	// Type selects those of a type.
	Type string
	// Auth and Categories select those that have one of these types of authentication, and one of these categories.
	Auth, Categories []string
	Sort             APISort
	Page             Page
}

// APISort is what a list of APIs is sorted by. APIs that are equal in this are listed oldest first.
type APISort struct {
	// By is a constant below; "" is the order in which the APIs were stored.
	By         string
	Descending bool
}

// What lists of APIs are sorted by: the name, whatever the case, and the times that the documents state. An API without
// such a time is older than all others.
const (
	ByName      = "name"
	ByCreatedAt = "created_at"
	ByUpdatedAt = "updated_at"
)

// apiSearch is what APIs are filtered and sorted by. Another program does not write the column.
const apiSearch = `coalesce(search, api_search(document))`

// searchedName is how much of a name is searched and sorted by, in characters. A search takes the product of the
// lengths of both texts, at worst.
const searchedName = `1000`

// where returns the conditions of the filter, and their arguments. There is no condition like `@org_id IS NULL OR …`,
// which would keep Postgres from using an index.
func (f APIFilter) where() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(f.OrgID)
	if f.Text != "" {
		where = append(where, `(strpos(lower(left(`+apiSearch+` ->> 'name', `+searchedName+`)), lower(@text)) > 0
			OR strpos(lower(`+apiRoute+`) || '/', lower(@text)) > 0 OR api_id = @text OR id = lower(@text))`)
		args["text"] = f.Text
	}
	if f.Active != nil {
		where, args["active"] = append(where, `active = @active`), *f.Active
	}
	if f.Type != "" {
		where, args["type"] = append(where, apiSearch+` -> 'types' ? @type`), f.Type
	}
	if len(f.Auth) > 0 {
		where, args["auth"] = append(where, apiSearch+` -> 'auth' ?| @auth`), f.Auth
	}
	if len(f.Categories) > 0 {
		where, args["categories"] = append(where, apiSearch+` -> 'categories' ?| @categories`), f.Categories
	}
	return where, args
}

// order returns what the rows are sorted by before their position.
func (f APIFilter) order() string {
	if f.Sort.By == "" {
		return ""
	}
	order := `lower(left(` + apiSearch + ` ->> '` + f.Sort.By + `', ` + searchedName + `)) COLLATE "C"`
	if f.Sort.Descending {
		order += ` DESC`
	}
	return order
}

// APIs lists APIs, oldest first if the filter does not sort them.
func (s *Store) APIs(ctx context.Context, f APIFilter) iter.Seq2[Row, error] {
	where, args := f.where()
	return listQuery[Row]{
		operation: "list APIs", columns: `api_id, document`, table: `apis`,
		where: where, args: args, page: f.Page, order: f.order(), scan: scanRow,
	}.rows(ctx, s.pool)
}

// CountAPIs counts the APIs of all pages.
func (s *Store) CountAPIs(ctx context.Context, f APIFilter) (n int, err error) {
	defer wrap("count APIs", &err)
	where, args := f.where()
	return countRows(ctx, s.pool, `apis`+where.sql(), args)
}

// apiByID selects an API by its ID or, if there is none, by its APIID. The ID comes first because no client chooses it:
// an API whose APIID is the ID of another one must not receive what a super user sends to that one.
func apiByID(ref Ref) documentRef {
	return documentRef{ref, `(api_id = @id OR id = lower(@id))`, `id = lower(@id) DESC`}
}

// APIUsage is how many APIs there are.
type APIUsage struct{ Total, Active int }

// APIUsage counts the APIs of an organisation; nil is all.
func (s *Store) APIUsage(ctx context.Context, orgID *string) (usage APIUsage, err error) {
	defer wrap("count APIs", &err)
	where, args := ofOrganisation(orgID)
	return queryRow[APIUsage](ctx, s.pool, `
		SELECT count(*) AS total, count(*) FILTER (WHERE active) AS active FROM apis`+where.sql(), args)
}

// API returns an API, or ErrNotFound.
func (s *Store) API(ctx context.Context, ref Ref) (row Row, err error) {
	defer wrap("get API", &err)
	return getDocument(ctx, s.pool, `SELECT api_id AS id, document FROM apis`, apiByID(ref))
}

// APISize returns the size in bytes of an API's document, or ErrNotFound.
func (s *Store) APISize(ctx context.Context, ref Ref) (size int, err error) {
	defer wrap("get size of API", &err)
	where, args := apiByID(ref).sql()
	return queryValue[int](ctx, s.pool, `SELECT coalesce(size, octet_length(document::text)) FROM apis`+where, args)
}

// APISummary is what lists of versions say about an API.
type APISummary struct {
	APIID    string
	Name     string // the beginning of a very long one
	Internal bool
	// Expiration is the JSON of when the API expires; "" if it has no such member.
	Expiration string
}

// maxExpiration is how much of an expiration is read: a time has 35 characters at most.
const maxExpiration = `100`

// APISummaries returns what lists say about those of the APIs with these APIIDs that belong to an organisation, in no
// particular order. A nil orgID is all organisations. No document is read into memory.
func (s *Store) APISummaries(ctx context.Context, orgID *string, apiIDs []string) (rows []APISummary, err error) {
	defer wrap("get APIs", &err)
	ctx = mayTakeLong(ctx)
	where, args := ofOrganisation(orgID)
	args["ids"] = distinct(apiIDs)
	return queryRows[APISummary](ctx, s.pool, `
		SELECT api_id, coalesce(left(`+apiSearch+` ->> 'name', `+searchedName+`), '') AS name,
			coalesce(`+apiSearch+` -> 'types' ? 'internal', false) AS internal,
			coalesce(left((document #> '{api_definition,expiration}')::text, `+maxExpiration+`), '') AS expiration
		FROM apis`+append(where, `api_id = ANY (@ids)`).sql(), args)
}

// CreateAPI stores an API whose document the check called checkedBy has found to be loadable. It returns ErrConflict
// if another API has one of its IDs, or an API of another organisation had the APIID last, ErrUnknownOrganisation,
// ErrQuota, and ErrForeign, ErrForeignName or ErrServed for what an API must not have to do with those of other
// organisations.
func (s *Store) CreateAPI(ctx context.Context, checkedBy string, api API) (err error) {
	defer wrap("create API", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		if err := s.insertAPI(ctx, tx, checkedBy, api); err != nil {
			return err
		}
		return checkShared(ctx, tx, []API{api}, []API{api})
	})
}

func (s *Store) insertAPI(ctx context.Context, tx pgx.Tx, checkedBy string, api API) error {
	sql, args := api.columns(checkedBy).insert("apis")
	if err := execRow(ctx, tx, sql, args...); err != nil {
		return err
	}
	return s.quota.check(ctx, tx, "apis", api.OrgID)
}

// sharedNames is the first key of the advisory lock of checkShared; the second is 0.
const sharedNames = 1

// checkShared returns an error if APIs that a transaction has written have to do with those of other organisations:
// that of checkOthers for each of the APIs, and that of checkReleased for those that have new IDs. It is the last that
// a transaction does before it announces its change. It locks out the same checks of other transactions, so that of two
// APIs that may not be there together, the second is refused. A transaction that has the lock waits for no rows.
func checkShared(ctx context.Context, tx pgx.Tx, written, renamed []API) error {
	for _, api := range written {
		if err := api.reserveCalls(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, 0)`, sharedNames); err != nil {
		return err
	}
	for _, api := range renamed {
		if err := checkReleased(ctx, tx, api); err != nil {
			return err
		}
	}
	for _, api := range written {
		if err := api.checkOthers(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// apiLoopName is the name, in lower case, by which gateways find an API (migrations/015_shared_names.sql).
const apiLoopName = `api_loop_name(search, document)`

// checkReleased returns ErrConflict if an API of another organisation had the APIID last, or calls it. Keys of that
// organisation which name it are still in gateways, and would open the API. Nor may the IDs be what gateways find an
// API of another organisation by. It runs after the API was written, so that it sees what a concurrent request has
// deleted.
func checkReleased(ctx context.Context, db querier, api API) error {
	foreign, err := queryValue[bool](ctx, db, `
		SELECT EXISTS (SELECT FROM released_apis WHERE api_id = ANY (ARRAY[$1, $2]) AND org_id <> $3) OR EXISTS (
			SELECT FROM apis
			WHERE org_id <> $3 AND (id = lower($1) OR lower(api_id) = $2 OR `+apiLoopName+` = ANY (ARRAY[lower($1), $2])))`,
		api.APIID, api.ID, api.OrgID)
	if err == nil && foreign {
		err = ErrConflict
	}
	return err
}

// apiRoute is where gateways serve an API, as Serving.Routes are, and apiDomain its domain.
const (
	apiRoute  = `coalesce(search ->> 'route', api_route(document)) COLLATE "C"`
	apiDomain = `coalesce(search ->> 'domain', lower(split_part(document #>> '{api_definition,domain}', ':', 1)), '')`
)

// servedColumns are what is read of the APIs in the way.
const servedColumns = `org_id, active, search, document`

// check returns ErrServed if gateways may send the API of an organisation what is meant for one of another.
func (s *Serving) check(ctx context.Context, db querier, orgID string) error {
	if s == nil {
		return nil
	}
	hosts := make([]string, 0, len(s.Domains))
	for _, domain := range s.Domains {
		if key := hostKey(domain); key != "" {
			hosts = append(hosts, key)
		}
	}
	taken, err := queryValue[bool](ctx, db, `
		SELECT EXISTS (SELECT FROM organisations WHERE cname_key = ANY ($1) AND id <> $2) OR EXISTS (
			SELECT FROM (
				SELECT `+servedColumns+` FROM apis WHERE `+apiRoute+` = ANY ($3)
				UNION ALL SELECT `+servedColumns+` FROM apis WHERE api_id = $4
				UNION ALL SELECT `+servedColumns+` FROM unnest($5::text[]) AS prefix, LATERAL (
					SELECT `+servedColumns+` FROM apis
					WHERE `+apiRoute+` >= prefix AND `+apiRoute+` < prefix || chr(1114111)
				) AS apis
			) AS apis
			WHERE org_id <> $2 AND active IS NOT FALSE AND ($7 OR `+apiDomain+` = '' OR `+apiDomain+` = ANY ($6)))`,
		hosts, orgID, s.Routes, s.APIID, s.Prefixes, s.Domains, s.AnyDomain)
	if err == nil && taken {
		err = ErrServed
	}
	return err
}

// checkOthers returns ErrForeign if the API calls one of another organisation, and ErrForeignName if gateways may take
// it for one, and ErrServed as Serving.check does.
func (api API) checkOthers(ctx context.Context, db querier) error {
	if err := api.Serving.check(ctx, db, api.OrgID); err != nil {
		return err
	}
	if err := api.checkName(ctx, db); err != nil {
		return err
	}
	if len(api.Calls)+len(api.Hosts) == 0 {
		return nil
	}
	names := slices.Concat(api.Calls, api.Hosts)
	foreign, err := queryValue[bool](ctx, db, `
		SELECT EXISTS (SELECT FROM released_apis WHERE api_id = ANY ($4) AND org_id <> $3) OR EXISTS (
			SELECT FROM apis
			WHERE org_id <> $3 AND (api_id = ANY ($1) OR id = ANY ($1) OR `+apiLoopName+` = ANY ($2)))`,
		distinct(names), lowered(names), api.OrgID, distinct(api.Calls))
	if err == nil && foreign {
		err = ErrForeign
	}
	return err
}

// checkName returns ErrForeignName if LoopName is, or was, an ID of an API of another organisation.
func (api API) checkName(ctx context.Context, db querier) error {
	if api.LoopName == "" {
		return nil
	}
	taken, err := queryValue[bool](ctx, db, `
		SELECT EXISTS (SELECT FROM apis WHERE (lower(api_id) = $1 OR id = $1) AND org_id <> $2 AND api_id <> $3) OR
			EXISTS (SELECT FROM released_apis WHERE lower(api_id) = $1 AND org_id <> $2)`,
		api.LoopName, api.OrgID, api.APIID) // an API with the same api_id is a conflict
	if err == nil && taken {
		err = ErrForeignName
	}
	return err
}

// maxReserved is how many api_ids an organisation may have had, or called, before its APIs may not call new ones.
const maxReserved = 100_000

// reserveCalls has no other organisation get an API that this one calls. It returns ErrQuota if there are too many.
func (api API) reserveCalls(ctx context.Context, db querier) error {
	if len(api.Calls) == 0 {
		return nil
	}
	full, err := queryValue[bool](ctx, db, `
		WITH reserved AS (
			INSERT INTO released_apis (api_id, org_id) SELECT target, $2 FROM unnest($1::text[]) AS target
			ON CONFLICT (api_id) DO NOTHING RETURNING api_id
		)
		SELECT (SELECT count(*) FROM reserved) > 0 AND (
			SELECT count(*) FROM (SELECT FROM released_apis WHERE org_id = $2 LIMIT $3) AS released) >= $3`,
		distinct(api.Calls), api.OrgID, maxReserved)
	if err == nil && full {
		err = ErrQuota
	}
	return err
}

func lowered(names []string) []string {
	folded := make([]string, len(names))
	for i, name := range names {
		folded[i] = strings.ToLower(name)
	}
	return distinct(folded)
}

// releaseAPIs is the end of a statement that records the api_ids and organisations of released APIs.
const releaseAPIs = ` INSERT INTO released_apis (api_id, org_id) SELECT api_id, org_id FROM released
	ON CONFLICT (api_id) DO UPDATE SET org_id = excluded.org_id`

// EditAPI replaces an API by what edit returns for it, without a chance for others to change it meanwhile. Its ID and
// its organisation stay. checkedBy is the name of the check that has found that gateways can decode the new document.
// EditAPI returns the error of edit, ErrNotFound if there is no such API, and ErrConflict if another one has the new
// APIID, or one of another organisation had it last, and ErrQuota, ErrForeign, ErrForeignName and ErrServed as
// CreateAPI does.
func (s *Store) EditAPI(ctx context.Context, ref Ref, checkedBy string, edit func(API) (API, error)) (err error) {
	defer wrap("edit API", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	change := apiEdit{ref, checkedBy, edit}
	if change.edit, err = editedBefore(ctx, s.pool, ref, edit); err != nil {
		return err
	}
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		before, after, err := change.in(ctx, tx)
		if err == nil && len(after.Document) > len(before.Document) {
			err = s.quota.check(ctx, tx, "apis", before.OrgID)
		}
		switch {
		case err != nil:
			return err
		case after.APIID == before.APIID:
			return checkShared(ctx, tx, []API{after}, nil)
		}
		sql := `WITH released (api_id, org_id) AS (VALUES ($1, $2))` + releaseAPIs
		if _, err := tx.Exec(ctx, sql, before.APIID, before.OrgID); err != nil {
			return err
		}
		return checkShared(ctx, tx, []API{after}, []API{after})
	})
}

// apiColumns are read into an API.
const apiColumns = `api_id, id, org_id, active, document, ` + apiSearch + ` AS search`

// editedBefore calls edit for an API before the transaction that replaces it, so that neither a refusal nor the time
// that edit takes holds the row. The function that it returns calls edit again if the row has changed meanwhile.
func editedBefore(
	ctx context.Context, db querier, ref Ref, edit func(API) (API, error),
) (func(API) (API, error), error) {
	where, args := apiByID(ref).sql()
	stored, err := queryRow[API](ctx, db, `SELECT `+apiColumns+` FROM apis`+where, args)
	if err != nil {
		return nil, err
	}
	edited, err := edit(stored)
	return func(now API) (API, error) {
		if now.ID == stored.ID && now.APIID == stored.APIID && now.Active == stored.Active &&
			bytes.Equal(now.Document, stored.Document) {
			return edited, nil
		}
		return edit(now)
	}, err
}

// apiEdit replaces an API by what edit returns for it. checkedBy is the name of the check of the new document.
type apiEdit struct {
	ref       Ref
	checkedBy string
	edit      func(API) (API, error)
}

// in replaces the API in a transaction, and returns it as it was and as it is. Its ID and its organisation stay.
func (e apiEdit) in(ctx context.Context, tx pgx.Tx) (before, after API, err error) {
	err = editDocumentIn(ctx, tx, documentEdit[API]{
		columns: apiColumns, table: "apis", where: apiByID(e.ref),
		edit: func(_ pgx.Tx, stored API) (columns, error) {
			edited, err := e.edit(stored)
			edited.ID, edited.OrgID = stored.ID, stored.OrgID
			before, after = stored, edited
			return edited.columns(e.checkedBy), err
		},
		id: func(stored API) string { return stored.ID },
	})
	return before, after, err
}

// NewVersion is an API that becomes a version of another one.
type NewVersion struct {
	API API
	// Base is the API that it becomes a version of, and Link returns what replaces that one.
	Base Ref
	Link func(base API) (API, error)
}

// CreateVersion stores an API as CreateAPI does, and replaces its base as EditAPI does, both or none. It returns
// ErrNotFound if there is no base.
func (s *Store) CreateVersion(ctx context.Context, checkedBy string, version NewVersion) (err error) {
	defer wrap("create API version", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	change := apiEdit{ref: version.Base, checkedBy: checkedBy}
	if change.edit, err = editedBefore(ctx, s.pool, version.Base, version.Link); err != nil {
		return err
	}
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		_, base, err := change.in(ctx, tx)
		if err == nil {
			err = s.insertAPI(ctx, tx, checkedBy, version.API)
		}
		if err != nil {
			return err
		}
		return checkShared(ctx, tx, []API{base, version.API}, []API{version.API})
	})
}

// columns returns the columns of an API that the check called checkedBy has found to be loadable.
func (api API) columns(checkedBy string) columns {
	return append(columns{
		{"api_id", api.APIID},
		{"id", api.ID},
		{"org_id", api.OrgID},
		{"active", api.Active},
		{"search", api.Search},
		{"calls", api.AllCalls},
	}, checkedColumns(api.Document, checkedBy)...)
}

// DeleteAPI deletes an API. It returns ErrNotFound if there is none.
func (s *Store) DeleteAPI(ctx context.Context, ref Ref) (err error) {
	defer wrap("delete API", &err)
	where, args := apiByID(ref).sql()
	return s.release(ctx, `
		WITH released AS (
			DELETE FROM apis WHERE position = (SELECT position FROM apis`+where+`) RETURNING api_id, org_id
		)`+releaseAPIs, args)
}

// DeleteAPIAndVersions deletes an API, and those of its organisation that have one of these APIIDs. It returns the
// APIIDs of all that it has deleted, sorted, or ErrNotFound if there is no such API, and deletes none then.
func (s *Store) DeleteAPIAndVersions(ctx context.Context, ref Ref, versions []string) (deleted []string, err error) {
	defer wrap("delete API and versions", &err)
	where, args := apiByID(ref).sql()
	args["versions"] = versions
	sql := `
		WITH base AS (
			SELECT position, org_id FROM apis` + where + `
		), version AS (
			SELECT position FROM apis WHERE api_id = ANY (@versions) AND org_id = (SELECT org_id FROM base)
		), released AS (
			DELETE FROM apis WHERE position IN (SELECT position FROM base UNION SELECT position FROM version)
			RETURNING api_id, org_id
		), recorded AS (` + releaseAPIs + `)
		SELECT api_id FROM released ORDER BY api_id`
	ctx = mayTakeLong(ctx) // it may wait for an import
	err = s.announcingChange(ctx, func(tx pgx.Tx) error {
		deleted, err = queryColumn[string](ctx, tx, sql, args)
		if err == nil && len(deleted) == 0 {
			err = ErrNotFound
		}
		return err
	})
	return deleted, err
}

// release runs a statement that deletes documents and records the IDs that they were known by.
func (s *Store) release(ctx context.Context, deletion string, args pgx.StrictNamedArgs) error {
	ctx = mayTakeLong(ctx) // it may wait for an import
	return s.announcingChange(ctx, func(tx pgx.Tx) error { return execRow(ctx, tx, deletion, args) })
}

// OwnsAPIs reports whether all of the APIs exist and belong to the organisation.
func (s *Store) OwnsAPIs(ctx context.Context, orgID string, apiIDs []string) (owns bool, err error) {
	if len(apiIDs) == 0 {
		return true, nil
	}
	defer wrap("check owner of APIs", &err)
	apiIDs = distinct(apiIDs)
	n, err := queryValue[int](ctx, s.pool,
		`SELECT count(*) FROM apis WHERE api_id = ANY ($1) AND org_id = $2`, apiIDs, orgID)
	return n == len(apiIDs), err
}

func distinct(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }
