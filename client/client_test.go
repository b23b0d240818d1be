package client_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/client"
)

// TestDependencies checks that programs with the client get none of the server's dependencies.
func TestDependencies(t *testing.T) {
	t.Parallel()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
		"{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	require.NoError(t, err)
	allowed := []string{
		"gatehouse/client",
		"github.com/apapsch/go-jsonmerge/v2",
		"github.com/google/uuid",
		"github.com/oapi-codegen/runtime",
		"github.com/oapi-codegen/runtime/types",
		"go.yaml.in/yaml/v3",
	}
	require.ElementsMatch(t, allowed, strings.Fields(string(output)))
}

// TestCredentials checks that each secret is sent to the operations that need it, and to no others.
func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/", "/behind/a/proxy", "/admin/", "/api"} {
		var received *http.Request
		web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received = r }))
		t.Cleanup(web.Close)
		c, err := client.New(web.URL+base, client.WithAdminSecret("secret"), client.WithAccessKey("key"))
		require.NoError(t, err)
		for _, call := range []struct {
			path, secret, key string
			do                func() (*http.Response, error)
		}{
			{"/admin/hello", "secret", "", func() (*http.Response, error) { return c.AdminHello(t.Context()) }},
			{"/api/users", "", "key", func() (*http.Response, error) { return c.GetUsers(t.Context(), nil) }},
			{"/health", "", "", func() (*http.Response, error) { return c.GetHealth(t.Context()) }},
		} {
			response, err := call.do()
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, strings.TrimSuffix(base, "/")+call.path, received.URL.Path)
			assert.Equal(t, call.secret, received.Header.Get("Admin-Auth"), "%s%s", base, call.path)
			assert.Equal(t, call.key, received.Header.Get("Authorization"), "%s%s", base, call.path)
		}
	}
}

// TestRedirectionIsAResponse checks that a redirection does not take the admin secret to another server.
func TestRedirectionIsAResponse(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	t.Cleanup(other.Close)
	web := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(web.Close)
	c, err := client.New(web.URL, client.WithAdminSecret("secret"))
	require.NoError(t, err)
	response, err := c.AdminHelloWithResponse(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, response.StatusCode())
}

func TestInvalidAddress(t *testing.T) {
	t.Parallel()
	c, err := client.New("http://[::1", client.WithAdminSecret("secret"))
	if err == nil {
		_, err = c.AdminHelloWithResponse(t.Context())
	}
	require.Error(t, err)
}
