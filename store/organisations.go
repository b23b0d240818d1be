package store

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/net/idna"
)

// Organisation is an organisation and what it is searched by.
type Organisation struct {
	ID string
	// CName is the domain of the organisation's portal. Two organisations cannot have the same host name, in whatever
	// case, but any number can have none, or a text that is no host name.
	CName      string
	SSOEnabled bool
	Document   json.RawMessage
}

// columns returns the columns of organisations.
func (o Organisation) columns() columns {
	return columns{
		{"id", o.ID},
		{"cname_key", cnameKey(o.CName)},
		{"sso_enabled", o.SSOEnabled},
		{"document", o.Document},
	}
}

// hostName matches host names and addresses, with a port or without. The labels of a name have letters, digits, hyphens
// and underscores.
var hostName = regexp.MustCompile(
	`^([\p{L}\p{M}\p{N}_-]+(\.[\p{L}\p{M}\p{N}_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

// defaultPort is the port that browsers leave out.
var defaultPort = regexp.MustCompile(`:(80|443)$`)

// hostKey returns the host name in a cname as browsers send it: in lower case, with the letters of domains, and
// without scheme, path, default port and the dot at its end. It is "" if the cname has none: a template that has no
// value for it may write "<no value>", which is no host name. A NUL stays in it, so that Postgres refuses the
// organisation.
func hostKey(cname string) string {
	if strings.Contains(cname, "\x00") {
		return cname
	}
	host := strings.TrimSpace(cname)
	if _, after, found := strings.Cut(host, "://"); found {
		host = after
	}
	host, _, _ = strings.Cut(host, "/")
	host = defaultPort.ReplaceAllString(host, "")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil { // it fails for names with _, and for ports
		host = ascii
	}
	host = strings.TrimSuffix(host, ".")
	if !hostName.MatchString(host) {
		return ""
	}
	return strings.ToLower(host)
}

// CreateOrganisation stores a new organisation with a new ID, which it returns. It returns ErrConflict if the cname is
// taken.
func (s *Store) CreateOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	defer wrap("create organisation", &err)
	return s.createOrganisation(ctx, org)
}

func (s *Store) createOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	err = s.announcingChange(ctx, func(tx pgx.Tx) error {
		id, err = s.insertOrganisation(ctx, tx, org)
		return err
	})
	return id, s.cnameOwner(ctx, org, err)
}

// cnameOwner adds to a conflict which organisation has the cname.
func (s *Store) cnameOwner(ctx context.Context, org Organisation, err error) error {
	if !errors.Is(translate(err), ErrConflict) {
		return err
	}
	return withOwner(ctx, s.pool, err, ownerQuery{
		"cname", "organisation", `SELECT id FROM organisations WHERE cname_key = $1`, []any{cnameKey(org.CName)},
	})
}

// cnameKey returns what cnames are compared by; nil for none.
func cnameKey(cname string) *string { return nonEmpty(hostKey(cname)) }

func (s *Store) insertOrganisation(ctx context.Context, db querier, org Organisation) (id string, err error) {
	org.ID = s.ids.Object()
	sql, args := org.columns().insert("organisations")
	return org.ID, execRow(ctx, db, sql, args...)
}

// ImportOrganisation stores an organisation with its ID, and replaces the one that has the ID, unless it is the same.
// Without an ID it is a new one. ImportOrganisation returns the ID, or ErrConflict if the cname is taken.
func (s *Store) ImportOrganisation(ctx context.Context, org Organisation) (id string, err error) {
	defer wrap("import organisation", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	if org.ID == "" {
		return s.createOrganisation(ctx, org)
	}
	sql, args := org.columns().upsert("organisations", "id")
	err = s.announcingRows(ctx, EventChange, sql+` WHERE organisations.document::text <> excluded.document::text
		OR organisations.cname_key IS DISTINCT FROM excluded.cname_key
		OR organisations.sso_enabled <> excluded.sso_enabled`, args...)
	return org.ID, s.cnameOwner(ctx, org, err)
}

// ReplaceOrganisation replaces an organisation. It returns ErrNotFound if there is no such organisation, and
// ErrConflict if the cname is taken.
func (s *Store) ReplaceOrganisation(ctx context.Context, org Organisation) (err error) {
	defer wrap("replace organisation", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	err = s.announcingChange(ctx, func(tx pgx.Tx) error { return updateOrganisation(ctx, tx, org) })
	return s.cnameOwner(ctx, org, err)
}

func updateOrganisation(ctx context.Context, db querier, org Organisation) error {
	sql, args := org.columns().update("organisations", org.ID)
	return execRow(ctx, db, sql, args...)
}

// EditOrganisation replaces an organisation by what edit returns for it, without a chance for others to change it
// meanwhile. It returns ErrNotFound if there is no such organisation, and ErrConflict if the cname is taken.
func (s *Store) EditOrganisation(ctx context.Context, id string, edit func(Row) Organisation) (err error) {
	defer wrap("edit organisation", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	var org Organisation
	err = s.announcingChange(ctx, func(tx pgx.Tx) error {
		row, err := queryRow[Row](ctx, tx, `SELECT id, document FROM organisations WHERE id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		org = edit(row)
		org.ID = id
		return updateOrganisation(ctx, tx, org)
	})
	return s.cnameOwner(ctx, org, err)
}

// DeleteOrganisation deletes an organisation and everything that belongs to it, or returns ErrNotFound.
func (s *Store) DeleteOrganisation(ctx context.Context, id string) (err error) {
	defer wrap("delete organisation", &err)
	ctx = mayTakeLong(ctx) // it may wait for an import
	// It may deadlock with requests that write what belongs to the organisation: inTx runs it again.
	return s.announcingChange(ctx, func(tx pgx.Tx) error {
		// Nothing is inserted into the organisation from here on: a key would be deleted without a trace.
		if err := execRow(ctx, tx, `SELECT FROM organisations WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		key := OrgKeyChange{OrgKey: OrgKey{OrgID: id}}
		if err := writeOrgKey(ctx, tx, key); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return execRow(ctx, tx, `DELETE FROM organisations WHERE id = $1`, id)
	})
}

// Organisation returns an organisation, or ErrNotFound.
func (s *Store) Organisation(ctx context.Context, id string) (row Row, err error) {
	defer wrap("get organisation", &err)
	return s.organisations.do(ctx, id)
}

func organisationByID() lookup[Row] {
	return lookup[Row]{
		single: func(ctx context.Context, db querier, id string) (Row, error) {
			return queryRow[Row](ctx, db, `SELECT id, document FROM organisations WHERE id = $1`, id)
		},
		many: func(ctx context.Context, db querier, ids []string) ([]Row, error) {
			return queryRows[Row](ctx, db, `SELECT id, document FROM organisations WHERE id = ANY ($1)`, ids)
		},
		key: func(r Row) string { return r.ID },
	}
}

// OrganisationFilter selects organisations of a list.
type OrganisationFilter struct {
	// Text selects those that have it in the beginning of their name, slug or cname, whatever the case, and the one with
	// this ID; "" selects all.
	Text string
	Page Page
}

// where returns the conditions of the filter, as APIFilter.where does.
func (f OrganisationFilter) where() (conditions, pgx.StrictNamedArgs) {
	if f.Text == "" {
		return nil, pgx.StrictNamedArgs{}
	}
	return conditions{`(strpos(search, lower(@text)) > 0 OR id = lower(@text))`}, pgx.StrictNamedArgs{"text": f.Text}
}

// order has a search find the rows of a page in an index (migrations/022_overview.sql) before it reads their documents.
func (f OrganisationFilter) order() string {
	if f.Text == "" {
		return ""
	}
	return `position`
}

// Organisations lists organisations, oldest first.
func (s *Store) Organisations(ctx context.Context, f OrganisationFilter) iter.Seq2[Row, error] {
	where, args := f.where()
	return listQuery[Row]{
		operation: "list organisations", columns: `id, document`, table: `organisations`,
		where: where, args: args, page: f.Page, order: f.order(), scan: scanRow,
	}.rows(ctx, s.pool)
}

// CountOrganisations counts the organisations of all pages.
func (s *Store) CountOrganisations(ctx context.Context, f OrganisationFilter) (n int, err error) {
	defer wrap("count organisations", &err)
	where, args := f.where()
	return countRows(ctx, s.pool, `organisations`+where.sql(), args)
}

// HasOrganisations reports whether there is an organisation.
func (s *Store) HasOrganisations(ctx context.Context) (exist bool, err error) {
	defer wrap("find an organisation", &err)
	return queryValue[bool](ctx, s.pool, `SELECT EXISTS (SELECT FROM organisations)`)
}

// Bootstrap stores the first organisation, with a new ID, and a user of it. It returns ErrConflict if there is an
// organisation. Of two calls at the same time, the second returns it.
func (s *Store) Bootstrap(ctx context.Context, org Organisation, user UserParams) (u User, err error) {
	defer wrap("bootstrap", &err)
	err = s.announcingChange(ctx, func(tx pgx.Tx) error {
		// Organisations are neither inserted nor changed meanwhile.
		if _, err := tx.Exec(ctx, `LOCK TABLE organisations IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		exist, err := queryValue[bool](ctx, tx, `SELECT EXISTS (SELECT FROM organisations)`)
		if err != nil {
			return err
		}
		if exist {
			return ErrConflict
		}
		id, err := s.insertOrganisation(ctx, tx, org)
		if err != nil {
			return err
		}
		user.OrgID = &id
		u, err = s.insertUser(ctx, tx, user)
		return err
	})
	return u, err
}

// SSOEnabled reports whether the users of an organisation may create nonces, or returns ErrNotFound.
func (s *Store) SSOEnabled(ctx context.Context, orgID string) (enabled bool, err error) {
	defer wrap("get sso_enabled", &err)
	return queryValue[bool](ctx, s.pool, `SELECT sso_enabled FROM organisations WHERE id = $1`, orgID)
}
