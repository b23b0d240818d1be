package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/cli"
)

// The organisations of a filled server.
const (
	largeOrganisation   = "61df10078f11dd00097c0001"
	hostileOrganisation = "61df10078f11dd00097c0002"
	emptyOrganisation   = "61df10078f11dd00097c0003"
)

// hostile is a text that programs change when they decode and encode it, or take for something else.
const hostile = `\u003cscript\u003e 'x' \"; DROP TABLE apis; -- ../../etc/passwd \u001b[31m \u2028 \ud83d\ude00 %00 é`

// manyAPIs is more than one batch of an import has.
const manyAPIs = 3_000

// postAdmin sends a body as it is, and requires success.
func (s *server) postAdmin(path, body string) []byte {
	s.t.Helper()
	return s.sendAdmin(http.MethodPost, path, body)
}

// sendAdmin sends a body as it is, and requires success.
func (s *server) sendAdmin(method, path, body string) []byte {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	require.NoError(s.t, err)
	request.Header.Set("Admin-Auth", s.adminSecret())
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, out.String())
	return out.Bytes()
}

// importAll imports documents of a list, and requires that all of them are stored.
func (s *server) importAll(path, list string, documents []string) {
	s.t.Helper()
	reply := s.postAdmin(path, `{"`+list+`":[`+strings.Join(documents, ",")+`]}`)
	require.NotContains(s.t, string(reply), ":false")
}

// fill gives a server organisations, users, APIs, policies and keys.
func (s *server) fill() {
	s.t.Helper()
	s.postAdmin("/admin/organisations/import", `{"id":"`+largeOrganisation+`","owner_name":"Rivermouth Foods","cname":"portal.example","zeta":1.0e5,"alpha":[]}`)
	s.postAdmin("/admin/organisations/import", `{"owner_name":"`+hostile+`","id":"`+hostileOrganisation+`","event_options":{"key_event":{"email":"`+hostile+`"}}}`)
	s.postAdmin("/admin/organisations/import", `{"id":"`+emptyOrganisation+`","owner_name":""}`)
	var apis, policies []string
	for n := range manyAPIs {
		apis = append(apis, fmt.Sprintf(`{"api_definition":{"api_id":"api %d","id":"%024x","org_id":"%s","name":"n%d","x":1.%d0,"proxy":{"listen_path":"/%d/"}},"user_owners":[]}`,
			n, n+1, largeOrganisation, n, n, n))
		policies = append(policies, fmt.Sprintf(`{"_id":"61df10078f11dd0009%06x","org_id":"%s","name":"p","rate":%d,"access_rights":{}}`, n, largeOrganisation, n))
	}
	s.importAll("/admin/apis/import", "apis", apis)
	s.importAll("/admin/policies/import", "Data", policies)
	s.importAll("/admin/apis/import", "apis", []string{
		`{"b":1,"api_definition":{"name":"` + hostile + `","api_id":"a/b?c=d&e#f","org_id":"` + hostileOrganisation + `"},"a":[1.50, -0]}`,
		`{"api_definition":{"api_id":"` + hostile + `","org_id":"` + hostileOrganisation + `"},"oas":{"openapi":"3.0.3"},"user_owners":["61df10078f11dd00097c00ff"]}`,
	})
	s.importAll("/admin/policies/import", "Data", []string{
		`{"name":"` + hostile + `","id":"` + hostile + `","org_id":"` + hostileOrganisation + `","access_rights":{"a/b?c=d&e#f":{"api_id":"a/b?c=d&e#f"}}}`,
	})
	s.postAdmin("/admin/org/keys", `{"org_id":"`+largeOrganisation+`","rate":5,"per":60.50,"quota_max":-1,"meta_data":{"b":1,"a":"`+hostile+`"}}`)
	for n := range 30 {
		s.postAdmin("/admin/users", fmt.Sprintf(`{"org_id":"%s","email_address":"u%d@rivermouth.example","first_name":"%s","active":%t,"user_permissions":{"apis":"read"},"password_max_days":%d}`,
			largeOrganisation, n, hostile, n%2 == 0, n))
	}
	s.postAdmin("/admin/users", `{"org_id":"`+hostileOrganisation+`","email_address":"u1@rivermouth.example","active":true}`)
	s.postAdmin("/admin/users", `{"org_id":"`+hostileOrganisation+`","email_address":"none@rivermouth.example","user_permissions":{},"group_id":"61df10078f11dd00097c0aaa"}`)
	s.postAdmin("/admin/users", `{"email_address":"root@rivermouth.example","active":true}`)
}

// exported is what a server exports, with its users without what the server itself sets.
func (s *server) exported() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for _, path := range []string{"/admin/organisations", "/admin/apis", "/admin/policies", "/admin/org/keys/" + largeOrganisation} {
		status, body := s.get(path, "Admin-Auth", s.adminSecret())
		require.Equal(s.t, http.StatusOK, status, body)
		all[path] = body
	}
	for _, user := range s.users() {
		user.Id, user.CreatedAt, user.PasswordUpdated = "", user.LastLoginDate, user.LastLoginDate
		raw, err := json.Marshal(user)
		require.NoError(s.t, err)
		all["user "+user.OrgId+" "+user.EmailAddress] = string(raw)
	}
	return all
}

// users returns all users.
func (s *server) users() []client.User {
	s.t.Helper()
	return ok(s.client().ListUsersWithResponse(s.t.Context(), &client.ListUsersParams{}))(s.t).JSON200.Users
}

// secretFile returns the path of a file with a secret.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return path
}

// copied runs the command copy from one server to another.
func copied(from, to *server, flags ...string) (status int, out, log string) {
	from.t.Helper()
	return runCommand(from.t, append([]string{
		"copy", "--from", "http://" + from.address, "--from-secret-file", secretFile(from.t, from.adminSecret()),
		"--to", "http://" + to.address, "--to-secret-file", secretFile(to.t, to.adminSecret()),
	}, flags...)...)
}

// runCommand runs a command that needs no settings of a server.
func runCommand(t *testing.T, args ...string) (status int, out, log string) {
	t.Helper()
	var outBuffer, logBuffer bytes.Buffer
	status = cli.Run(t.Context(), args, cli.Streams{Out: &outBuffer, Log: &logBuffer})
	return status, outBuffer.String(), logBuffer.String()
}

// TestCopyBetweenServers copies everything, and nothing the second time.
func TestCopyBetweenServers(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), startServer(t)
	from.fill()
	for _, user := range from.users() {
		if user.EmailAddress == "u1@rivermouth.example" && user.OrgId == hostileOrganisation {
			from.sendAdmin(http.MethodPut, "/admin/users/"+user.Id, `{"email_address":"u1@rivermouth.example","active":true,"password":"correct-horse"}`)
		}
	}

	status, out, log := copied(from, to)
	require.Zero(t, status, log)
	require.Empty(t, log, "progress is for terminals")
	require.Regexp(t, `(?m)^organisations +3 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^users +33 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^APIs +3002 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^policies +3001 +0 +0 +0$`, out)
	require.Regexp(t, `(?m)^organisation keys +1 +0 +0 +0$`, out)
	require.Contains(t, out, "\n  root@rivermouth.example (super user)\n")
	require.Contains(t, out, "\n  u1@rivermouth.example (organisation "+hostileOrganisation+")\n")
	require.Contains(t, out, "user_owners and user_group_owners of APIs (1)")
	require.Contains(t, out, "group_id of users (1)")
	require.NotContains(t, out, "another access key")
	require.Equal(t, from.exported(), to.exported())

	// With the access key of the source, users go on as before.
	status, body := to.get("/api/apis", "Authorization", keyOf(from, hostileOrganisation, "u1@rivermouth.example"))
	require.Equal(t, http.StatusOK, status, body)

	status, out, log = copied(from, to)
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^organisations +0 +0 +3 +0$`, out)
	require.Regexp(t, `(?m)^users +0 +0 +33 +0$`, out)
	require.Regexp(t, `(?m)^APIs +0 +0 +3002 +0$`, out)
	require.Regexp(t, `(?m)^policies +0 +0 +3001 +0$`, out)
	require.Regexp(t, `(?m)^organisation keys +0 +0 +1 +0$`, out)
	require.Contains(t, out, "Nothing was changed: the target has everything that the source gave.")
	require.Equal(t, from.exported(), to.exported())
}

// keyOf returns the access key of a user.
func keyOf(s *server, organisation, address string) string {
	s.t.Helper()
	for _, user := range s.users() {
		if user.OrgId == organisation && user.EmailAddress == address {
			return user.AccessKey
		}
	}
	s.t.Fatalf("no user %s of organisation %s", address, organisation)
	return ""
}

// TestCopyOfOneOrganisation copies nothing of another one, changes what differs, and leaves what the source lacks.
func TestCopyOfOneOrganisation(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), startServer(t)
	from.fill()
	to.postAdmin("/admin/organisations/import", `{"id":"`+hostileOrganisation+`","owner_name":"older"}`)
	to.postAdmin("/admin/users", `{"org_id":"`+hostileOrganisation+`","email_address":"U1@rivermouth.example","first_name":"Older","active":false}`)
	to.importAll("/admin/apis/import", "apis", []string{
		`{"api_definition":{"api_id":"a/b?c=d&e#f","org_id":"` + hostileOrganisation + `","name":"older"}}`,
		`{"api_definition":{"api_id":"only here","org_id":"` + hostileOrganisation + `"}}`,
	})
	other := to.newOrganisation()
	to.importAll("/admin/policies/import", "Data", []string{`{"_id":"61df10078f11dd00097cffff","org_id":"` + other + `"}`})
	from.importAll("/admin/policies/import", "Data", []string{`{"_id":"61df10078f11dd00097cffff","org_id":"` + hostileOrganisation + `"}`})

	status, out, log := copied(from, to, "--org", hostileOrganisation, "-o", "json")
	require.Equal(t, 1, status, log)
	require.Contains(t, log, `gatehouse: policy 61df10078f11dd00097cffff of organisation "`+hostileOrganisation+`" was not copied: `)
	require.Contains(t, log, "the id belongs to another organisation")
	var report struct {
		Counts []struct {
			Kind                                string
			Created, Updated, Unchanged, Failed int
		}
		Failures []struct{ Organisation, Kind, ID, Reason string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report), out)
	var counts []string
	for _, c := range report.Counts {
		counts = append(counts, fmt.Sprintln(c.Kind, c.Created, c.Updated, c.Unchanged, c.Failed))
	}
	require.Equal(t, []string{
		"organisations 0 1 0 0\n", "users 1 1 0 0\n", "APIs 1 1 0 0\n", "policies 1 0 0 1\n", "organisation keys 0 0 0 0\n",
	}, counts)
	require.Len(t, report.Failures, 1)
	_, apis := to.get("/admin/apis", "Admin-Auth", to.adminSecret())
	require.Contains(t, apis, `"only here"`)
	require.NotContains(t, apis, largeOrganisation)
	require.Equal(t, keyOf(from, hostileOrganisation, "u1@rivermouth.example"), keyOf(to, hostileOrganisation, "u1@rivermouth.example"))
}

// manyOrganisations is a server with organisations of 2,000 APIs of 4 KiB, which accepts what it is sent. It calls
// received with the whole body of a request read, before it answers.
func manyOrganisations(t *testing.T, organisations int, received func()) (url string) {
	t.Helper()
	const apis, size = 2_000, 4 << 10
	each := min(organisations, 1) * apis // the target has none
	padding := strings.Repeat("x", size)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/organisations", func(w http.ResponseWriter, _ *http.Request) {
		for n := range organisations {
			_, _ = fmt.Fprintf(w, `%s{"id":"%024x","owner_name":"x"}`, map[bool]string{true: `{"organisations":[`, false: ","}[n == 0], n)
		}
		_, _ = io.WriteString(w, `],"pages":0}`)
	})
	mux.HandleFunc("GET /admin/organisations/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"id":%q,"owner_name":"x"}`, r.PathValue("id"))
	})
	mux.HandleFunc("GET /admin/apis", func(w http.ResponseWriter, r *http.Request) {
		if each == 0 {
			_, _ = io.WriteString(w, `{"apis":[`)
		}
		for n := range each {
			_, _ = fmt.Fprintf(w, `%s{"api_definition":{"api_id":"%s-%d","org_id":%q,"name":%q}}`,
				map[bool]string{true: `{"apis":[`, false: ","}[n == 0], r.URL.Query().Get("org_id"), n, r.URL.Query().Get("org_id"), padding)
		}
		_, _ = io.WriteString(w, `],"pages":0}`)
	})
	mux.HandleFunc("GET /admin/org/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":{"keys":[]},"pages":1}`)
	})
	mux.HandleFunc("GET /admin/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"users":[],"Data":[],"pages":0}`)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		received()
		_, _ = io.WriteString(w, `{"Status":"OK","Message":"","Meta":{}}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// TestMemoryOfCopy holds one organisation at a time.
func TestMemoryOfCopy(t *testing.T) {
	t.Parallel()
	peak := func(organisations int) int64 {
		// The peak is read with the last body received: that of getrusage(2) begins with the peak of this test's process.
		var last atomic.Int64
		started := make(chan int, 1)
		pid := sync.OnceValue(func() int { return <-started })
		from := manyOrganisations(t, organisations, func() { t.Error("the source was written to") })
		to := manyOrganisations(t, 0, func() {
			peak, err := readPeakMemory(pid())
			if err != nil {
				t.Error(err)
			}
			last.Store(peak)
		})
		secret := secretFile(t, "secret")
		command := exec.CommandContext(t.Context(), program(t), "copy", "--from", from, "--from-secret-file", secret,
			"--to", to, "--to-secret-file", secret)
		command.Env = environment("GOGC=10") // little of the peak is garbage
		var printed bytes.Buffer
		command.Stdout, command.Stderr = &printed, &printed
		require.NoError(t, command.Start())
		started <- command.Process.Pid
		require.NoError(t, command.Wait(), printed.String())
		require.Regexp(t, fmt.Sprintf(`(?m)^APIs +%d +0 +0 +0$`, organisations*2_000), printed.String())
		return last.Load()
	}
	few, many := peak(5), peak(20)
	t.Logf("%d MiB for 5 organisations, %d MiB for 20", few>>20, many>>20)
	const noise = 16 << 20
	require.Less(t, many, few+noise, "20 organisations have 160 MB of APIs")
}
