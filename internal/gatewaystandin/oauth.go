package gatewaystandin

import (
	"context"
	"encoding/json"
)

// oauthClient is a gateway's NewClientRequest.
type oauthClient struct {
	ClientID    string `json:"client_id"`
	RedirectURI string `json:"redirect_uri"`
	APIID       string `json:"api_id,omitempty"`
	PolicyID    string `json:"policy_id,omitempty"`
	Secret      string `json:"secret"`
	MetaData    any    `json:"meta_data"`
	Description string `json:"description"`
}

// oauthToken is a token of an OAuth client.
type oauthToken struct {
	Code    string `json:"code"`
	Expires int64  `json:"expires"`
}

// oauthPrefix is what the names begin with under which the clients of an API are stored.
func oauthPrefix(apiID string) string { return "oauth-data." + apiID + ".oauth-clientid." }

// oauthTokensOf returns the name under which the tokens of a client are stored.
func oauthTokensOf(apiID, clientID string) string {
	return "oauth-data." + apiID + ".oauth-client-tokens." + clientID
}

// OAuthToken is a token of an OAuth client.
type OAuthToken struct {
	APIID, ClientID string
	Code            string // or its hash
	Expires         int64  // in seconds since 1970
}

// addOAuthToken adds a token to those of its client.
func (s *keyStore) addOAuthToken(ctx context.Context, token OAuthToken) error {
	var tokens []oauthToken
	name := oauthTokensOf(token.APIID, token.ClientID)
	if data, found := s.read(ctx, name); found {
		if err := json.Unmarshal(data, &tokens); err != nil {
			return err
		}
	}
	data, err := json.Marshal(append(tokens, oauthToken{token.Code, token.Expires}))
	if err != nil {
		return err
	}
	return s.write(ctx, name, data)
}
