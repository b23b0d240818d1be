package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"gatehouse/apiserver"
	"gatehouse/store"
)

// auditRetentionInterval is the time between two deletions of events that have expired.
const auditRetentionInterval = time.Minute

// FlushAudit stores the audit events of the last requests, and drops what the database does not accept at once. It is
// for after the last request: Run stores events regularly.
func (s *Server) FlushAudit(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAuditTimeout)
	defer cancel()
	s.trail.flush(last, last)
	if left := s.trail.waiting(); left > 0 {
		s.trail.drop(left, errAuditNotWritten)
	}
}

// deleteAuditEvents deletes events that have expired until ctx ends.
func (s *Server) deleteAuditEvents(ctx context.Context) {
	tick := time.NewTicker(auditRetentionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.store.DeleteAuditEvents(ctx, s.now().Add(-s.auditLog.Retention)); err != nil {
			s.log.Warn("delete expired audit events failed", "err", err)
		}
	}
}

// storeAudit has the line of a request stored, if it was authenticated: nobody else makes the database grow.
func (s *Server) storeAudit(r *request, line []slog.Attr) {
	if s.auditLog.Retention <= 0 || !isAuthenticated(r.Echo) {
		return
	}
	event := auditEventOf(line)
	event.At, event.Method, event.URL = s.now(), apiserver.LoggedMethod(r.Echo.Request().Method), loggedPath(r)
	if isNamed(r) {
		event.Actor = storedText(apiserver.LoggedText(r.caller.user.EmailAddress))
	}
	s.trail.add(event)
}

// isNamed reports whether a request has a caller with an e-mail address that they are known to have. The address of a
// nonce that anybody but an administrator has made may be another's.
func isNamed(r *request) bool {
	claimed := r.session != nil && r.session.Granted != nil
	return !claimed && r.caller.authenticated() && r.caller.user.EmailAddress != ""
}

// auditEventOf returns a line of the audit log as it is stored. What has no column of its own is in the details.
func auditEventOf(line []slog.Attr) store.AuditEvent {
	var event store.AuditEvent
	columns := map[string]*string{
		"req_id": &event.ReqID, "ip": &event.IP, "who": &event.Who, "user": &event.UserID, "org_id": &event.OrgID,
		"action": &event.Action, "object": &event.Object, "object_id": &event.ObjectID, "outcome": &event.Outcome,
	}
	details := map[string]any{}
	for _, attr := range line {
		column, known := columns[attr.Key]
		switch {
		case known:
			*column = storedText(apiserver.LoggedText(attr.Value.String()))
		case attr.Key == "status":
			event.Status = int(attr.Value.Int64())
		case attr.Value.Kind() == slog.KindString:
			details[attr.Key] = storedText(attr.Value.String())
		default:
			details[attr.Key] = attr.Value.Any()
		}
	}
	event.Actor = event.UserID
	if event.Actor == "" {
		event.Actor = event.Who
	}
	var err error
	if event.Details, err = json.Marshal(details); err != nil { // of a value that is no text, number or time
		event.Details = json.RawMessage(`{}`)
	}
	return event
}

// storedText returns a text without NUL, which Postgres does not store: one would cost the other events of the batch.
func storedText(text string) string { return strings.ReplaceAll(text, "\x00", "?") }

// loggedPath returns the path of a request, with fingerprints in place of parameters that may be secrets.
func loggedPath(r *request) string {
	path := strings.Split(r.Operation.Path, "/")
	for i, segment := range path {
		name, isParameter := strings.CutPrefix(segment, "{")
		if !isParameter {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		value := r.PathParam(name)
		if objectsInPaths[name] == "" && (name != "keyId" || r.Operation.Scheme != adminScheme) {
			value = fingerprint(value)
		}
		path[i] = apiserver.LoggedText(value)
	}
	return storedText(strings.Join(path, "/"))
}
