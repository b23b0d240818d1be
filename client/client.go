// Package client calls a server of the contracts /admin and /api, such as gatehouse: a method for each operation, and a
// type for each schema.
//
// New returns a client. Each operation has a method ending in WithResponse, which returns the response decoded by its
// status: JSON200, JSON404 and so on, and always Body and HTTPResponse. An error is returned only if there was no
// response, or its body is not what its Content-Type says.
//
// Documents of users (organisations, API definitions, policies, sessions) are json.RawMessage. A struct would lose what
// it does not name, and a document that is changed and sent back would lack it.
//
// The package needs none of the server's dependencies. The module has no public path: a program outside of it needs
// `replace gatehouse => DIRECTORY` in its go.mod.
package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// New returns a client of the server at address, such as http://127.0.0.1:3000. It does not follow redirections, which
// are responses of some operations, and would take credentials along. Give each call a context with a deadline, or the
// client a *http.Client with a timeout (WithHTTPClient).
//
// The client is safe for concurrent use.
func New(address string, options ...ClientOption) (*ClientWithResponses, error) {
	defaults := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return NewClientWithResponses(address, append([]ClientOption{WithHTTPClient(defaults)}, options...)...)
}

// WithAdminSecret sends the admin secret with the operations below /admin.
func WithAdminSecret(secret string) ClientOption {
	return withHeader("/admin/", "Admin-Auth", secret)
}

// WithAccessKey sends the access key of a user with the operations below /api.
func WithAccessKey(key string) ClientOption {
	return withHeader("/api/", "Authorization", key)
}

// withHeader sets a header of the requests whose path begins with prefix, after the path of the server's address.
func withHeader(prefix, name, value string) ClientOption {
	return func(c *Client) error {
		return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			server, err := url.Parse(c.Server)
			if err != nil {
				return err
			}
			if strings.HasPrefix("/"+strings.TrimPrefix(r.URL.Path, server.Path), prefix) {
				r.Header.Set(name, value)
			}
			return nil
		})(c)
	}
}
