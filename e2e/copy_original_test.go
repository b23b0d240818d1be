package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// original answers as Tyk Dashboard does (docs/behaviour.md): its admin API has no lists of users, APIs and policies,
// and a path that it does not know is its page for browsers, or a 404. Bodies are compact, with members in its order.
type original struct {
	*httptest.Server

	mu       sync.Mutex // guards received, for the time of one request
	received []string   // method, path and body of requests that change something
}

// The objects of the original.
const (
	originalOrganisation = "5e9d9544a1dcd60001d0ed20"
	originalDocument     = `{"id":"` + originalOrganisation + `","owner_name":"Tyk Demo","owner_slug":"","cname_enabled":true,"cname":"tyk-portal.localhost:3000","apis":[{"api_human_name":"Httpbin","api_id":"727dad85","unknown":1e3}],"sso_enabled":false,"developer_quota":0,"developer_count":0,"event_options":{"key_event":{"webhook":"","email":"","redis":true}},"hybrid_enabled":false,"ui":{"languages":{},"hide_help":false,"default_lang":"","login_page":{},"nav":{},"uptime":{},"portal_section":{},"designer":{},"dont_show_admin_sockets":false,"dont_allow_license_management":false,"dont_allow_license_management_view":false,"cloud":false,"dev":false},"org_options_meta":{},"open_policy":{"rules":"","enabled":false},"additional_permissions":{}}`
	otherOriginal        = "5e9d9544a1dcd60001d0ed21"
	otherDocument        = `{"id":"` + otherOriginal + `","owner_name":"Second","owner_slug":"","cname_enabled":false,"cname":"<no value>","apis":[],"event_options":{}}`

	originalUser = `{"api_model":{},"first_name":"Jane","last_name":"Doe","email_address":"Jane@example.org","org_id":"` + originalOrganisation + `","active":true,"id":"5f7f98427fea06e1b637b2b9","access_key":"63da42beed3840bd4cfe69fe3705c9b9","user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"},"group_id":"","password_max_days":0,"password_updated":"2020-10-08T22:52:50.442Z","PWHistory":["$2a$10$x"],"last_login_date":"0001-01-01T00:00:00Z","created_at":"2020-10-08T22:52:50.442Z"}`
	maskedUser   = `{"api_model":{},"first_name":"","last_name":"","email_address":"portal@example.org","org_id":"` + otherOriginal + `","active":true,"id":"5f7f98427fea06e1b637b2ba","access_key":"","user_permissions":{"websockets":"read"},"group_id":"","password_max_days":0,"password_updated":"0001-01-01T00:00:00Z","PWHistory":[],"last_login_date":"0001-01-01T00:00:00Z","created_at":"2020-10-08T22:52:50.442Z"}`
	superUser    = `{"api_model":{},"first_name":"Super","last_name":"User","email_address":"super@example.org","org_id":"","active":true,"id":"5f7f98427fea06e1b637b2bb","access_key":"0123456789abcdef0123456789abcdef","user_permissions":{"IsAdmin":"admin"},"group_id":"","password_max_days":0,"password_updated":"0001-01-01T00:00:00Z","PWHistory":[],"last_login_date":"0001-01-01T00:00:00Z","created_at":"2020-10-08T22:52:50.442Z"}`

	originalAPI = `{"api_model":{},"api_definition":{"api_id":"727dad853a8a45f64ab981154d1ffdad","jwt_issued_at_validation_skew":0,"id":"5e9d9544a1dcd60001d0ed22","name":"Httpbin #demo","slug":"httpbin","org_id":"` + originalOrganisation + `","active":true,"use_keyless":true,"version_data":{"not_versioned":true,"default_version":"","versions":{"Default":{"name":"Default","expires":"","use_extended_paths":true}}},"proxy":{"listen_path":"/httpbin/","target_url":"http://httpbin/","strip_listen_path":true},"tags":[],"config_data":{}},"hook_references":[],"is_site":false,"sort_by":0,"user_group_owners":[],"user_owners":["5f7f98427fea06e1b637b2b9"],"created_at":"2020-10-08T22:52:50.442Z","updated_at":"2020-10-08T22:52:50.442Z"}`
	brokenAPI   = `{"api_model":{},"api_definition":{"api_id":"broken","id":"5e9d9544a1dcd60001d0ed23","name":7,"org_id":"` + otherOriginal + `"},"hook_references":[]}`

	originalPolicy = `{"_id":"5ead72955759610001818688","id":"5ead72955759610001818688","name":"Gold","org_id":"` + originalOrganisation + `","rate":1000,"per":60,"quota_max":-1,"quota_renewal_rate":-1,"access_rights":{"727dad853a8a45f64ab981154d1ffdad":{"api_name":"Httpbin","api_id":"727dad853a8a45f64ab981154d1ffdad","versions":["Default"]}},"access_rights_array":[{"api_name":"Httpbin","api_id":"727dad853a8a45f64ab981154d1ffdad","versions":["Default"]}],"active":true,"is_inactive":false,"state":"active","tags":[],"key_expires_in":0,"partitions":{"quota":false,"rate_limit":false,"acl":false},"last_updated":"1588424341","meta_data":null,"date_created":"2020-05-02T13:12:21.45Z"}`

	originalKey = `{"api_model":{},"key_id":"` + originalOrganisation + `","data":{"last_check":0,"allowance":10,"rate":10,"per":60,"expires":1.718439136e+09,"quota_max":100,"quota_renews":%d,"quota_remaining":%d,"quota_renewal_rate":60,"org_id":"` + originalOrganisation + `","tags":[],"meta_data":{}},"key_hash":""}`
)

// page is what the original answers where it has no route.
const page = `<!doctype html><html><head><title>Tyk Dashboard</title></head><body></body></html>`

// newOriginal returns a running original: withKeys, a gateway answers for its organisation keys; broken, it has an API
// that gateways do not decode.
func newOriginal(t *testing.T, withKeys, broken bool) *original {
	t.Helper()
	apis := originalAPI
	if broken {
		apis += "," + brokenAPI
	}
	o := new(original)
	var renews int
	mux := http.NewServeMux()
	admin := func(pattern string, status int, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("admin-auth") != "12345" {
				status, body = http.StatusUnauthorized, `{"Status":"Error","Message":"Not authorised","Meta":null}`
			}
			o.answer(w, r, status, body)
		})
	}
	admin("GET /admin/organisations", 200, `{"organisations":[`+originalDocument+`,`+otherDocument+`],"pages":0}`)
	admin("GET /admin/organisations/"+originalOrganisation, 200, originalDocument)
	admin("GET /admin/organisations/"+otherOriginal, 200, otherDocument)
	admin("GET /admin/organisations/{id}", 404, `{"Status":"Error","Message":"Could not retrieve org detail","Meta":null}`)
	admin("POST /admin/organisations/import", 200, `{"Status":"OK","Message":"Org imported","Meta":"x"}`)
	admin("POST /admin/users", 200, `{"Status":"OK","Message":"63da42beed3840bd4cfe69fe3705c9b9","Meta":`+originalUser+`}`)
	admin("PUT /admin/users/{id}", 200, `{"Status":"OK","Message":"User updated","Meta":""}`)
	admin("POST /admin/apis/import", 200, `{"Status":"OK","Message":"APIs imported","Meta":{"x":true}}`)
	admin("POST /admin/policies/import", 200, `{"Status":"OK","Message":"Policies imported","Meta":{"x":true}}`)
	admin("GET /admin/policies", 404, "404 page not found\n")
	if withKeys {
		admin("GET /admin/org/keys", 200, `{"data":{"keys":["`+originalOrganisation+`","1a2b3c"]},"pages":1}`)
		mux.HandleFunc("GET /admin/org/keys/"+originalOrganisation, func(w http.ResponseWriter, r *http.Request) {
			renews++ // the gateway counts
			o.answer(w, r, 200, fmt.Sprintf(originalKey, 1700000000+renews, 100-renews))
		})
	} else {
		admin("GET /admin/org/keys", 404, `{"Status":"Error","Message":"Could not retrieve keys","Meta":null}`)
	}
	dashboard := func(path, all, ofOrganisation string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Authorization") {
			case "0123456789abcdef0123456789abcdef":
				o.answer(w, r, 200, all)
			case "63da42beed3840bd4cfe69fe3705c9b9":
				o.answer(w, r, 200, ofOrganisation)
			default:
				o.answer(w, r, 401, `{"Status":"Error","Message":"Not authorised","Meta":null}`)
			}
		})
	}
	dashboard("/api/users", `{"users":[`+superUser+`,`+originalUser+`,`+maskedUser+`],"pages":1}`, `{"users":[`+originalUser+`],"pages":1}`)
	dashboard("/api/apis", `{"apis":[`+apis+`],"pages":1}`, `{"apis":[`+originalAPI+`],"pages":1}`)
	dashboard("/api/portal/policies", `{"Data":[`+originalPolicy+`],"Pages":1}`, `{"Data":[`+originalPolicy+`],"Pages":1}`)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { o.answer(w, r, 200, page) })
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

// answer sends a response, and records a request that changes something.
func (o *original) answer(w http.ResponseWriter, r *http.Request, status int, body string) {
	sent, _ := io.ReadAll(r.Body) // a request that is cut off is another's failure
	if r.Method != http.MethodGet {
		o.mu.Lock()
		o.received = append(o.received, r.Method+" "+r.URL.Path+" "+string(sent))
		o.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(body, "<") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// copiedFrom runs the command copy from the original.
func copiedFrom(o *original, to *server, accessKeys ...string) (status int, out, log string) {
	to.t.Helper()
	args := []string{
		"copy", "--from", o.URL, "--from-secret-file", secretFile(to.t, "12345"),
		"--to", "http://" + to.address, "--to-secret-file", secretFile(to.t, to.adminSecret()),
	}
	for _, key := range accessKeys {
		args = append(args, "--from-access-key-file", secretFile(to.t, key))
	}
	return runCommand(to.t, args...)
}

// TestCopyFromOriginal copies what the admin API of the original gives, and says what it does not.
func TestCopyFromOriginal(t *testing.T) {
	t.Parallel()
	to, from := startServer(t), newOriginal(t, false, false)
	for _, counts := range []string{"2 +0 +0 +0", "0 +0 +2 +0"} {
		status, out, log := copiedFrom(from, to)
		require.Zero(t, status, log)
		require.Regexp(t, `(?m)^organisations +`+counts+`$`, out)
		require.Contains(t, out, "  organisation keys: the server does not list them: GET /admin/org/keys: 404 Not Found: Could not retrieve keys\n")
		require.Contains(t, out, "  users: the server does not list them: GET /admin/users: 200 OK: the response has no list \"users\"")
		require.Contains(t, out, "  APIs: the server does not list them: GET /admin/apis: 200 OK: the response has no list \"apis\"")
		require.Contains(t, out, "  policies: the server does not list them: GET /admin/policies: 404 Not Found\n")
		require.Contains(t, out, "--from-access-key-file")
	}
	_, organisations := to.get("/admin/organisations/"+originalOrganisation, "Admin-Auth", to.adminSecret())
	require.Equal(t, originalDocument, strings.TrimSpace(organisations))
	require.Empty(t, from.received, "nothing is changed at the source")
}

// TestCopyFromOriginalWithAccessKeys copies everything, with the access key of a super user.
func TestCopyFromOriginalWithAccessKeys(t *testing.T) {
	t.Parallel()
	to, from := startServer(t), newOriginal(t, true, true)
	status, out, log := copiedFrom(from, to, "0123456789abcdef0123456789abcdef")
	require.Equal(t, 1, status, out+log)
	require.Contains(t, log, `gatehouse: API broken of organisation "`+otherOriginal+`" was not copied: POST /admin/apis/import: 403`)
	require.Contains(t, log, "/api_definition/name: value must be a string")
	require.Regexp(t, `(?m)^users +3 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^APIs +1 +0 +0 +1$`, out)
	require.Regexp(t, `(?m)^policies +1 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^organisation keys +1 +0 +0 +0$`, out)
	require.Contains(t, out, "These users have another access key on the target:\n  portal@example.org (organisation "+otherOriginal+")\n")
	require.Contains(t, out, "user_owners and user_group_owners of APIs (1)")
	require.NotContains(t, out, "--from-access-key-file")
	require.NotContains(t, out+log, "63da42beed3840bd4cfe69fe3705c9b9", "access keys are not printed")
	_, apis := to.get("/admin/apis", "Admin-Auth", to.adminSecret())
	require.Equal(t, `{"apis":[`+originalAPI+`],"pages":0}`, strings.TrimSpace(apis))
	_, policies := to.get("/admin/policies", "Admin-Auth", to.adminSecret())
	require.Equal(t, `{"Data":[`+originalPolicy+`],"Pages":0}`, strings.TrimSpace(policies))
	require.Equal(t, "63da42beed3840bd4cfe69fe3705c9b9", keyOf(to, originalOrganisation, "jane@example.org"))

	status, out, log = copiedFrom(from, to, "0123456789abcdef0123456789abcdef")
	require.Equal(t, 1, status, log)
	for _, kind := range []string{"organisations", "users", "APIs", "policies", "organisation keys"} {
		require.Regexp(t, `(?m)^`+kind+` +0 +0 +[123] +[01]$`, out, "what a gateway counts is no change")
	}
	require.Empty(t, from.received)

	// The key of a user is good for an organisation.
	fresh := startServer(t)
	status, out, log = copiedFrom(from, fresh, "63da42beed3840bd4cfe69fe3705c9b9")
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^APIs +1 +0 +0 +0$`, out)
	require.Contains(t, out, `no access key belongs to a user of organisation "`+otherOriginal+`", or to a super user`)

	status, _, log = copiedFrom(from, fresh, "wrong")
	require.Equal(t, 1, status)
	require.Contains(t, log, "access key 1: GET /api/users: 401 Unauthorized: Not authorised")
	require.NotContains(t, log, "wrong")
}

// TestCopyToOriginal moves out: the original gets imports, and does not say what it has.
func TestCopyToOriginal(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), newOriginal(t, false, false)
	organisation := from.newOrganisation()
	from.postAdmin("/admin/users", `{"org_id":"`+organisation+`","email_address":"ines@rivermouth.example","active":true}`)
	api := `{"api_definition":{"api_id":"tides","id":"5e9d9544a1dcd60001d0ed24","org_id":"` + organisation + `","x":1.50}}`
	from.importAll("/admin/apis/import", "apis", []string{api})
	status, out, log := runCommand(t, "copy", "--from", "http://"+from.address, "--from-secret-file", secretFile(t, from.adminSecret()),
		"--to", to.URL, "--to-secret-file", secretFile(t, "12345"))
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^APIs +1 +0 +0 +0$`, out)
	require.Contains(t, out, "APIs of the target: it does not list them")
	received := strings.Join(to.received, "\n")
	require.Contains(t, received, `POST /admin/organisations/import {"id":"`+organisation+`"`)
	require.Contains(t, received, `POST /admin/apis/import {"apis":[`+api+`]}`)
	require.Contains(t, received, `"access_key":"`+keyOf(from, organisation, "ines@rivermouth.example")+`"`)
}

// TestCopyToOriginalWithAccessKey compares with what a super user of the target sees.
func TestCopyToOriginalWithAccessKey(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), newOriginal(t, false, false)
	from.postAdmin("/admin/organisations/import", originalDocument)
	changed := strings.Replace(originalAPI, "http://httpbin/", "http://new.example/", 1)
	from.importAll("/admin/apis/import", "apis", []string{changed})
	from.importAll("/admin/policies/import", "Data", []string{originalPolicy})
	status, out, log := runCommand(t, "copy", "--from", "http://"+from.address, "--from-secret-file", secretFile(t, from.adminSecret()),
		"--to", to.URL, "--to-secret-file", secretFile(t, "12345"),
		"--to-access-key-file", secretFile(t, "0123456789abcdef0123456789abcdef"))
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^organisations +0 +0 +1 +0$`, out)
	require.Regexp(t, `(?m)^APIs +0 +1 +0 +0$`, out)
	require.Regexp(t, `(?m)^policies +0 +0 +1 +0$`, out)
	require.Equal(t, []string{`POST /admin/apis/import {"apis":[` + changed + `]}`}, to.received)
}

// TestMovingGuide runs the steps of docs/moving.md.
func TestMovingGuide(t *testing.T) {
	t.Parallel()
	to, from := startServer(t), newOriginal(t, true, false)
	steps := stepsOf(readFile(t, filepath.Join(repository, "docs", "moving.md")))
	require.NotEmpty(t, steps)
	for i := range steps {
		steps[i].commands = strings.NewReplacer("http://tyk-dashboard:3000", from.URL, "127.0.0.1:3000", to.address).
			Replace(steps[i].commands)
	}
	setup := "set -e\nPATH=" + filepath.Dir(program(t)) + ":$PATH\ncp " + to.dir + "/admin-secret .\n" +
		"echo 12345 > old-secret\necho 0123456789abcdef0123456789abcdef > super-user-key\n" +
		"export GATEHOUSE_DATA_DIR=" + to.dir + " GATEHOUSE_LISTEN=" + to.address + "\n"
	outputs, rest, err := runSteps(t, setup, steps)
	require.NoError(t, err, rest)
	requireOutputs(t, steps, outputs)
}
