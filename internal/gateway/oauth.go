package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// PurgeLapsedTokens deletes the OAuth tokens that expired longer ago than the gateway retains them.
func (c *Client) PurgeLapsedTokens(ctx context.Context) error {
	purge := request{
		method: http.MethodDelete, path: []string{"tyk", "oauth", "tokens"}, query: url.Values{"scope": {"lapsed"}},
	}
	return c.call(ctx, purge, nil)
}

// OAuthClient is a client of an API that uses OAuth.
type OAuthClient struct {
	ID          string          `json:"client_id"`
	Secret      string          `json:"secret"`
	RedirectURI string          `json:"redirect_uri"`
	APIID       string          `json:"api_id,omitempty"`
	PolicyID    string          `json:"policy_id,omitempty"`
	MetaData    json.RawMessage `json:"meta_data"` // an object, or null
	Description string          `json:"description"`
}

// OAuthToken is a token of an OAuth client, or its hash if the gateway hashes keys.
type OAuthToken struct {
	Code    string `json:"code"`
	Expires int64  `json:"expires"` // in seconds since 1970
}

// errUnknownOAuthClient is a gateway's refusal of an OAuth client that it does not have.
var errUnknownOAuthClient = &Refused{Status: http.StatusNotFound, Message: "OAuth Client ID not found"}

// CreateOAuthClient creates a client of an API, or replaces it. The gateway makes the ID and the secret if they are "",
// and refuses an API that it has not loaded with 404.
func (c *Client) CreateOAuthClient(ctx context.Context, client OAuthClient) (created OAuthClient, err error) {
	body, err := json.Marshal(client) //nolint:gosec // the gateway is to have the secret
	if err != nil {
		return OAuthClient{}, err
	}
	create := request{method: http.MethodPost, path: []string{"tyk", "oauth", "clients", "create"}, body: body}
	err = c.call(ctx, create, &created)
	if refused, ok := errors.AsType[*Refused](err); ok && refused.Message == "API doesn't exist" {
		err = &Refused{Status: http.StatusNotFound, Message: refused.Message} // not 400, as the other operations
	}
	return created, err
}

// OAuthClients returns the clients of an API.
func (c *Client) OAuthClients(ctx context.Context, apiID string) (clients []OAuthClient, err error) {
	err = c.callOAuth(ctx, http.MethodGet, &clients, apiID)
	return clients, err
}

// OAuthClient returns a client of an API.
func (c *Client) OAuthClient(ctx context.Context, apiID, id string) (client OAuthClient, err error) {
	err = c.callOAuth(ctx, http.MethodGet, &client, apiID, id)
	return client, err
}

// DeleteOAuthClient deletes a client of an API. A client that the gateway does not have is no error.
func (c *Client) DeleteOAuthClient(ctx context.Context, apiID, id string) error {
	return c.callOAuth(ctx, http.MethodDelete, nil, apiID, id)
}

// OAuthTokens returns the tokens of a client that have not expired. A client that the gateway does not have has none.
func (c *Client) OAuthTokens(ctx context.Context, apiID, id string) (tokens []OAuthToken, err error) {
	if err := c.checkElements(errUnknownOAuthClient, id); err != nil {
		return nil, err
	}
	err = c.callOAuth(ctx, http.MethodGet, &tokens, apiID, id, "tokens")
	return tokens, err
}

// callOAuth calls an operation below /tyk/oauth/clients.
func (c *Client) callOAuth(ctx context.Context, method string, out any, ids ...string) error {
	if err := c.checkElements(errUnknownOAuthClient, ids...); err != nil {
		return err
	}
	return c.call(ctx, request{method: method, path: append([]string{"tyk", "oauth", "clients"}, ids...)}, out)
}
