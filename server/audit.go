package server

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/importer"
)

// changedByGET are the operations that change something although their method is GET. A HEAD request to them changes
// nothing.
var changedByGET = map[string]bool{
	"reloadURLs": true, "registerNode": true, "redeemDashboardNonce": true, "redeemPortalNonce": true,
}

// unchanging are the operations that change nothing although their method is not GET: they report an event, search, or
// have nothing to license.
var unchanging = map[string]bool{
	"triggerQuota": true, "searchUser": true, "checkText": true, "setLicense": true, "setAdminLicense": true,
}

// changes reports whether a request may change something.
func changes(r *request) bool {
	if r.Operation.Method == http.MethodGet {
		return changedByGET[r.Operation.ID] && !r.IsHead()
	}
	return !unchanging[r.Operation.ID]
}

// audit writes a line to the audit log if the request changes something or was refused to, unless it sums up refused
// requests of the client. It is called before the response is sent, so that no client has the response to a change that
// the audit log lacks, and writes one line for a request however often it is called. The line has no secrets: of the
// body it has IDs and email addresses only. Refusals are counted as well.
func (s *Server) audit(r *request, reply contract.Reply, more ...slog.Attr) {
	if r.audited || !changes(r) {
		return
	}
	c := r.Echo
	r.audited = true
	s.metrics.refused(r, reply)
	if s.auditLog.Log == nil {
		return
	}
	if reply.Response.Status >= http.StatusBadRequest && !s.isListed(c) {
		s.lines.AddChange(s.networkOf(c))
		return
	}
	line := s.auditLine(r, reply, more)
	s.storeAudit(r, line)
	record := slog.NewRecord(s.now(), slog.LevelInfo, "audit", 0)
	record.AddAttrs(line...)
	ctx := context.WithoutCancel(r.Context()) // a client that is gone has changed something, too
	if err := s.auditLog.Log.Handler().Handle(ctx, record); err != nil {
		s.log.Error("write audit log failed, the line follows", "err", err)
		_ = s.log.Handler().Handle(ctx, record) // there is nowhere else to write it to
	}
}

// auditLine returns what the audit log has of a request.
func (s *Server) auditLine(r *request, reply contract.Reply, more []slog.Attr) []slog.Attr {
	c := r.Echo
	line := slices.Concat(
		[]slog.Attr{
			slog.String("req_id", c.Response().Header().Get(echo.HeaderXRequestID)), slog.String("ip", c.RealIP()),
		},
		whoOf(r), []slog.Attr{slog.String("action", r.Operation.ID)}, s.objectOf(r, reply).attrs(), r.otherObjects(),
		[]slog.Attr{slog.String("outcome", string(reply.Outcome)), slog.Int("status", reply.Response.Status)}, more,
	)
	if s.auditLog.Detailed {
		line = append(line, detailsOf(c)...)
	}
	return line
}

// auditImport is audit for an import, whose reply does not have its result.
func (s *Server) auditImport(r *request, reply contract.Reply, result *importer.Result) {
	imported, refused, ids := 0, 0, make([]string, 0, maxAuditIDs)
	for id, ok := range result.All() {
		if !ok {
			refused++
			continue
		}
		imported++
		if len(ids) < maxAuditIDs {
			ids = append(ids, id)
		}
	}
	s.audit(r, reply, slog.Int("imported", imported), slog.Int("refused", refused), auditIDs(ids))
}

// maxAuditIDs is the number of documents that a line names: a line of an import of 100,000 must remain a line.
const maxAuditIDs = 20

// auditIDs returns the IDs of several documents.
func auditIDs(ids []string) slog.Attr {
	logged := make([]string, 0, maxAuditIDs)
	for _, id := range ids[:min(len(ids), maxAuditIDs)] {
		logged = append(logged, apiserver.LoggedText(id))
	}
	return slog.String("ids", strings.Join(logged, " "))
}

// otherObjects returns what a request has changed beside its object: the base of a new version, and APIs that were
// deleted as versions.
func (r *request) otherObjects() (attrs []slog.Attr) {
	if r.base != "" {
		attrs = append(attrs, slog.String("base", apiserver.LoggedText(r.base)))
	}
	if r.deleted != nil {
		attrs = append(attrs, slog.Int("deleted", len(r.deleted)), auditIDs(r.deleted))
	}
	return attrs
}

// whoOf returns the sender of a request: a user, a client that has a secret, or "nobody" if it was not authenticated.
func whoOf(r *request) []slog.Attr {
	if r.operator {
		who := []slog.Attr{slog.String("who", "operator")}
		if r.caller.authenticated() && r.caller.user.OrgID != "" {
			who = append(who, slog.String("org_id", r.caller.user.OrgID))
		}
		return who
	}
	if r.caller.authenticated() {
		return []slog.Attr{
			slog.String("who", "user"), slog.String("user", r.caller.user.ID), slog.String("org_id", r.caller.user.OrgID),
		}
	}
	name := map[string]string{adminScheme: "admin_secret", nodeScheme: "node_secret"}[r.Operation.Scheme]
	switch r.secret {
	case 0:
		name = "nobody"
	case 1:
	default:
		name = "second_" + name
	}
	who := []slog.Attr{slog.String("who", name)}
	if id := r.Header("X-Tyk-Nodeid"); r.secret != 0 && r.Operation.Scheme == nodeScheme && id != "" {
		who = append(who, slog.String("node", apiserver.LoggedText(id)))
	}
	return who
}

// auditObject is what a request is about.
type auditObject struct{ kind, id, newID, email string }

func (o auditObject) attrs() []slog.Attr {
	var attrs []slog.Attr
	for _, each := range []slog.Attr{
		slog.String("object", o.kind), slog.String("object_id", o.id), slog.String("new_id", o.newID),
		slog.String("email", o.email),
	} {
		if value := each.Value.String(); value != "" {
			attrs = append(attrs, slog.String(each.Key, apiserver.LoggedText(value)))
		}
	}
	return attrs
}

// noteID notes the ID that an object gets, for the audit log.
func (r *request) noteID(current, replaced string) {
	r.renamed = ""
	if replaced != current {
		r.renamed = replaced
	}
}

// objectOf returns what a request is about: what the operation has made, or what the end of the path identifies.
func (s *Server) objectOf(r *request, reply contract.Reply) auditObject {
	names := r.Echo.ParamNames()
	if made := s.objectMade(r, reply); made != (auditObject{}) || len(names) == 0 {
		return made
	}
	name, value := names[len(names)-1], apiserver.PathParam(r.Echo, len(names)-1)
	switch kind := objectsInPaths[name]; {
	case kind != "":
		return auditObject{kind: kind, id: value, newID: r.renamed, email: r.text("email_address")}
	case name == "keyId" && r.Operation.Scheme == adminScheme:
		return auditObject{kind: "organisation_key", id: value} // the ID of the organisation
	default:
		return auditObject{kind: "key", id: fingerprint(value)}
	}
}

// objectMade returns what an operation has made that its path does not identify. If it has made nothing, it is what the
// body asks for.
func (s *Server) objectMade(r *request, reply contract.Reply) auditObject {
	if made, special := objectsMade[r.Operation.ID]; special {
		return made(r, reply)
	}
	return auditObject{kind: s.kindStored[r.Operation.ID], id: r.made}
}

// detailsOf returns what describes a request, without values that may be secrets: a query may have a nonce, and a path
// the key of an API.
func detailsOf(c echo.Context) []slog.Attr {
	r := c.Request()
	return []slog.Attr{
		slog.String("method", r.Method), slog.String("route", c.Path()), slog.Int64("length", r.ContentLength),
		slog.String("user_agent", apiserver.LoggedText(r.UserAgent())),
	}
}
