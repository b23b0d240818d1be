package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
)

// publishedToy is an older contract of the toy's original: without the removal of a boat, the status 409, and the
// member length.
const publishedToy = `{"openapi": "3.0.3", "info": {"title": "Moorings", "version": "0"}, "paths": {
	"/boats": {"post": {"responses": {"201": {"description": "", "content": {"application/json": {"schema": {"type": "object",
		"properties": {"id": {"type": "string"}, "name": {"type": "string"}, "key": {"type": "string"}}}}}}}}},
	"/boats/{id}": {"get": {"responses": {"200": {"description": "", "content": {"application/json": {"schema": {"type": "object",
		"properties": {"id": {"type": "string"}, "name": {"type": "string"}}}}}}}}}}}`

// TestCheckOfThePublishedContract checks a server that loses what only the newer contract has.
func TestCheckOfThePublishedContract(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, target conformance.Target) (*conformance.Report, string) {
		t.Helper()
		document, err := openapi3.NewLoader().LoadFromData([]byte(publishedToy))
		require.NoError(t, err)
		files := toyFiles(t, "common.yaml", "path: {boat: '${response:/id}'}}", "path: {boat: '${response:/id}'}, gone: [unknown_boat]}")
		runner := toyRunner(t, files, func(cfg *conformance.RunnerConfig) {
			cfg.Published = conformance.NewPublished(document)
		})
		report, err := conformance.Check(t.Context(), runner, conformance.Options{Target: target, Parallel: 1})
		require.NoError(t, err)
		var text strings.Builder
		require.NoError(t, report.WriteText(&text))
		require.True(t, report.Held(), text.String())
		require.Equal(t, conformance.Counts{Driven: 2, NotDriven: 7}, report.Counts())
		require.Contains(t, text.String(), "   7  not in the published contract\n")
		return report, text.String()
	}
	t.Run("it removes what it made by a call that only the server has", func(t *testing.T) {
		t.Parallel()
		h, target := startHarbour(t)
		h.forgetful = true
		report, _ := check(t, target)
		require.Empty(t, report.Leftovers())
		require.Zero(t, h.left())
	})
	t.Run("a server without the call, whose 404 does not mean that nothing is left", func(t *testing.T) {
		t.Parallel()
		h, target := startHarbour(t)
		h.forgetful = true
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/boats/b") && r.URL.Path != "/boats/boat-1" {
				http.NotFound(w, r)
				return
			}
			h.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		target.URL = server.URL
		report, text := check(t, target)
		require.Equal(t, 3, h.left())
		require.Len(t, report.Leftovers(), 3)
		require.Contains(t, text, "Not removed (1): DELETE /boats/b1: 404: 404 page not found\n")
	})
}

// TestUndoByAnotherCall removes what was made by the alternative that the published contract has, with a credential of
// the response.
func TestUndoByAnotherCall(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	var tried []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/boats/b") { // as if it removed the boat
			tried = append(tried, r.URL.Path+" "+r.Header.Get("Boat-Key"))
			r.Method = http.MethodDelete
			r.Header.Set("Harbour-Key", harbourKey)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	target.URL = server.URL
	document, err := openapi3.NewLoader().LoadFromData([]byte(publishedToy))
	require.NoError(t, err)
	files := toyFiles(t, "common.yaml", "registerBoat: {call: removeBoat, path: {boat: '${response:/id}'}}", `registerBoat:
    - {call: removeBoat, path: {boat: '${response:/id}'}}
    - {call: getBoat, path: {boat: '${response:/id}'}, credential: '${response:/key}'}`)
	runner := toyRunner(t, files, func(cfg *conformance.RunnerConfig) {
		cfg.Published = conformance.NewPublished(document)
	})
	report, err := conformance.Check(t.Context(), runner, conformance.Options{
		Target: target, Parallel: 1, Only: []string{"registerBoat/ok"},
	})
	require.NoError(t, err)
	require.True(t, report.Held())
	require.Empty(t, report.Leftovers())
	require.Zero(t, h.left())
	require.Equal(t, []string{"/boats/b1 secret-1"}, tried)
}
