package gatewaystandin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

const unknownOAuthClient = "OAuth Client ID not found"

// oauthAPI serves the part of the control API below /tyk/oauth/clients.
type oauthAPI struct {
	state *state
	keys  *keyStore
}

// serve runs the operation. path is the path below /tyk/oauth/clients.
func (c oauthAPI) serve(r *http.Request, path []string) response {
	switch {
	case r.Method == http.MethodPost && len(path) == 1 && path[0] == "create":
		return c.createOAuthClient(r)
	case r.Method == http.MethodGet && len(path) == 1:
		return c.listOAuthClients(r.Context(), path[0])
	case len(path) == 1, len(path) == 0:
		return methodNotSupported()
	case c.state.config().byID(path[0]) == nil:
		return failure(http.StatusNotFound, unknownOAuthClient)
	case r.Method == http.MethodGet && len(path) == 3 && path[2] == "tokens":
		return c.tokensOfClient(r.Context(), path[0], path[1])
	case r.Method == http.MethodGet && len(path) == 2:
		return c.getOAuthClient(r.Context(), path[0], path[1])
	case r.Method == http.MethodDelete && len(path) == 2:
		return c.deleteOAuthClient(r.Context(), path[0], path[1])
	}
	return methodNotSupported()
}

func (c oauthAPI) createOAuthClient(r *http.Request) response {
	var client oauthClient
	if err := json.NewDecoder(r.Body).Decode(&client); err != nil {
		return failure(http.StatusInternalServerError, "Unmarshalling failed")
	}
	api := c.state.config().byID(client.APIID)
	switch {
	case api == nil:
		return failure(http.StatusBadRequest, "API doesn't exist")
	case !api.UseOauth2:
		return failure(http.StatusBadRequest, "API is not OAuth2")
	}
	if client.ClientID == "" {
		client.ClientID = strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	if client.Secret == "" {
		client.Secret = base64.StdEncoding.EncodeToString([]byte(uuid.NewString()))
	}
	client.APIID = ""
	data, err := json.Marshal(client) //nolint:gosec // a gateway stores the secret
	if err == nil {
		err = c.keys.write(r.Context(), oauthPrefix(api.APIID)+client.ClientID, data)
	}
	if err != nil {
		return failure(http.StatusInternalServerError, "Failure in storing client data.")
	}
	return ok(client)
}

// listOAuthClients lists the clients of an API. For an API that it does not have, a gateway writes null.
func (c oauthAPI) listOAuthClients(ctx context.Context, apiID string) response {
	if c.state.config().byID(apiID) == nil {
		return response{http.StatusNotFound, nil}
	}
	clients := []oauthClient{}
	for _, id := range c.keys.names(ctx, oauthPrefix(apiID), "") {
		if client, found := c.oauthClient(ctx, apiID, id); found {
			clients = append(clients, client)
		}
	}
	return ok(clients)
}

func (c oauthAPI) oauthClient(ctx context.Context, apiID, id string) (client oauthClient, found bool) {
	data, found := c.keys.read(ctx, oauthPrefix(apiID)+id)
	return client, found && json.Unmarshal(data, &client) == nil
}

func (c oauthAPI) getOAuthClient(ctx context.Context, apiID, id string) response {
	client, found := c.oauthClient(ctx, apiID, id)
	if !found {
		return failure(http.StatusNotFound, unknownOAuthClient)
	}
	return ok(client)
}

// deleteOAuthClient is ok for a client that does not exist, too.
func (c oauthAPI) deleteOAuthClient(ctx context.Context, apiID, id string) response {
	c.keys.remove(ctx, oauthPrefix(apiID)+id)
	c.keys.remove(ctx, oauthTokensOf(apiID, id))
	return ok(keyChange{Key: id, Status: "ok", Action: "deleted"})
}

func (c oauthAPI) tokensOfClient(ctx context.Context, apiID, id string) response {
	tokens := []oauthToken{}
	if data, found := c.keys.read(ctx, oauthTokensOf(apiID, id)); found && json.Unmarshal(data, &tokens) != nil {
		return failure(http.StatusInternalServerError, "Get client tokens failed")
	}
	return ok(tokens)
}
