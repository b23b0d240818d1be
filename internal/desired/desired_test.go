package desired_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/desired"
	"gatehouse/internal/remote"
	"gatehouse/server"
)

const organisation = "61df10078f11dd00097c0001"

// planned compares a file with an export of APIs.
func planned(t *testing.T, file, stored string) []desired.Difference {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/apis" {
			_, _ = fmt.Fprintf(w, `{"apis":[%s],"pages":0}`, stored)
			return
		}
		_, _ = io.WriteString(w, `{"id":"`+organisation+`"}`)
	}))
	t.Cleanup(web.Close)
	calls, err := client.New(web.URL)
	require.NoError(t, err)
	to := remote.New(remote.Config{Client: calls})
	known, err := server.LoadContract()
	require.NoError(t, err)
	checks, err := desired.NewChecks(known)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "api.json")
	require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	documents, err := desired.Load(path, checks)
	require.NoError(t, err)
	plan, err := desired.NewPlan(t.Context(), to, documents, desired.Options{})
	require.NoError(t, err)
	if len(plan.Changes) == 0 {
		require.Equal(t, 1, plan.Unchanged)
		return nil
	}
	return plan.Changes[0].Differences
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	api := func(members string) string {
		return `{"api_definition":{"api_id":"x","org_id":"` + organisation + `"` + members + `}}`
	}
	for name, test := range map[string]struct {
		file, stored string
		want         []desired.Difference
	}{
		"order and spaces":  {api(`, "a":1, "b":[ ]`), api(`,"b":[],"a":1`), nil},
		"text of numbers":   {api(`,"a":1.0,"b":1e2`), api(`,"a":1,"b":100`), nil},
		"escapes":           {api(`,"a":"\u00e9\/"`), api(`,"a":"é/"`), nil},
		"large integers":    {api(`,"a":9007199254740993`), api(`,"a":9007199254740992`), []desired.Difference{{"~", "/api_definition/a"}}},
		"types":             {api(`,"a":"1"`), api(`,"a":1`), []desired.Difference{{"~", "/api_definition/a"}}},
		"null and nothing":  {api(`,"a":null`), api(``), []desired.Difference{{"+", "/api_definition/a"}}},
		"only the server":   {api(``), api(`,"a":0`), []desired.Difference{{"-", "/api_definition/a"}}},
		"ID in database":    {api(``), api(`,"id":"61df10078f11dd00097c0009"`), nil},
		"other ID":          {api(`,"id":"61df10078f11dd00097c0008"`), api(`,"id":"61df10078f11dd00097c0009"`), []desired.Difference{{"~", "/api_definition/id"}}},
		"lists":             {api(`,"a":[1,{"b":2},3]`), api(`,"a":[1,{"b":3}]`), []desired.Difference{{"~", "/api_definition/a/1/b"}, {"+", "/api_definition/a/2"}}},
		"names with slash":  {api(`,"a/b":{"~":1}`), api(`,"a/b":{"~":2}`), []desired.Difference{{"~", "/api_definition/a~1b/~0"}}},
		"object and scalar": {api(`,"a":{}`), api(`,"a":[]`), []desired.Difference{{"~", "/api_definition/a"}}},
		"times": {
			`{"updated_at":"2020-01-01T00:00:00Z",` + api(``)[1:], `{"created_at":"2021-01-01T00:00:00Z",` + api(``)[1:], nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, json.Valid([]byte(test.file)))
			require.Equal(t, test.want, planned(t, test.file, test.stored))
		})
	}
}
