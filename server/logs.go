package server

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/labstack/echo/v4"

	"gatehouse/store"
)

// logConflict logs which object has the value that a request wanted for another one.
func (s *Server) logConflict(r *request, conflict *store.ConflictError) {
	s.log.InfoContext(r.Context(), "request refused: conflict",
		"operation", r.Operation.ID, "object", r.LoggedObject(), "member", conflict.Member,
		conflict.Owner, conflict.ID, "request", r.Echo.Response().Header().Get(echo.HeaderXRequestID))
}

// objectsInPaths are the kinds of objects that the parameters of paths identify. A parameter that is not listed is
// logged as a fingerprint, because it may be a secret, as keyId of /api is.
var objectsInPaths = map[string]string{
	"orgID": "organisation", "userId": "user", "apiId": "api", "policyId": "policy", "clientId": "oauth_client",
	"certId":  "certificate",
	"groupId": "user_group", "nodeId": "node", "hostname": "host",
	"assetID": "asset", "hookId": "webhook", "pageId": "portal_page", "documentationId": "portal_documentation",
	"developerId": "portal_developer", "requestId": "portal_request",
	"auditLogId": "audit_log",
}

// fingerprintBytes is how much of the SHA-256 of a key is logged: enough to tell the keys of a system apart.
const fingerprintBytes = 8

// fingerprint returns what identifies a key in logs without being one; "" for "".
func fingerprint(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:fingerprintBytes])
}
