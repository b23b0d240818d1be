package remote_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/remote"
)

// open returns a server of the Admin API that answers as handler does.
func open(t *testing.T, handler http.HandlerFunc) *remote.Server {
	t.Helper()
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	calls, err := client.New(web.URL, client.WithAdminSecret("secret"))
	require.NoError(t, err)
	wait := func(context.Context, time.Duration) error { return nil }
	s := remote.New(remote.Config{Client: calls, SpoolDir: t.TempDir(), Wait: wait})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// apiNamed returns an API.
func apiNamed(id string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"api_definition":{"api_id":%q}}`, id))
}

// sentIDs returns the IDs of the APIs in the body of an import.
func sentIDs(t *testing.T, r *http.Request) (ids []string) {
	t.Helper()
	var body struct{ APIs []json.RawMessage }
	assert.NoError(t, json.NewDecoder(r.Body).Decode(&body))
	for _, doc := range body.APIs {
		ids = append(ids, remote.IDOf(remote.API, doc))
	}
	return ids
}

// imported imports APIs, and returns the IDs of those that were refused, with the reasons.
func imported(t *testing.T, s *remote.Server, ids ...string) (refused map[string]string, err error) {
	t.Helper()
	refused = map[string]string{}
	imp := s.Import(remote.API, func(doc json.RawMessage, cause error) {
		refused[remote.IDOf(remote.API, doc)] = cause.Error()
	})
	for _, id := range ids {
		if err := imp.Add(t.Context(), apiNamed(id)); err != nil {
			return refused, err
		}
	}
	return refused, imp.Flush(t.Context())
}

// manyIDs returns IDs.
func manyIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("api%d", i))
	}
	return ids
}

// TestImportFindsWhatIsRefusedAsAWhole imports the others, whatever status a server has for a body that it does not
// accept.
func TestImportFindsWhatIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusInternalServerError} {
		stored := map[string]bool{}
		s := open(t, func(w http.ResponseWriter, r *http.Request) {
			ids := sentIDs(t, r)
			if slices.Contains(ids, "api77") {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"Status":"Error","Message":"not that one","Meta":null}`)
				return
			}
			for _, id := range ids {
				assert.False(t, stored[id], "each is stored once")
				stored[id] = true
			}
			_, _ = io.WriteString(w, `{"Status":"OK","Message":"APIs imported","Meta":{}}`)
		})
		refused, err := imported(t, s, manyIDs(1_200)...)
		require.NoError(t, err)
		require.Len(t, refused, 1)
		require.Contains(t, refused["api77"], "not that one")
		require.Len(t, stored, 1_199)
	}
}

// TestImportNamesRefusals finds the reason of each refusal of a batch.
func TestImportNamesRefusals(t *testing.T) {
	t.Parallel()
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		meta, message := map[string]bool{}, "APIs imported"
		for _, id := range sentIDs(t, r) {
			if meta[id] = !strings.HasSuffix(id, "7"); !meta[id] {
				message = "the last is " + id
			}
		}
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]any{"Status": "OK", "Message": message, "Meta": meta}))
	})
	refused, err := imported(t, s, manyIDs(100)...)
	require.NoError(t, err)
	require.Len(t, refused, 10)
	require.Contains(t, refused["api57"], "the last is api57")
}

// TestImportEndsWhenTheServerFails does not try every document.
func TestImportEndsWhenTheServerFails(t *testing.T) {
	t.Parallel()
	requests := 0
	s := open(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusInternalServerError)
	})
	_, err := imported(t, s, manyIDs(500)...)
	require.ErrorContains(t, err, "20 APIs in a row were not stored: POST /admin/apis/import: 500 Internal Server Error")
	require.Less(t, requests, 60)

	s = open(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	_, err = imported(t, s, "one", "two")
	require.ErrorContains(t, err, "401")
	require.True(t, remote.IsFatal(err))
}

// TestTooManyRequests sends a request again.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	requests := 0
	s := open(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = io.WriteString(w, `{"organisations":[{"id":"one"},{"_id":{"$oid":"two"}}],"pages":0}`)
	})
	ids, err := s.OrganisationIDs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, ids)
	require.Equal(t, 3, requests)
}

// TestListThatIsCutOff is no list that is short, and no operation that is missing.
func TestListThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"apis":[{"api_definition":{"api_id":"one"}},`, `{"apis":[{"api_definition":{"api_id":"one"}}]`, `{"apis":[{"api_de`,
	} {
		s := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		list, err := s.Documents(t.Context(), remote.API, "x")
		require.Error(t, err, body)
		require.NotErrorIs(t, err, remote.ErrLacking, body)
		require.Nil(t, list)
	}
	for _, body := range []string{"", "  <html>", `{"Status":"OK","Message":"","Meta":null}`, `[]`} {
		s := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err := s.Documents(t.Context(), remote.API, "x")
		require.ErrorIs(t, err, remote.ErrLacking, body)
	}
	s := open(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"apis":null,"pages":0}`) })
	list, err := s.Documents(t.Context(), remote.API, "x")
	require.NoError(t, err)
	for doc, err := range list.All() {
		t.Fatal("the list is empty", doc, err)
	}
	require.NoError(t, list.Close())
}

// TestServerThatFailsIsNotLacking reports a failure as such: a copy would take it for nothing to copy.
func TestServerThatFailsIsNotLacking(t *testing.T) {
	t.Parallel()
	s := open(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	_, err := s.Documents(t.Context(), remote.Policy, "x")
	require.ErrorContains(t, err, "GET /admin/policies: 500")
	require.NotErrorIs(t, err, remote.ErrLacking)
}
