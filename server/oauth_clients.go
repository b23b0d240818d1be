package server

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/apidef"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// Errors of OAuth clients.
var (
	errUnknownAPI     = errors.New("the organisation has no such API")
	errUnknownPolicy  = errors.New("the organisation has no such policy")
	errBringsPolicies = errors.New("the meta_data of the client has policies")
)

func unknownAPI[R any](replies interface{ UnknownApi(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.UnknownApi, errUnknownAPI)
}

// oauthErrors are the replies to errors of a gateway that has the API.
func oauthErrors[R any](replies interface {
	UnknownApi(cause error) R
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
},
) []apiserver.ErrorReply[R] {
	return []apiserver.ErrorReply[R]{unknownAPI(replies), unknownKey(replies), refused(replies), noGateway(replies)}
}

// toOAuthClient returns an OAuth client as the API shows it.
func toOAuthClient(client gateway.OAuthClient) dashboard.OAuthClient {
	shown := dashboard.OAuthClient{
		ClientId: client.ID, Secret: client.Secret, RedirectUri: client.RedirectURI, PolicyId: client.PolicyID,
		Description: client.Description,
	}
	if client.MetaData != nil {
		shown.MetaData = &client.MetaData
	}
	return shown
}

// toGatewayOAuthClient returns the OAuth client that a request asks for. Its API is in the path.
func toGatewayOAuthClient(sent dashboard.NewClientRequest) gateway.OAuthClient {
	return gateway.OAuthClient{
		ID: valueOf(sent.ClientId), Secret: valueOf(sent.Secret), RedirectURI: valueOf(sent.RedirectUri),
		PolicyID: valueOf(sent.PolicyId), MetaData: valueOf(sent.MetaData), Description: valueOf(sent.Description),
	}
}

// toOAuthClientTokens returns the tokens of an OAuth client as the API shows them.
func toOAuthClientTokens(tokens []gateway.OAuthToken) dashboard.OAuthClientTokens {
	shown := dashboard.OAuthClientTokens{}
	for _, token := range tokens {
		shown = append(shown, dashboard.OAuthClientToken(token))
	}
	return shown
}

// oauthAPI returns the organisation and the api_id of an API. It returns errUnknownAPI for one that the caller may not
// access.
func (s *Server) oauthAPI(r *request, id string) (orgID, apiID string, err error) {
	caller, err := callerOf(r)
	if err != nil {
		return "", "", err
	}
	api, err := s.store.API(r.Context(), caller.ref(id))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrMalformed) {
		err = errUnknownAPI
	}
	if apidef.IsRedisPattern(api.ID) { // of an import: the gateway would look for clients of other APIs, too
		err = cmp.Or(err, errUnknownAPI)
	}
	return jsondoc.String(api.Document, "api_definition", "org_id"), api.ID, err
}

// GetOathClientsList implements dashboard.Handlers.
func (s *Server) GetOathClientsList(r *request, id admin.APIID) dashboard.GetOathClientsListReply {
	var reply dashboard.GetOathClientsListReplies
	_, apiID, err := s.oauthAPI(r, id)
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	apps := []dashboard.OAuthClient{}
	err = s.limitLists(r.Context(), func(ctx context.Context) error {
		clients, err := s.gateway.OAuthClients(ctx, apiID)
		for _, client := range clients {
			apps = append(apps, toOAuthClient(client))
		}
		return err
	})
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	return reply.OK(dashboard.OAuthApps{Apps: &apps, Pages: 1})
}

// CreateNewClientApp implements dashboard.Handlers.
func (s *Server) CreateNewClientApp(r *request, id admin.APIID) dashboard.CreateNewClientAppReply {
	var reply dashboard.CreateNewClientAppReplies
	orgID, apiID, err := s.oauthAPI(r, id)
	if err != nil {
		return apiserver.ReplyError(reply, err, unknownAPI(reply))
	}
	client, err := s.oauthClientRequest(r, orgID)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply),
			apiserver.On(reply.NotOwned, errBringsPolicies),
			apiserver.On(reply.UnknownPolicy, errUnknownPolicy))
	}
	client.APIID = apiID
	created, err := s.gateway.CreateOAuthClient(r.Context(), client)
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	return reply.OK(toOAuthClient(created))
}

// oauthClientRequest returns the OAuth client in the body. The tokens of a client get its policy and its meta_data.
// oauthClientRequest returns errUnknownPolicy for a policy that is not the organisation's, and errBringsPolicies for
// policies in meta_data, which a gateway would apply instead.
func (s *Server) oauthClientRequest(r *request, orgID string) (gateway.OAuthClient, error) {
	sent, err := apiserver.Decode[dashboard.NewClientRequest](r)
	if err != nil {
		return gateway.OAuthClient{}, err
	}
	client := toGatewayOAuthClient(sent)
	if id := client.ID; id == "." || id == ".." || strings.Contains(id, "/") {
		return client, apiserver.MalformedAt("/client_id", "must be one element of a path", nil)
	}
	if _, embeds := apidef.EmbeddedPolicies(client.MetaData); embeds {
		return client, errBringsPolicies
	}
	return client, s.ownsPolicy(r.Context(), orgID, client.PolicyID)
}

// ownsPolicy returns errUnknownPolicy unless an organisation has a policy that gateways load, or the ID is "".
func (s *Server) ownsPolicy(ctx context.Context, orgID, policyID string) error {
	if policyID == "" {
		return nil
	}
	_, err := s.keyPolicies(ctx, orgID, []string{policyID}, false)
	if errors.Is(err, errNotOwned) {
		err = errUnknownPolicy
	}
	return err
}

// oauthClient returns an OAuth client, and the api_id of its API. It returns errUnknownAPI as oauthAPI does.
func (s *Server) oauthClient(r *request, id, clientID string) (apiID string, client gateway.OAuthClient, err error) {
	_, apiID, err = s.oauthAPI(r, id)
	if err != nil {
		return "", client, err
	}
	client, err = s.gateway.OAuthClient(r.Context(), apiID, clientID)
	return apiID, client, err
}

// GetOAuthClientDetail implements dashboard.Handlers.
func (s *Server) GetOAuthClientDetail(
	r *request, id admin.APIID, clientID dashboard.OAuthClientID,
) dashboard.GetOAuthClientDetailReply {
	var reply dashboard.GetOAuthClientDetailReplies
	_, client, err := s.oauthClient(r, id, clientID)
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	return reply.OK(toOAuthClient(client))
}

// DeleteOathClient implements dashboard.Handlers.
func (s *Server) DeleteOathClient(
	r *request, id admin.APIID, clientID dashboard.OAuthClientID,
) dashboard.DeleteOathClientReply {
	var reply dashboard.DeleteOathClientReplies
	apiID, _, err := s.oauthClient(r, id, clientID) // a gateway would report success for a client that it does not have
	if err == nil {
		err = s.gateway.DeleteOAuthClient(r.Context(), apiID, clientID)
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	return reply.OK()
}

// GetClientTokens implements dashboard.Handlers.
func (s *Server) GetClientTokens(
	r *request, id admin.APIID, clientID dashboard.OAuthClientID,
) dashboard.GetClientTokensReply {
	var reply dashboard.GetClientTokensReplies
	apiID, _, err := s.oauthClient(r, id, clientID)
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	var tokens []gateway.OAuthToken
	err = s.limitLists(r.Context(), func(ctx context.Context) (err error) {
		tokens, err = s.gateway.OAuthTokens(ctx, apiID, clientID)
		return err
	})
	if err != nil {
		return apiserver.ReplyError(reply, err, oauthErrors(reply)...)
	}
	return reply.OK(toOAuthClientTokens(tokens))
}
