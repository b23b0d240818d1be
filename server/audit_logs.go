package server

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// GetAuditLogs implements dashboard.Handlers.
func (s *Server) GetAuditLogs(r *request, params dashboard.GetAuditLogsParams) dashboard.GetAuditLogsReply {
	var reply dashboard.GetAuditLogsReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	filter, err := toAuditFilter(params)
	if err != nil {
		return reply.BadParameter(err)
	}
	filter.OrgID, filter.Page = caller.scope(), s.page(params.P, firstPage)
	if filter.OrgID == nil {
		filter.OrgID = params.OrgId
	}
	shown := list[store.AuditEvent]{name: "audit_logs", pages: "pages", encode: encodeAuditLog}
	if valueOf(params.Download) {
		shown = auditFile(valueOf(params.Type))
		filter.Page = s.page(nil, everything)
	}
	ctx := r.Context()
	s.trail.flush(context.WithoutCancel(ctx), ctx) // the events of others are not given up with this request
	shown.page, shown.rows = filter.Page, s.store.AuditEvents(ctx, filter)
	shown.count = func() (int, error) { return s.store.CountAuditEvents(ctx, filter) }
	return replyList(s, r, reply, shown)
}

// GetAuditLog implements dashboard.Handlers.
func (s *Server) GetAuditLog(r *request, auditLogID dashboard.AuditLogID) dashboard.GetAuditLogReply {
	var reply dashboard.GetAuditLogReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	event, err := s.store.AuditEvent(r.Context(), auditLogID, caller.scope())
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK(toAuditLog(event))
}

// toAuditFilter returns an apiserver.MalformedError for a date that is none.
func toAuditFilter(params dashboard.GetAuditLogsParams) (store.AuditFilter, error) {
	filter := store.AuditFilter{
		Actor: valueOf(params.User), Action: valueOf(params.Action), IP: valueOf(params.Ip), Method: valueOf(params.Method),
		URL: valueOf(params.Url), Object: valueOf(params.Object), ObjectID: valueOf(params.ObjectId),
		Outcome: valueOf(params.Outcome), Status: valueOf(params.Status),
	}
	var err error
	if from := valueOf(params.FromDate); from != "" {
		if filter.From, err = time.Parse(time.DateOnly, from); err != nil {
			return filter, apiserver.MalformedAt(contract.Pointer("from_date"), "is no day", err)
		}
	}
	if to := valueOf(params.ToDate); to != "" {
		last, err := time.Parse(time.DateOnly, to)
		if err != nil {
			return filter, apiserver.MalformedAt(contract.Pointer("to_date"), "is no day", err)
		}
		filter.Before = last.AddDate(0, 0, 1)
	}
	return filter, nil
}

func toAuditLog(event store.AuditEvent) dashboard.AuditLog {
	return dashboard.AuditLog{
		UnderscoreId: strconv.FormatInt(event.Position, 10), ReqId: event.ReqID, OrgId: event.OrgID,
		Date: event.At.UTC().Format(time.RFC1123), Timestamp: int(event.At.Unix()), Ip: event.IP, User: event.Actor,
		Action: event.Action, Method: event.Method, Url: event.URL, Status: event.Status, Who: event.Who,
		UserId: event.UserID, Object: event.Object, ObjectId: event.ObjectID, Outcome: event.Outcome, Details: event.Details,
	}
}

func encodeAuditLog(event store.AuditEvent) (json.RawMessage, error) {
	return apiserver.AppendJSON(nil, toAuditLog(event))
}

// auditFile returns a list that is sent as a file of a type.
func auditFile(fileType dashboard.GetAuditLogsParamsType) list[store.AuditEvent] {
	if fileType != dashboard.GetAuditLogsParamsTypeCsv {
		return list[store.AuditEvent]{
			encode: encodeAuditLog,
			file:   &apiserver.ListFile{Name: "audit-logs.json", MediaType: echo.MIMEOctetStream},
		}
	}
	return list[store.AuditEvent]{
		encode: func(event store.AuditEvent) (json.RawMessage, error) {
			return auditCSV(toAuditLog(event)), nil
		},
		file: &apiserver.ListFile{
			Name: "audit-logs.csv", MediaType: echo.MIMEOctetStream, Lines: true, Head: string(csvLine(auditColumns)),
		},
	}
}

// auditColumns are the columns of a file in CSV, which auditCSV fills.
var auditColumns = []string{
	"_id", "req_id", "org_id", "date", "timestamp", "ip", "user", "action", "method", "url", "status", "who", "user_id",
	"object", "object_id", "outcome", "details",
}

// auditCSV returns the line of an event in CSV.
func auditCSV(e dashboard.AuditLog) []byte {
	return csvLine([]string{
		e.UnderscoreId, e.ReqId, e.OrgId, e.Date, strconv.Itoa(e.Timestamp), e.Ip, e.User, e.Action, e.Method, e.Url,
		strconv.Itoa(e.Status), e.Who, e.UserId, e.Object, e.ObjectId, e.Outcome, string(e.Details),
	})
}

// csvLine returns a line of CSV. A cell that a spreadsheet would take for a formula has an apostrophe before it.
func csvLine(cells []string) []byte {
	safe := make([]string, 0, len(cells))
	for _, cell := range cells {
		if strings.IndexAny(cell, "=+-@\t\r") == 0 {
			cell = "'" + cell
		}
		safe = append(safe, cell)
	}
	var line bytes.Buffer
	out := csv.NewWriter(&line)
	_ = out.Write(safe) // a buffer accepts everything
	out.Flush()
	return line.Bytes()
}
