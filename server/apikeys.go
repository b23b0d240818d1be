package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// toKeyData returns a key as the API shows it.
func toKeyData(key gateway.Key, session json.RawMessage) admin.KeyData {
	return admin.KeyData{ApiModel: &admin.ApiModel{}, KeyId: &key.ID, Data: &session, KeyHash: &key.Hash}
}

// keySession is the session of a key that a request sends.
type keySession struct {
	// shown is what the client has sent, of the caller's organisation if it states none.
	shown json.RawMessage
	// grants is shown with the access rights of its policies, if it has none of its own. It is what gateways get.
	grants json.RawMessage
}

// sessionRequest returns the session in the body. current is the session that it replaces, nil for a new key.
// sessionRequest returns errNotOwned if the session refers to what is not the organisation's, an *unrestrictedError if
// it may open every API, and an apiserver.MalformedError for a session that is too large, or that decoders may read in
// different ways.
func (s *Server) sessionRequest(r *request, caller caller, current json.RawMessage) (keySession, error) {
	session := r.Body.JSON
	refs, err := apidef.ReadSessionReferences(session)
	if err != nil {
		return keySession{}, apiserver.MalformedAt("", "cannot be decoded by a gateway", err)
	}
	set, err := apidef.ReadSessionReferences(current)
	if err != nil {
		return keySession{}, err
	}
	orgID := valueOf(caller.scope())
	if refs.OrgIDs == nil {
		session = jsondoc.Set(session, "org_id", jsondoc.Quote(orgID))
	} else {
		orgID = refs.OrgIDs[0]
	}
	if orgID == "" || !caller.canAccess(orgID) || refersToOthers(refs, set, orgID) {
		return keySession{}, errNotOwned
	}
	if owned, err := s.store.OwnsAPIs(r.Context(), orgID, refs.APIIDs); err != nil || !owned {
		return keySession{}, cmp.Or(err, errNotOwned)
	}
	if len(refs.PolicyIDs) > maxKeyPolicies {
		return keySession{}, errTooManyPolicies
	}
	policies, err := s.keyPolicies(r.Context(), orgID, refs.PolicyIDs, refs.RightsOf != nil)
	switch {
	case err != nil:
		return keySession{}, err
	case refs.Unrestricted:
		return keySession{}, unrestrictedAt("/access_rights", "names no API, and apply_policies no policy")
	case refs.Ambiguous != nil:
		return keySession{}, apiserver.Malformed(nil, refs.Ambiguous...)
	case len(session) > maxSession(refs):
		return keySession{}, errSessionTooLarge
	case refs.RightsOf == nil:
		return keySession{shown: session, grants: session}, nil
	}
	return withRights(session, policies, refs.RightsOf)
}

// A session is at most so large: gateways keep it in their Redis, which all organisations share, and read it with each
// request. The rights of an API have some two hundred bytes.
const (
	maxSessionBytes = 64 << 10
	bytesPerRight   = 1 << 10
)

// maxKeyPolicies is how many policies a session may name: the rights of all are read to store it.
const maxKeyPolicies = 100

var errTooManyPolicies = apiserver.MalformedAt(
	"/apply_policies", fmt.Sprintf("has more than %d policies", maxKeyPolicies), nil)

var errSessionTooLarge = apiserver.MalformedAt("", fmt.Sprintf(
	"is too large: a session has at most %d KiB, and %d KiB for each API in access_rights",
	maxSessionBytes>>10, bytesPerRight>>10), nil)

// maxSession returns how many bytes a session may have that refers to this.
func maxSession(refs apidef.SessionReferences) int {
	apis := slices.Compact(slices.Sorted(slices.Values(refs.APIIDs)))
	return maxSessionBytes + bytesPerRight*len(apis)
}

// withRights returns a session that has its access rights of policies. A gateway that has not yet loaded the last
// change of a policy may find none in it: the key would open every API, if the gateway allows such keys. So the session
// brings the rights that gatehouse has checked. They count until the gateway finds some in the policies. withRights
// returns an *unrestrictedError if the policies grant access to no API.
func withRights(session json.RawMessage, policies map[string]json.RawMessage, ids []string) (keySession, error) {
	var rights []jsondoc.Member
	granted := map[string]bool{}
	for _, id := range ids {
		if !apidef.GrantsAccess(policies[id]) {
			continue
		}
		for _, right := range apidef.RightsOfPolicy(policies[id]) {
			if !granted[right.Name] {
				granted[right.Name], rights = true, append(rights, right)
			}
		}
	}
	if rights == nil {
		return keySession{}, unrestrictedAt("/apply_policies", "grant access to no API, and access_rights names none")
	}
	return keySession{shown: session, grants: jsondoc.Set(session, "access_rights", jsondoc.Object(rights))}, nil
}

// keyPolicies returns the rights of an organisation's policies of a key by their IDs, or empty objects without rights.
// It returns errNotOwned unless the organisation has each of them, and gateways load it: that of an earlier version may
// be one that these checks refuse.
func (s *Server) keyPolicies(
	ctx context.Context, orgID string, ids []string, rights bool,
) (map[string]json.RawMessage, error) {
	policies := map[string]json.RawMessage{}
	if len(ids) == 0 {
		return policies, nil
	}
	rows, err := s.store.KeyPolicies(ctx, store.KeyPolicyFilter{
		OrgID: orgID, IDs: ids, CheckedBy: s.checks.Name, Rights: rights,
	})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Unchecked != nil {
			if _, problems := s.checks.Policies.Stored(row.Unchecked); problems != nil {
				continue
			}
		}
		policies[row.ID] = row.Rights
	}
	for _, id := range ids {
		if policies[id] == nil {
			return nil, errNotOwned
		}
	}
	return policies, nil
}

func unrestrictedAt(path, reason string) error {
	return &unrestrictedError{contract.Problem{Path: path, Reason: reason + ": the key would open every API"}}
}

// refersToOthers reports whether a session refers to what cannot be its organisation's. APIs and policies are checked
// in the store. What only gateways set may be as it is in the current session.
func refersToOthers(refs, current apidef.SessionReferences, orgID string) bool {
	isOther := func(id string) bool { return id != orgID }
	isOtherCertificate := func(id string) bool {
		return !certificateID.MatchString(strings.TrimPrefix(id, orgID)) && !slices.Contains(current.Certificates, id)
	}
	isNew := func(current []string) func(string) bool {
		return func(id string) bool { return !slices.Contains(current, id) }
	}
	return refs.EmbedsPolicies || slices.ContainsFunc(refs.OrgIDs, isOther) ||
		slices.ContainsFunc(refs.Certificates, isOtherCertificate) ||
		slices.ContainsFunc(refs.OAuthClients, isNew(current.OAuthClients)) ||
		slices.ContainsFunc(refs.OAuthTokens, isNew(current.OAuthTokens))
}

// certificateID is the ID of a certificate without the organisation that it begins with: a SHA-256.
var certificateID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// keyRequest is what a request says of the key that it is about.
type keyRequest struct {
	id string
	// apiID is the API in the path; noAPI, defaultAPI or "" is none.
	apiID string
	// hashed says that the ID is the hash of the key, guess that it may be.
	hashed, guess bool
}

// toKeyRequest returns a keyRequest of the parameters of an operation.
func toKeyRequest(apiID, id string, hashed *dashboard.Hashed, guess *dashboard.AutoGuess) keyRequest {
	return keyRequest{id: id, apiID: apiID, hashed: valueOf(hashed) != "", guess: valueOf(guess)}
}

// noAPI and defaultAPI are in paths in place of an API, for the keys of any.
const noAPI, defaultAPI = "-", "default"

// orgOfKeys returns the organisation whose keys the API in a path stands for: that of the API, or else the caller's. It
// is "" for a super user who names no API.
func (s *Server) orgOfKeys(ctx context.Context, caller caller, apiID string) (string, error) {
	switch apiID {
	case noAPI, defaultAPI, "":
		return valueOf(caller.scope()), nil
	}
	api, err := s.store.API(ctx, caller.ref(apiID))
	return jsondoc.String(api.Document, "api_definition", "org_id"), err
}

// accessibleKey returns a key of the organisation that the API in a path stands for, and the key's session. It returns
// store.ErrNotFound or store.ErrMalformed for an unknown API, errForeignKey if the key's organisation is another one,
// or one that the caller may not access, and else errors of the gateway.
func (s *Server) accessibleKey(r *request, of keyRequest) (key gateway.KeyRef, session json.RawMessage, err error) {
	caller, err := callerOf(r)
	if err != nil {
		return key, nil, err
	}
	orgID, err := s.orgOfKeys(r.Context(), caller, of.apiID)
	if err != nil {
		return key, nil, err
	}
	key, session, err = s.key(r.Context(), orgID, of)
	actual := jsondoc.String(session, "org_id")
	if err == nil && (!caller.canAccess(actual) || (orgID != "" && orgID != actual)) {
		err = errForeignKey
	}
	return key, session, err
}

// key returns a key and its session, whatever the key's organisation is. orgID is the organisation whose key it would
// be by a name, or "".
func (s *Server) key(
	ctx context.Context, orgID string, of keyRequest,
) (key gateway.KeyRef, session json.RawMessage, err error) {
	key = gateway.KeyRef{ID: of.id, Hashed: of.hashed, OrgID: orgID}
	if stated := gateway.KeyOrg(of.id); stated != "" && stated != orgID {
		// Not a name: if this organisation has a key with such a name, and deletes it before the gateway acts on it, the
		// gateway would take the other organisation's key instead.
		key.OrgID = ""
	}
	session, err = s.gateway.Session(ctx, key)
	if of.guess && !of.hashed && isUnknownKey(err) {
		hashed := gateway.KeyRef{ID: of.id, Hashed: true}
		byHash, failed := s.gateway.Session(ctx, hashed)
		if _, refused := errors.AsType[*gateway.Refused](failed); !refused {
			key, session, err = hashed, byHash, failed
		}
	}
	return key, session, err
}

// keyErrors are the replies to errors of accessibleKey, and to those of a gateway that has the key.
func keyErrors[R any](replies interface {
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
},
) []apiserver.ErrorReply[R] {
	return []apiserver.ErrorReply[R]{notFound(replies), unknownKey(replies), refused(replies), noGateway(replies)}
}

// AddKey implements dashboard.Handlers.
func (s *Server) AddKey(r *request) dashboard.AddKeyReply {
	var reply dashboard.AddKeyReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	session, err := s.sessionRequest(r, caller, nil)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notOwned(reply), unrestricted(reply))
	}
	key, err := s.gateway.CreateKey(r.Context(), s.gatewaySession(session.grants))
	if err != nil {
		return apiserver.ReplyError(reply, err, refused(reply), noGateway(reply))
	}
	return reply.OK(toKeyData(key, session.shown))
}

// keyOperations are the operations of a gateway at the place where the ID of a key is in its paths.
var keyOperations = []string{"create", "preview"}

// CreateCustomKey implements dashboard.Handlers.
func (s *Server) CreateCustomKey(r *request, keyID admin.KeyID) dashboard.CreateCustomKeyReply {
	var reply dashboard.CreateCustomKeyReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	session, err := s.sessionRequest(r, caller, nil)
	if err == nil && slices.Contains(keyOperations, keyID) {
		err = apiserver.MalformedAt("", "no key can have this ID: it is an operation of a gateway", nil)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notOwned(reply), unrestricted(reply))
	}
	key, err := s.gateway.CreateNamedKey(r.Context(), keyID, s.gatewaySession(session.grants))
	if err != nil {
		return apiserver.ReplyError(reply, err, keyErrors(reply)...)
	}
	return reply.OK(toKeyData(key, session.shown))
}

// CreateBasicAuthUser implements dashboard.Handlers.
func (s *Server) CreateBasicAuthUser(r *request, username dashboard.NameOfUser) dashboard.CreateBasicAuthUserReply {
	var reply dashboard.CreateBasicAuthUserReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	session, err := s.sessionRequest(r, caller, nil)
	if err == nil && jsondoc.String(session.shown, basicAuthData, "password") == "" {
		// The gateway would make a key of the name alone, which opens the APIs to everybody who knows it.
		err = apiserver.MalformedAt(contract.Pointer(basicAuthData, "password"), "is required", nil)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), notOwned(reply), unrestricted(reply))
	}
	key, err := s.gateway.CreateNamedKey(r.Context(), username, s.gatewaySession(session.grants))
	if err != nil {
		return apiserver.ReplyError(reply, err, keyErrors(reply)...)
	}
	return reply.OK(toKeyData(key, withoutPassword(session.shown)))
}

// basicAuthData is the member of a session with the password of a user.
const basicAuthData = "basic_auth_data"

// withoutPassword returns a session with an empty password, as gateways return it.
func withoutPassword(session json.RawMessage) json.RawMessage {
	if jsondoc.String(session, basicAuthData, "password") == "" {
		return session
	}
	data, _ := jsondoc.Get(session, basicAuthData)
	return jsondoc.Set(session, basicAuthData, jsondoc.Set(data, "password", jsondoc.Quote("")))
}

// keyReplies are the replies of an operation that returns a key.
type keyReplies[R any] interface {
	OK(key admin.KeyData) R
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
	Failed(cause error) R
}

// getKey returns a key of the organisation that the API in a path stands for.
func getKey[R any](s *Server, r *request, replies keyReplies[R], of keyRequest) R {
	_, session, err := s.accessibleKey(r, of)
	if err != nil {
		return apiserver.ReplyError(replies, err, keyErrors(replies)...)
	}
	return replies.OK(toKeyData(gateway.Key{ID: of.id}, session))
}

// GetKeyDetail implements dashboard.Handlers.
func (s *Server) GetKeyDetail(
	r *request, keyID admin.KeyID, params dashboard.GetKeyDetailParams,
) dashboard.GetKeyDetailReply {
	of := toKeyRequest("", keyID, params.Hashed, params.AutoGuess)
	return getKey(s, r, dashboard.GetKeyDetailReplies{}, of)
}

// GetApiKeyDetail implements dashboard.Handlers.
func (s *Server) GetApiKeyDetail(
	r *request, apiID dashboard.APIOfKeys, keyID admin.KeyID, params dashboard.GetApiKeyDetailParams,
) dashboard.GetApiKeyDetailReply {
	of := toKeyRequest(apiID, keyID, params.Hashed, params.AutoGuess)
	return getKey(s, r, dashboard.GetApiKeyDetailReplies{}, of)
}

// changedKeyReplies are the replies of an operation that replaces a key.
type changedKeyReplies[R any] interface {
	keyReplies[R]
	Malformed(cause error) R
	NotOwned(cause error) R
	Unrestricted(cause error) R
}

// keyChange is how the session of a key is replaced.
type keyChange struct {
	keyRequest

	// keepQuota leaves what remains of the quota as it is.
	keepQuota bool
}

// updateKey replaces the session of a key of the organisation that the API in a path stands for.
func updateKey[R any](s *Server, r *request, replies changedKeyReplies[R], of keyChange) R {
	key, current, err := s.accessibleKey(r, of.keyRequest)
	if err != nil {
		return apiserver.ReplyError(replies, err, keyErrors(replies)...)
	}
	session, err := s.sessionRequest(r, r.caller, current)
	if err != nil {
		return apiserver.ReplyError(replies, err, malformed(replies), notOwned(replies), unrestricted(replies))
	}
	if err := s.gateway.UpdateKey(r.Context(), key, s.gatewaySession(session.grants), of.keepQuota); err != nil {
		return apiserver.ReplyError(replies, err, keyErrors(replies)...)
	}
	return replies.OK(toKeyData(gateway.Key{ID: of.id}, session.shown))
}

// UpdateKey implements dashboard.Handlers.
func (s *Server) UpdateKey(r *request, keyID admin.KeyID, params dashboard.UpdateKeyParams) dashboard.UpdateKeyReply {
	of := toKeyRequest("", keyID, params.Hashed, params.AutoGuess)
	return updateKey(s, r, dashboard.UpdateKeyReplies{}, keyChange{of, valueOf(params.SuppressReset) != ""})
}

// UpdateApiKeyDetail implements dashboard.Handlers.
func (s *Server) UpdateApiKeyDetail(
	r *request, apiID dashboard.APIOfKeys, keyID admin.KeyID, params dashboard.UpdateApiKeyDetailParams,
) dashboard.UpdateApiKeyDetailReply {
	of := toKeyRequest(apiID, keyID, params.Hashed, params.AutoGuess)
	return updateKey(s, r, dashboard.UpdateApiKeyDetailReplies{}, keyChange{of, valueOf(params.SuppressReset) != ""})
}

// deletedKeyReplies are the replies of an operation that deletes a key.
type deletedKeyReplies[R any] interface {
	OK() R
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
	Failed(cause error) R
}

// deleteKey deletes a key of the organisation that the API in a path stands for.
func deleteKey[R any](s *Server, r *request, replies deletedKeyReplies[R], of keyRequest) R {
	key, _, err := s.accessibleKey(r, of)
	if err == nil {
		err = s.gateway.DeleteKey(r.Context(), key)
	}
	if err != nil {
		return apiserver.ReplyError(replies, err, keyErrors(replies)...)
	}
	return replies.OK()
}

// DeleteKey implements dashboard.Handlers.
func (s *Server) DeleteKey(r *request, keyID admin.KeyID, params dashboard.DeleteKeyParams) dashboard.DeleteKeyReply {
	of := toKeyRequest("", keyID, params.Hashed, params.AutoGuess)
	return deleteKey(s, r, dashboard.DeleteKeyReplies{}, of)
}

// DeleteApiKeyDetail implements dashboard.Handlers.
func (s *Server) DeleteApiKeyDetail(
	r *request, apiID dashboard.APIOfKeys, keyID admin.KeyID, params dashboard.DeleteApiKeyDetailParams,
) dashboard.DeleteApiKeyDetailReply {
	of := toKeyRequest(apiID, keyID, params.Hashed, params.AutoGuess)
	return deleteKey(s, r, dashboard.DeleteApiKeyDetailReplies{}, of)
}
