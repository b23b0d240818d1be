package server

import (
	"encoding/json"
	"strconv"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// portalDeveloper has the e-mail address, whatever its case, as its public ID.
var portalDeveloper = objectKind{
	name: "portal_developer", create: "createPortalDeveloper", id: "id",
	prepare: func(s *Server, draft *objectDraft, stored store.Object) {
		draft.PublicID = strings.ToLower(jsondoc.String(draft.Document, "email"))
		draft.LookUp = jsondoc.String(draft.Document, "sso_key")
		draft.setTimeOnce("date_created", stored, s.now())
		updated := jsondoc.String(stored.Document, "password_updated")
		switch {
		case draft.PasswordHash != stored.PasswordHash:
			draft.setTime("password_updated", s.now())
		case updated != "":
			draft.set("password_updated", updated)
		}
	},
}

// portalRequest is found by whether it is approved.
var portalRequest = objectKind{
	name: "portal_request", create: "createKeyRequest", id: "id",
	prepare: func(s *Server, draft *objectDraft, stored store.Object) {
		draft.LookUp = strconv.FormatBool(jsondoc.Bool(draft.Document, false, "approved"))
		draft.setTimeOnce("date_created", stored, s.now())
	},
}

// passwordMember is the member of a developer that is not stored as it was sent, whatever its case.
const passwordMember = "password"

// takePassword takes the password off a document, "" if it has none.
func takePassword(doc json.RawMessage) (_ json.RawMessage, newPassword string) {
	isPassword := func(name string) bool { return strings.EqualFold(name, passwordMember) }
	for _, member := range jsondoc.Members(doc) {
		if isPassword(member.Name) {
			newPassword = ""
			_ = json.Unmarshal(member.Value, &newPassword) // a value of another type is no password
		}
	}
	return jsondoc.WithoutAny(doc, isPassword), newPassword
}

// protectPassword replaces the password in the document of a developer by its hash. Developers of one organisation wait
// for each other: they do not delay those of others.
func (s *Server) protectPassword(r *request, developer store.Object) (store.Object, error) {
	doc, newPassword := takePassword(developer.Document)
	developer.Document = doc
	switch {
	case newPassword == "":
		return developer, nil
	case len(newPassword) > maxPassword:
		return developer, apiserver.MalformedAt(contract.Pointer(passwordMember), "is too long", nil)
	}
	var err error
	developer.PasswordHash, err = s.hashPassword(r.Context(), "developers of "+developer.OrgID, newPassword)
	return developer, err
}

// emailConflict is the reply to a developer whose e-mail address another one has.
func emailConflict[R any](replies interface{ Conflict(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R {
		return replies.Conflict(memberConflict(cause, "email", "developer"))
	}, store.ErrConflict)
}

// GetPortalDevelopers implements dashboard.Handlers.
func (s *Server) GetPortalDevelopers(
	r *request, params dashboard.GetPortalDevelopersParams,
) dashboard.GetPortalDevelopersReply {
	filter := store.ObjectFilter{Kind: portalDeveloper.name, Page: s.page(params.P, firstPage)}
	return replyObjects(s, r, dashboard.GetPortalDevelopersReplies{}, filter)
}

// CreatePortalDeveloper implements dashboard.Handlers.
func (s *Server) CreatePortalDeveloper(r *request) dashboard.CreatePortalDeveloperReply {
	var reply dashboard.CreatePortalDeveloperReplies
	developer, err := s.newObject(r)
	if err == nil {
		developer, err = s.protectPassword(r, developer)
	}
	if err == nil {
		developer, err = s.create(r, portalDeveloper, developer)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), emailConflict(reply), tooManyAttempts(reply))
	}
	return reply.OK(developer.ID)
}

// GetPortalDeveloper implements dashboard.Handlers.
func (s *Server) GetPortalDeveloper(
	r *request, developerID dashboard.DeveloperID,
) dashboard.GetPortalDeveloperReply {
	return replyObject(s, r, dashboard.GetPortalDeveloperReplies{}, portalDeveloper.at(developerID))
}

// GetPortalDeveloperByEmail implements dashboard.Handlers.
func (s *Server) GetPortalDeveloperByEmail(
	r *request, email dashboard.DeveloperEmail, params dashboard.GetPortalDeveloperByEmailParams,
) dashboard.GetPortalDeveloperByEmailReply {
	which := portalDeveloper.of(params.OrgId)
	which.id = strings.ToLower(email)
	return replyObject(s, r, dashboard.GetPortalDeveloperByEmailReplies{}, which)
}

// GetPortalDeveloperBySSOKey implements dashboard.Handlers.
func (s *Server) GetPortalDeveloperBySSOKey(
	r *request, ssoKey dashboard.SSOKey, params dashboard.GetPortalDeveloperBySSOKeyParams,
) dashboard.GetPortalDeveloperBySSOKeyReply {
	which := portalDeveloper.of(params.OrgId)
	which.lookUp = ssoKey
	return replyObject(s, r, dashboard.GetPortalDeveloperBySSOKeyReplies{}, which)
}

// UpdatePortalDeveloper implements dashboard.Handlers.
func (s *Server) UpdatePortalDeveloper(
	r *request, developerID dashboard.DeveloperID,
) dashboard.UpdatePortalDeveloperReply {
	var reply dashboard.UpdatePortalDeveloperReplies
	which := portalDeveloper.at(developerID)
	known, err := s.object(r, which)
	if err == nil {
		known, err = s.protectPassword(r, store.Object{OrgID: known.OrgID, Document: r.Body.JSON})
	}
	if err == nil {
		_, err = s.replace(r, which, known)
	}
	return replyReplaced(reply, err, emailConflict(reply), tooManyAttempts(reply))
}

// DeletePortalDeveloper implements dashboard.Handlers.
func (s *Server) DeletePortalDeveloper(
	r *request, developerID dashboard.DeveloperID,
) dashboard.DeletePortalDeveloperReply {
	err := s.deleteObject(r, portalDeveloper.at(developerID))
	return replyDeleted(dashboard.DeletePortalDeveloperReplies{}, err)
}

// GetKeyRequests implements dashboard.Handlers.
func (s *Server) GetKeyRequests(
	r *request, params dashboard.GetKeyRequestsParams,
) dashboard.GetKeyRequestsReply {
	filter := store.ObjectFilter{Kind: portalRequest.name, Page: s.page(params.P, firstPage)}
	if params.Approved != nil {
		filter.LookUp = strconv.FormatBool(*params.Approved)
	}
	return replyObjects(s, r, dashboard.GetKeyRequestsReplies{}, filter)
}

// CreateKeyRequest implements dashboard.Handlers.
func (s *Server) CreateKeyRequest(r *request) dashboard.CreateKeyRequestReply {
	return replyCreated(s, r, dashboard.CreateKeyRequestReplies{}, portalRequest)
}

// GetKeyRequest implements dashboard.Handlers.
func (s *Server) GetKeyRequest(r *request, requestID dashboard.KeyRequestID) dashboard.GetKeyRequestReply {
	return replyObject(s, r, dashboard.GetKeyRequestReplies{}, portalRequest.at(requestID))
}

// UpdateKeyRequest implements dashboard.Handlers.
func (s *Server) UpdateKeyRequest(r *request, requestID dashboard.KeyRequestID) dashboard.UpdateKeyRequestReply {
	_, err := s.replaceObject(r, portalRequest.at(requestID))
	return replyReplaced(dashboard.UpdateKeyRequestReplies{}, err)
}

// DeleteKeyRequest implements dashboard.Handlers.
func (s *Server) DeleteKeyRequest(r *request, requestID dashboard.KeyRequestID) dashboard.DeleteKeyRequestReply {
	return replyDeleted(dashboard.DeleteKeyRequestReplies{}, s.deleteObject(r, portalRequest.at(requestID)))
}
