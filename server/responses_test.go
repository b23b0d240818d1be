package server_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// object is a JSON object.
type object = map[string]any

// at returns the object below o.
func (d specDocument) at(path ...string) object {
	o := object(d)
	for _, name := range path {
		o, _ = o[name].(object)
	}
	return o
}

// specDocument is a contract as JSON.
type specDocument object

// strictContract is the contracts, changed so that responses of the server depart from them: a user has a nickname, an
// API has a slug, getOrg declares no 404 and deleteOrg no failure. It is compiled once for all tests.
var strictContract = sync.OnceValues(func() (*contract.Contract, error) {
	var documents []specDocument
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		raw, err := get()
		if err != nil {
			return nil, err
		}
		var d specDocument
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, err
		}
		documents = append(documents, d)
	}
	makeStrict(documents[0], documents[2])
	var specs [][]byte
	for _, d := range documents {
		raw, err := json.Marshal(d)
		if err != nil {
			return nil, err
		}
		specs = append(specs, raw)
	}
	return contract.Load(contract.Rules{}, specs...)
})

// makeStrict changes two of the contracts for strictContract.
func makeStrict(admin, node specDocument) {
	withSlug := object{
		"type": "object", "properties": object{"api_definition": object{"type": "object", "required": []string{"slug"}}},
	}
	user := admin.content("/admin/users/{userId}", "get", "200")
	user["schema"] = object{"type": "object", "required": []string{"nickname"}}
	admin.content("/admin/apis", "get", "200")["schema"] = listOf("apis", withSlug)
	node.content("/system/apis", "get", "200")["schema"] = listOf("Message", withSlug)
	delete(admin.at("paths", "/admin/organisations/{orgID}", "get", "responses"), "404")
	delete(admin.at("paths", "/admin/organisations/{orgID}", "delete", "responses"), "400")
}

// content returns the JSON content of a response.
func (d specDocument) content(path, method, status string) object {
	return d.at("paths", path, method, "responses", status, "content", "application/json")
}

// listOf is the schema of an object with a list called name, whose elements match items.
func listOf(name string, items object) object {
	return object{
		"type": "object", "required": []string{name},
		"properties": object{name: object{"type": "array", "items": items}},
	}
}

// departing returns a server whose responses are checked against strictContract. The harness does not check them.
func departing(t *testing.T, mode server.ResponseCheck) *bundle {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{
		ConnString: storetest.Database(t), Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	b := &bundle{t: t, store: db, log: &logBuffer{}}
	strict, err := strictContract()
	require.NoError(t, err)
	s, err := server.New(server.Config{
		Store: db, Log: slog.New(slog.NewTextHandler(b.log, nil)), Now: time.Now,
		AdminSecret: secret, NodeSecret: nodeSecret, PageSize: 10, Limits: testLimits, CheckResponses: mode,
		Contract: strict,
	})
	require.NoError(t, err)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

// departures returns the metric of an operation, "" if it has none.
func (b *bundle) departures(operation, status string) string {
	b.t.Helper()
	prefix := `gatehouse_contract_departures_total{operation="` + operation + `",status="` + status + `"} `
	_, count, _ := strings.Cut(b.admin("GET", "/metrics", nil).is(200).body, prefix)
	count, _, _ = strings.Cut(count, "\n")
	return count
}

// departureLines returns the lines of the log about departures.
func (b *bundle) departureLines() (lines []string) {
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, "departs from the contract") && strings.Contains(line, "pointer=") {
			lines = append(lines, line)
		}
	}
	return lines
}

const userPath = "/admin/users/"

func TestResponsesAreNotChecked(t *testing.T) {
	t.Parallel()
	for _, mode := range []server.ResponseCheck{server.ResponsesUnchecked, ""} {
		b := departing(t, mode)
		user := b.user(b.org(), "u@example.org", nil)
		require.Equal(t, "u@example.org", b.admin("GET", userPath+user.Id, nil).is(200).user().EmailAddress)
		require.Empty(t, b.departures("getUserDetail", "200"))
		require.Empty(t, b.departureLines())
	}
}

func TestDeparturesAreReported(t *testing.T) {
	t.Parallel()
	b := departing(t, server.DeparturesReported)
	user := b.user(b.org(), "u@example.org", nil)
	require.Empty(t, b.departureLines(), "other responses do not depart")
	got := b.admin("GET", userPath+user.Id, nil, header("X-Request-ID", "the-request")).is(200)
	require.Equal(t, "u@example.org", got.user().EmailAddress)
	require.NotEmpty(t, got.header.Get("Content-Length"))
	require.Equal(t, "1", b.departures("getUserDetail", "200"))
	lines := b.departureLines()
	require.Len(t, lines, 1)
	for _, want := range []string{
		"level=ERROR", "operation=getUserDetail", "status=200", "pointer=/nickname", `reason="property \"nickname\" is missing"`, "problems=1", "request=the-request",
	} {
		require.Contains(t, lines[0], want)
	}
	for _, hidden := range []string{"u@example.org", user.Id, user.AccessKey} {
		require.NotContains(t, lines[0], hidden)
	}
	b.admin("GET", userPath+user.Id, nil).is(200)
	require.Equal(t, "2", b.departures("getUserDetail", "200"))
}

func TestUndeclaredStatusDeparts(t *testing.T) {
	t.Parallel()
	failed := loadedContract().Operation("getOrg").Responses["failed"]
	for mode, want := range map[server.ResponseCheck]int{
		server.DeparturesReported: http.StatusNotFound, server.DeparturesRefused: failed.Status,
	} {
		b := departing(t, mode)
		got := b.admin("GET", "/admin/organisations/nope", nil).is(want)
		require.Equal(t, want == http.StatusNotFound, got.envelope().Message != failed.Message, got.body)
		require.Len(t, b.departureLines(), 1)
		require.Contains(t, b.departureLines()[0], `operation=getOrg status=404 pointer="" reason="status 404 is not declared"`)
		require.Equal(t, "1", b.departures("getOrg", "404"))
	}
}

// TestFailureIsSentInAnyCase holds that a request whose failure is not declared either fails.
func TestFailureIsSentInAnyCase(t *testing.T) {
	t.Parallel()
	b := departing(t, server.DeparturesRefused)
	b.store.Close()
	b.admin("DELETE", "/admin/organisations/nope", nil).message(500, "Internal Server Error")
	require.Len(t, b.departureLines(), 1)
	require.Equal(t, "1", b.departures("deleteOrg", "400"))
}

func TestDeparturesAreRefused(t *testing.T) {
	t.Parallel()
	b := departing(t, server.DeparturesRefused)
	user := b.user(b.org(), "u@example.org", nil)
	got := b.admin("GET", userPath+user.Id, nil)
	failed := loadedContract().Operation("getUserDetail").Responses["failed"]
	got.message(failed.Status, failed.Message)
	require.NotContains(t, got.body, "u@example.org")
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, "1", b.departures("getUserDetail", "200"))
	require.Len(t, b.departureLines(), 1)
	require.Contains(t, b.log.String(), "route=/admin/users/:userId status=500", "what was sent is logged")
	b.admin("GET", userPath+"nope", nil).is(404) // other responses do not depart
	require.Len(t, b.departureLines(), 1)
}

// fillUntil imports APIs of 4 KiB; only the last one has no slug.
func (b *bundle) fillUntil(apis int) {
	b.t.Helper()
	org := b.org()
	documents := make([]string, 0, apis)
	for i := range apis {
		slug := `"slug":"s",`
		if i == apis-1 {
			slug = ""
		}
		documents = append(documents, apiOf(org, "api"+strings.Repeat("x", i), slug+`"config_data":{"x":"`+strings.Repeat("x", 4<<10)+`"}`))
	}
	b.importAPIs(documents...).is(200)
}

// read reads a response until its end or its failure.
func (b *bundle) read(path string) (status int, body string, err error) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	require.NoError(b.t, err)
	r.Header.Set("Admin-Auth", secret)
	r.Header.Set("Authorization", nodeSecret)
	r.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

// manyPieces is a number of APIs that takes several writes, of 64 KiB each.
const manyPieces = 40

// TestListsThatDepartAreReported holds that the first documents of a list are checked, and the others are not.
func TestListsThatDepartAreReported(t *testing.T) {
	t.Parallel()
	for apis, want := range map[int]string{2: "1", manyPieces: ""} {
		b := departing(t, server.DeparturesReported)
		b.fillUntil(apis)
		for path, operation := range map[string]string{"/admin/apis": "exportAPIs", "/system/apis": "getNodeAPIs"} {
			status, body, err := b.read(path)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status)
			require.True(t, json.Valid([]byte(body)))
			require.Equal(t, want, b.departures(operation, "200"))
		}
		lines := strings.Join(b.departureLines(), "")
		require.Equal(t, want != "", strings.Contains(lines, "operation=exportAPIs status=200 pointer=/apis/1/api_definition "))
		require.Equal(t, want != "", strings.Contains(lines, "operation=getNodeAPIs status=200 pointer=/Message/1/api_definition "))
	}
}

func TestListsThatDepartAreBrokenOff(t *testing.T) {
	t.Parallel()
	b := departing(t, server.DeparturesRefused)
	b.fillUntil(manyPieces)
	status, body, err := b.read("/admin/apis")
	require.Equal(t, http.StatusOK, status)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a client cannot take it for the whole list")
	require.Greater(t, len(body), 64<<10)
	require.Equal(t, "1", b.departures("exportAPIs", "200"))

	status, body, err = b.read("/system/apis")
	require.NoError(t, err, "a gateway would take it for a lost dashboard")
	require.Equal(t, http.StatusOK, status)
	var syntax *json.SyntaxError
	require.ErrorAs(t, json.NewDecoder(strings.NewReader(body)).Decode(new(any)), &syntax)
	require.NotContains(t, syntax.Error(), "EOF")
	require.Equal(t, "1", b.departures("getNodeAPIs", "200"))
	require.Len(t, b.departureLines(), 2)
}

func TestShortListsThatDepartAreRefused(t *testing.T) {
	t.Parallel()
	b := departing(t, server.DeparturesRefused)
	b.fillUntil(1)
	status, body, err := b.read("/admin/apis")
	require.NoError(t, err)
	failed := loadedContract().Operation("exportAPIs").Responses["failed"]
	require.Equal(t, failed.Status, status)
	require.JSONEq(t, `{"Status":"Error","Message":"`+failed.Message+`","Meta":null}`, body)
	require.Len(t, b.departureLines(), 1)
}
