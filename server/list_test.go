package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/server"
	"gatehouse/store/storetest"
)

// slowReaders is a number of clients that is far above the number of connections to the database, and below the limit
// of lists of an organisation.
const slowReaders = 34

// TestSlowReadersHoldNoConnection has many clients request whole lists, and not read them.
func TestSlowReadersHoldNoConnection(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, func(c *server.Config) { c.Limits.BodyTimeout = unlimited })
	org := b.org()
	user := b.user(org, "reader@example.org", nil)
	b.fill(org, manyDocuments)
	paths := []string{"/admin/apis", "/admin/policies", "/system/apis", "/system/policies", "/api/portal/policies?p=-1"}
	var unread []io.Reader
	for n := range slowReaders {
		path, key := "/api/apis?p=-1", user.AccessKey
		if n < len(paths) {
			path = paths[n]
		}
		if strings.HasPrefix(path, "/system/") {
			key = nodeSecret
		}
		unread = append(unread, b.getSlowly(path, key))
	}
	b.waitForFreeConnections()

	b.do("GET", "/ready", nil).is(200)
	b.do("GET", "/api/apis", nil, asUser(user.AccessKey)).is(200)
	b.importAPIs(apiOf(org, "meanwhile")).is(200)
	b.user(org, "meanwhile@example.org", nil)
	whole := b.do("GET", "/api/apis?p=-1", nil, asUser(user.AccessKey)).is(200)
	require.Equal(t, manyDocuments+1, strings.Count(whole.body, `"api_definition"`), "a fast client gets a whole list")

	raw, err := io.ReadAll(unread[len(unread)-1])
	require.NoError(t, err)
	var list struct {
		APIs []json.RawMessage `json:"apis"`
	}
	require.NoError(t, json.Unmarshal(raw, &list))
	require.Len(t, list.APIs, manyDocuments, "what was added meanwhile is not in the list")
}

// TestListsAreConsistent changes rows while a client reads a list.
func TestListsAreConsistent(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, func(c *server.Config) { c.Limits.BodyTimeout = unlimited })
	org := b.org()
	b.fill(org, manyDocuments)
	body := b.getSlowly("/admin/apis", "")
	b.waitForFreeConnections()
	storetest.Exec(t, b.conn, `DELETE FROM apis WHERE api_id IN ('many-1', 'many-3000')`)
	for _, id := range []string{"many-1", "many-3000", "new"} {
		b.importAPIs(apiOf(org, id)).is(200)
	}
	raw, err := io.ReadAll(body)
	require.NoError(t, err)
	times := map[string]int{}
	for _, id := range regexp.MustCompile(`"api_id":"([^"]+)"`).FindAllSubmatch(raw, -1) {
		times[string(id[1])]++
	}
	want := map[string]int{} // many-1 was sent before it was deleted, and is not sent again
	for n := 1; n < manyDocuments; n++ {
		want[fmt.Sprint("many-", n)] = 1
	}
	require.Equal(t, want, times)
}

// TestListsOfAnySize lists documents whose sizes differ by much, as a whole and in pages.
func TestListsOfAnySize(t *testing.T) {
	t.Parallel()
	patient := func(c *server.Config) { c.Limits.BodyTimeout = unlimited } // the harness checks each response for long
	b := setup(t, patient)
	org := b.org()
	storetest.Exec(t, b.conn, `INSERT INTO apis (api_id, id, org_id, active, document)
		SELECT 'api-' || n, lpad(to_hex(n), 24, '0'), $1, true,
			replace(replace($2, 'NUMBER', n::text), 'FILLER',
				repeat('x', CASE WHEN n BETWEEN 20 AND 32 THEN 1000000 WHEN n % 97 = 0 THEN 300000 ELSE n % 50 END))::json
		FROM generate_series(1, 400) AS n`, org, apiOf(org, "api-NUMBER", `"slug":"FILLER"`))
	ids := func(path string) (ids []string, pages int) {
		var list struct {
			APIs []struct {
				Definition struct {
					APIID string `json:"api_id"`
				} `json:"api_definition"`
			} `json:"apis"`
			Pages int `json:"pages"`
		}
		b.admin("GET", path, nil).is(200).json(&list)
		for _, api := range list.APIs {
			ids = append(ids, api.Definition.APIID)
		}
		return ids, list.Pages
	}
	var want []string
	for n := 1; n <= 400; n++ {
		want = append(want, fmt.Sprint("api-", n))
	}
	all, pages := ids("/admin/apis")
	require.Equal(t, want, all)
	require.Zero(t, pages)
	var paged []string
	for page := 1; page <= 41; page++ {
		got, pages := ids(fmt.Sprint("/admin/apis?p=", page))
		require.Equal(t, 40, pages)
		paged = append(paged, got...)
	}
	require.Equal(t, want, paged)

	b = setupOn(t, b.conn, patient, func(c *server.Config) { c.PageSize = 300 }) // more than a chunk
	paged = nil
	for page := 1; page <= 2; page++ {
		got, _ := ids(fmt.Sprint("/admin/apis?p=", page))
		paged = append(paged, got...)
	}
	require.Equal(t, want, paged)
}
