package store

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// maxAuditEvents is the number of audit events that are kept: some 800 MB with their indexes. A page of the newest is
// read in milliseconds, whatever the number is; a filter without an index that finds nothing reads all of an
// organisation, in a second or less.
const maxAuditEvents = 1_000_000

// AuditEvent is a request that has changed something, or was refused to.
type AuditEvent struct {
	// Position numbers the events in the order in which they were written. It is set by WriteAuditEvents.
	Position int64
	At       time.Time
	ReqID    string
	IP       string
	// Who is the kind of caller, Actor what names the caller, and UserID the user, if the caller is one.
	Who, Actor, UserID string
	// OrgID is the organisation of the caller, "" for super users and for callers that are no users.
	OrgID            string
	Action           string
	Object, ObjectID string
	Outcome          string
	Status           int
	Method, URL      string
	// Details is an object with what else is known.
	Details json.RawMessage
}

const auditColumns = `at, req_id, ip, who, actor, user_id, org_id, action, object, object_id, outcome, status, method,
	url, details`

// WriteAuditEvents stores events, in one statement. If it returns an error that wraps ErrUnavailable, none was stored.
func (s *Store) WriteAuditEvents(ctx context.Context, events []AuditEvent) (err error) {
	defer wrap("write audit events", &err)
	at, status := make([]time.Time, 0, len(events)), make([]int, 0, len(events))
	for _, e := range events {
		at, status = append(at, e.At), append(status, e.Status)
	}
	args := pgx.StrictNamedArgs{"at": at, "status": status}
	for name, of := range auditTexts() {
		column := make([]string, 0, len(events))
		for _, e := range events {
			column = append(column, of(e))
		}
		args[name] = column
	}
	_, err = s.pool.Exec(ctx, `
		INSERT INTO audit_events (`+auditColumns+`)
		SELECT at, req_id, ip, who, actor, user_id, org_id, action, object, object_id, outcome, status, method, url,
			details::json
		FROM unnest(
			@at::timestamptz[], @req_id::text[], @ip::text[], @who::text[], @actor::text[], @user_id::text[],
			@org_id::text[], @action::text[], @object::text[], @object_id::text[], @outcome::text[], @status::integer[],
			@method::text[], @url::text[], @details::text[]
		) AS event (`+auditColumns+`)`, args)
	return err
}

// auditTexts returns the columns that are texts, with their values.
func auditTexts() map[string]func(AuditEvent) string {
	return map[string]func(AuditEvent) string{
		"req_id":    func(e AuditEvent) string { return e.ReqID },
		"ip":        func(e AuditEvent) string { return e.IP },
		"who":       func(e AuditEvent) string { return e.Who },
		"actor":     func(e AuditEvent) string { return e.Actor },
		"user_id":   func(e AuditEvent) string { return e.UserID },
		"org_id":    func(e AuditEvent) string { return e.OrgID },
		"action":    func(e AuditEvent) string { return e.Action },
		"object":    func(e AuditEvent) string { return e.Object },
		"object_id": func(e AuditEvent) string { return e.ObjectID },
		"outcome":   func(e AuditEvent) string { return e.Outcome },
		"method":    func(e AuditEvent) string { return e.Method },
		"url":       func(e AuditEvent) string { return e.URL },
		"details":   func(e AuditEvent) string { return string(e.Details) },
	}
}

// AuditFilter selects audit events. A field that is zero selects all.
type AuditFilter struct {
	OrgID *string // nil: all
	// Actor is compared in any case, Method as well. URL is a part of the path.
	Actor, Action, IP, Method, URL, Object, ObjectID, Outcome string
	Status                                                    int
	// From and Before bound At: From <= At < Before.
	From, Before time.Time
	Page         Page
}

// conditions returns the conditions of the filter, and their arguments.
func (f AuditFilter) conditions() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(f.OrgID)
	add := func(isSet bool, condition, name string, value any) {
		if isSet {
			where = append(where, condition)
			args[name] = value
		}
	}
	for _, each := range []struct{ name, condition, value string }{
		{"actor", `lower(actor) = lower(@actor)`, f.Actor},
		{"action", `action = @action`, f.Action},
		{"ip", `ip = @ip`, f.IP},
		{"method", `method = upper(@method)`, f.Method},
		{"url", `strpos(url, @url) > 0`, f.URL},
		{"object", `object = @object`, f.Object},
		{"object_id", `object_id = @object_id`, f.ObjectID},
		{"outcome", `outcome = @outcome`, f.Outcome},
	} {
		add(each.value != "", each.condition, each.name, each.value)
	}
	add(f.Status != 0, `status = @status::bigint`, "status", f.Status)
	if f.Outcome != "" && f.Outcome != "ok" {
		where = append(where, `outcome <> 'ok'`) // for the index
	}
	if f.Status != 0 && f.Status != http.StatusOK {
		where = append(where, `status <> 200`) // for the index
	}
	add(!f.From.IsZero(), `at >= @from`, "from", f.From)
	add(!f.Before.IsZero(), `at < @before`, "before", f.Before)
	return where, args
}

// AuditEvents lists audit events, newest first.
func (s *Store) AuditEvents(ctx context.Context, f AuditFilter) iter.Seq2[AuditEvent, error] {
	where, args := f.conditions()
	return listQuery[AuditEvent]{
		operation: "list audit events", columns: auditColumns, table: `audit_events`,
		where: where, args: args, page: f.Page, order: `at DESC`, scan: scanAuditEvent,
	}.rows(ctx, s.pool)
}

func scanAuditEvent(row pgx.Rows, memory *chunkMemory, at *place) (e AuditEvent, err error) {
	var details pgtype.DriverBytes
	err = row.Scan(&e.At, &e.ReqID, &e.IP, &e.Who, &e.Actor, &e.UserID, &e.OrgID, &e.Action, &e.Object, &e.ObjectID,
		&e.Outcome, &e.Status, &e.Method, &e.URL, &details, &at.Position, &at.LastPosition)
	e.Position, e.Details = at.Position, memory.clone(details)
	return e, err
}

// countedAuditEvents is how many audit events are counted behind a page: counting a million takes a hundred times as
// long as reading a page.
const countedAuditEvents = 10_000

// CountAuditEvents counts the audit events of all pages, as far as they are no more than countedAuditEvents behind that
// of the filter. So it returns more than what the page ends with if there is more.
func (s *Store) CountAuditEvents(ctx context.Context, f AuditFilter) (n int, err error) {
	defer wrap("count audit events", &err)
	where, args := f.conditions()
	args["limit"] = nil
	if f.Page.Number >= 1 {
		args["limit"] = f.Page.start().offset + int64(f.Page.Size) + countedAuditEvents
	}
	return countRows(ctx, s.pool, `(SELECT FROM audit_events`+where.sql()+` LIMIT @limit) AS counted`, args)
}

// AuditEvent returns the audit event at a position, in decimal. If orgID is not nil, it must be one of that
// organisation. Otherwise, and if there is no such event, AuditEvent returns ErrNotFound.
func (s *Store) AuditEvent(ctx context.Context, position string, orgID *string) (e AuditEvent, err error) {
	defer wrap("get audit event", &err)
	where, args := ofOrganisation(orgID)
	if args["position"], err = strconv.ParseInt(position, 10, 64); err != nil {
		return AuditEvent{}, ErrNotFound
	}
	return queryRow[AuditEvent](ctx, s.pool,
		`SELECT position, `+auditColumns+` FROM audit_events`+append(where, `position = @position`).sql(), args)
}

// DeleteAuditEvents deletes the audit events from before a time, and of those that are more than maxAuditEvents the
// oldest of whoever has most: nobody can make others' events vanish. Servers that do so at once delete different ones.
func (s *Store) DeleteAuditEvents(ctx context.Context, before time.Time) (err error) {
	defer wrap("delete audit events", &err)
	return s.deleteAuditEvents(ctx, before, maxAuditEvents)
}

func (s *Store) deleteAuditEvents(ctx context.Context, before time.Time, limit int) error {
	err := s.deleteInPieces(ctx, `
		DELETE FROM audit_events WHERE position = ANY (ARRAY(
			SELECT position FROM audit_events WHERE at < $1
			ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`, before)
	if err != nil {
		return err
	}
	return s.deleteSurplusAuditEvents(ctx, limit)
}

// auditParty is who has sent a number of events: the users of an organisation, or the callers of a kind.
type auditParty struct {
	OrgID, Who string
	Surplus    int
}

// deleteSurplusAuditEvents deletes events until limit are left. Positions have gaps, and few: while they span no more
// than limit, nothing is counted.
func (s *Store) deleteSurplusAuditEvents(ctx context.Context, limit int) error {
	for {
		span, err := queryValue[int64](ctx, s.pool,
			`SELECT coalesce(max(position) - min(position) + 1, 0) FROM audit_events`)
		if err != nil || span <= int64(limit) {
			return err
		}
		largest, err := queryRows[auditParty](mayTakeLong(ctx), s.pool, `
			SELECT org_id, who, least(n, (sum(n) OVER ()) - $1, $2)::integer AS surplus
			FROM (SELECT org_id, who, count(*) AS n FROM audit_events GROUP BY org_id, who) AS parties
			ORDER BY n DESC LIMIT 1`, limit, maxSurplus)
		if err != nil || len(largest) == 0 || largest[0].Surplus <= 0 {
			return err
		}
		if deleted, err := s.deleteOldestOf(ctx, largest[0]); err != nil || deleted == 0 {
			return err
		}
	}
}

// maxSurplus is how many events are deleted of one party before the parties are counted again.
const maxSurplus = 20 * deletedAtOnce

// deleteOldestOf deletes the surplus of a party, as far as no other server does, and returns how many events it has
// deleted.
func (s *Store) deleteOldestOf(ctx context.Context, p auditParty) (deleted int, err error) {
	for deleted < p.Surplus {
		tag, err := s.pool.Exec(ctx, `
			DELETE FROM audit_events WHERE position = ANY (ARRAY(
				SELECT position FROM audit_events WHERE org_id = $1 AND who = $2
				ORDER BY at LIMIT $3 FOR UPDATE SKIP LOCKED))`, p.OrgID, p.Who, min(p.Surplus-deleted, deletedAtOnce))
		if err != nil || tag.RowsAffected() == 0 {
			return deleted, err
		}
		deleted += int(tag.RowsAffected())
	}
	return deleted, nil
}
