package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"gatehouse/client"
	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// operator runs commands of the program with the settings of a server.
type operator struct {
	*server

	// flags are added to each command.
	flags []string
}

// try runs a command with this standard input, and returns its exit status and what it prints.
func (o *operator) try(stdin string, args ...string) (status int, out, log string) {
	o.t.Helper()
	var outBuffer, logBuffer bytes.Buffer
	cmd := o.command(append(args, o.flags...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &outBuffer, &logBuffer
	_ = cmd.Run() // ProcessState has the exit status
	require.NotNil(o.t, cmd.ProcessState)
	return cmd.ProcessState.ExitCode(), outBuffer.String(), logBuffer.String()
}

// run runs a command that succeeds, and returns what it prints.
func (o *operator) run(args ...string) string {
	o.t.Helper()
	return o.runWith("", args...)
}

// runWith is run with standard input.
func (o *operator) runWith(stdin string, args ...string) string {
	o.t.Helper()
	status, out, log := o.try(stdin, args...)
	require.Zero(o.t, status, "%s: %s", args, log)
	return out
}

// fails runs a command that fails with an exit status and prints nothing else, and returns the message.
func (o *operator) fails(status int, args ...string) string {
	o.t.Helper()
	got, out, log := o.try("", args...)
	require.Equal(o.t, status, got, "%s: %s", args, log)
	require.Empty(o.t, out)
	return log
}

// rows returns the cells of a table, the heading first.
func rows(table string) (rows [][]string) {
	for line := range strings.Lines(table) {
		rows = append(rows, regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(line), -1))
	}
	return rows
}

// harbour is the data of the tests of commands: an organisation with an ID of its own, a user, two APIs, a policy and a
// gateway. The documents have what only bytes keep.
type harbour struct {
	operator

	org, user, key, node string
	apis                 []string // as they were imported
}

const (
	harbourPolicy = `{"_id":"5e9d9544a1dcd60001d0ed30","id":"three-a-minute","org_id":"5e9d9544a1dcd60001d0ed20",` +
		`"name":"Three a minute","active":true,"rate":3.0,"per":60,"quota_max":-1,"access_rights":{}}`
)

// newHarbour fills a server.
func newHarbour(t *testing.T, s *server, flags ...string) *harbour {
	t.Helper()
	ctx, c := t.Context(), s.client()
	h := &harbour{operator: operator{s, flags}, org: "5e9d9544a1dcd60001d0ed20"}
	ok(c.ImportOrgsWithBodyWithResponse(ctx, "application/json",
		strings.NewReader(`{"id":"`+h.org+`","owner_name":"Rivermouth <Foods>","own":1.50}`)))(t)
	created := ok(c.CreateUserWithResponse(ctx, client.UserRequest{
		OrgId: &h.org, EmailAddress: new("ines@rivermouth.example"), FirstName: new("Ines"), Active: new(true),
	}))(t).JSON200
	h.user, h.key = created.Meta.Id, created.Message
	for i := range 2 {
		h.apis = append(h.apis, fmt.Sprintf(`{"api_definition":{"id":"5e9d9544a1dcd60001d0ed4%d","api_id":"tide-%d",`+
			`"org_id":"%s","name":"Tide \ud83c\udf0a <%d>","active":true,"own":1.50,"version_data":{"not_versioned":true,`+
			`"versions":{"Default":{"name":"Default"}}},"proxy":{"listen_path":"/tide-%d/","target_url":"http://127.0.0.1:1/"}}}`,
			i, i, h.org, i, i))
	}
	ok(c.ImportAPIsWithBodyWithResponse(ctx, "application/json",
		strings.NewReader(`{"apis":[`+strings.Join(h.apis, ",")+`]}`)))(t)
	ok(c.ImportPoliciesWithBodyWithResponse(ctx, "application/json", strings.NewReader(`{"Data":[`+harbourPolicy+`]}`)))(t)
	h.registerNode(t)
	return h
}

// registerNode registers a gateway, which the server forgets when it does not hear of it for a minute.
func (h *harbour) registerNode(t *testing.T) {
	t.Helper()
	secret, err := os.ReadFile(filepath.Join(h.dir, "node-secret"))
	require.NoError(t, err)
	_, registered := h.get("/register/node", "Authorization", strings.TrimSpace(string(secret)))
	h.node = regexp.MustCompile(`"NodeID":"([^"]+)"`).FindStringSubmatch(registered)[1]
}

// TestResourceCommands runs the commands through a running server, and on the database beside it.
func TestResourceCommands(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"by a server": nil, "on the database": {"--local"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A page of one: lists have all pages.
			s := startServer(t, "DATABASE_URL="+storetest.Database(t), "TYK_DB_PAGESIZE=1", "GATEHOUSE_LOG_SLOW_STATEMENTS=0")
			h := newHarbour(t, s, flags...)
			h.requireTables(t)
			if flags == nil { // the formats have nothing to do with it
				h.requireFormats(t)
				h.requireGets(t)
			}
			h.requireUserChanges(t)
			h.requireDeletions(t)
		})
	}
}

func (h *harbour) requireTables(t *testing.T) {
	t.Helper()
	require.Equal(t, [][]string{{"ID", "NAME", "SLUG", "CNAME"}, {h.org, "Rivermouth <Foods>"}}, rows(h.run("orgs", "list")))
	require.Equal(t, [][]string{
		{"ID", "EMAIL", "FIRST NAME", "LAST NAME", "ORGANISATION", "ACTIVE"},
		{h.user, "ines@rivermouth.example", "Ines", h.org, "true"},
	}, rows(h.run("users", "list")))
	apis := [][]string{{"ID", "NAME", "ORGANISATION", "LISTEN PATH", "ACTIVE"}}
	for i := range 2 {
		apis = append(apis, []string{fmt.Sprint("tide-", i), fmt.Sprintf("Tide 🌊 <%d>", i), h.org, fmt.Sprintf("/tide-%d/", i), "true"})
	}
	require.Equal(t, apis, rows(h.run("apis", "list")))
	require.Equal(t, apis, rows(h.run("apis", "list", "--org", h.org)))
	require.Equal(t, [][]string{
		{"ID", "NAME", "ORGANISATION", "ACTIVE"}, {"three-a-minute", "Three a minute", h.org, "true"},
	}, rows(h.run("policies", "list")))
	nodes := rows(h.run("nodes", "list"))
	require.Equal(t, []string{"ID", "HOST", "FIRST SEEN", "LAST SEEN", "BEHIND"}, nodes[0])
	require.Equal(t, h.node, nodes[1][0])
}

func (h *harbour) requireFormats(t *testing.T) {
	t.Helper()
	require.Equal(t, "[\n"+strings.Join(h.apis, ",\n")+"\n]\n", h.run("apis", "list", "-o", "json"), "byte for byte")
	require.Equal(t, "[\n"+harbourPolicy+"\n]\n", h.run("policies", "list", "-o", "json"))
	var listed []map[string]any
	for _, command := range []string{"orgs", "users", "apis", "policies", "nodes"} {
		asJSON, asYAML := h.run(command, "list", "-o", "json"), h.run(command, "list", "-o", "yaml")
		require.NoError(t, json.Unmarshal([]byte(asJSON), &listed), asJSON)
		require.NotEmpty(t, listed)
		requireSame(t, asJSON, asYAML)
	}
	for _, list := range []string{
		"users list --org 5e9d9544a1dcd60001d0ed99", "users list --email nobody@rivermouth.example",
		"apis list --org 5e9d9544a1dcd60001d0ed99", "policies list --org 5e9d9544a1dcd60001d0ed99",
	} {
		require.Len(t, rows(h.run(strings.Fields(list)...)), 1, list)
		require.Equal(t, "[]\n", h.run(append(strings.Fields(list), "-o", "json")...))
		require.Equal(t, "[]\n", h.run(append(strings.Fields(list), "-o", "yaml")...))
	}
	require.Len(t, rows(h.run("users", "list", "--email", "INES@rivermouth.example")), 2)
}

// requireSame requires that a YAML text has the value of a JSON text.
func requireSame(t *testing.T, asJSON, asYAML string) {
	t.Helper()
	var want, got any
	require.NoError(t, json.Unmarshal([]byte(asJSON), &want))
	require.NoError(t, yaml.Unmarshal([]byte(asYAML), &got))
	again, err := json.Marshal(got)
	require.NoError(t, err)
	wanted, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, string(wanted), string(again))
}

func (h *harbour) requireGets(t *testing.T) {
	t.Helper()
	for _, each := range []struct{ command, id, want string }{
		{"orgs", h.org, string(ok(h.client().GetOrgWithResponse(t.Context(), h.org))(t).Body)},
		{"users", h.user, string(ok(h.client().GetUserDetailWithResponse(t.Context(), h.user))(t).Body)},
		{"apis", "tide-1", h.apis[1]},
		{"apis", "5e9d9544a1dcd60001d0ed41", h.apis[1]},
		{"policies", "three-a-minute", harbourPolicy},
		{"policies", "5e9d9544a1dcd60001d0ed30", harbourPolicy},
	} {
		require.Equal(t, each.want+"\n", h.run(each.command, "get", each.id, "-o", "json"), "byte for byte")
		requireSame(t, each.want, h.run(each.command, "get", each.id, "-o", "yaml"))
		table := h.run(each.command, "get", each.id)
		require.Len(t, rows(table), 2)
		require.NotContains(t, table, h.key)
	}
	h.registerNode(t)
	require.Contains(t, h.run("nodes", "get", h.node, "-o", "yaml"), "id: "+h.node+"\n")
	for command, noun := range map[string]string{
		"orgs": "organisation", "users": "user", "apis": "API", "policies": "policy", "nodes": "gateway",
	} {
		require.Equal(t, "gatehouse: there is no "+noun+" \"unknown\"\n", h.fails(3, command, "get", "unknown"))
		require.Contains(t, h.fails(2, command, "get"), "expected one ID")
	}
}

func (h *harbour) requireUserChanges(t *testing.T) {
	t.Helper()
	created := rows(h.run("users", "create", "--org", h.org, "--email", "kofi@rivermouth.example",
		"--permission", "apis=read", "--permission", "policies=write", "--last-name", "Mensah", "--inactive"))
	require.Equal(t, []string{"ID", "EMAIL", "ORGANISATION", "ACCESS KEY"}, created[0])
	id, key := created[1][0], created[1][3]
	user := func() *client.User { return ok(h.client().GetUserDetailWithResponse(t.Context(), id))(t).JSON200 }
	first := *user()
	require.Equal(t, key, first.AccessKey)
	require.Equal(t, map[string]string{"apis": "read", "policies": "write"}, first.UserPermissions)
	require.Equal(t, "Mensah", first.LastName)
	require.False(t, first.Active)
	require.Contains(t, h.fails(1, "users", "create", "--org", h.org, "--email", "kofi@rivermouth.example"),
		"the server replied 403 Forbidden: User email already exists for this Org; /email_address: belongs to user "+id)
	require.Contains(t, h.fails(2, "users", "create", "--email", "x@rivermouth.example"), "--org is required")
	administrator := h.run("users", "create", "--org", h.org, "--email", "ada@rivermouth.example", "-o", "json")
	require.Contains(t, administrator, `"user_permissions":{"IsAdmin":"admin","ResetPassword":"admin"}`)

	renewed := rows(h.run("users", "reset-access-key", id))[1]
	require.NotEqual(t, key, renewed[3])
	want := first
	want.AccessKey = renewed[3]
	require.Equal(t, want, *user(), "nothing else has changed")

	require.Equal(t, "user "+id+" may set the passwords of other users\n", h.run("users", "allow-reset-passwords", id))
	require.Equal(t, "admin", user().UserPermissions["ResetPassword"])
	h.run("users", "disallow-reset-passwords", id)
	require.NotContains(t, user().UserPermissions, "ResetPassword")

	out := h.runWith("correct-horse\nnot this\n", "users", "set-password", h.user)
	require.Equal(t, "set the password of user "+h.user+"\n", out)
	set := func(current string) int {
		got, err := h.client(client.WithAccessKey(h.key)).SetUserPasswordWithResponse(t.Context(), h.user,
			client.UserPassword{CurrentPassword: &current, NewPassword: "correct-horse"})
		require.NoError(t, err)
		return got.StatusCode()
	}
	require.Equal(t, http.StatusForbidden, set("wrong"))
	require.Equal(t, http.StatusOK, set("correct-horse"))
	status, _, log := h.try("short", "users", "set-password", h.user)
	require.Equal(t, 1, status)
	require.Contains(t, log, "Request body malformed; /password: minimum string length is 6")
	require.NotContains(t, log, "short\n")
	require.Contains(t, h.fails(1, "users", "set-password", h.user), "the password is empty: nothing was changed")
	for _, command := range []string{"reset-access-key", "allow-reset-passwords", "disallow-reset-passwords"} {
		require.Contains(t, h.fails(3, "users", command, "unknown"), "there is no user \"unknown\"\n")
	}
	status, _, log = h.try("correct-horse", "users", "set-password", "unknown")
	require.Equal(t, 3, status)
	require.NotContains(t, log, "correct-horse")
}

func (h *harbour) requireDeletions(t *testing.T) {
	t.Helper()
	for _, each := range []struct{ command, id string }{
		{"policies", "three-a-minute"}, {"apis", "tide-0"}, {"users", h.user}, {"orgs", h.org},
	} {
		require.Contains(t, h.fails(2, each.command, "delete", each.id), "use --yes")
		h.run(each.command, "get", each.id)
		require.Regexp(t, `^deleted \w+ `+each.id, h.run(each.command, "delete", "--yes", each.id))
		h.fails(3, each.command, "get", each.id)
		require.Contains(t, h.fails(3, each.command, "delete", "--yes", each.id), `there is no `)
	}
	require.Len(t, rows(h.run("apis", "list")), 1, "they belonged to the organisation")
}

// echoes reports whether a terminal shows what is typed.
func echoes(terminal *os.File) bool {
	stty := exec.Command("stty", "-a")
	stty.Stdin = terminal
	state, err := stty.Output()
	return err != nil || !strings.Contains(string(state), " -echo ")
}

// TestConfirmations answers the questions of commands on a terminal.
func TestConfirmations(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, startServer(t, "DATABASE_URL="+storetest.Database(t)))
	on := func(args ...string) (answer func(prompt, line string), end func() (status int, shown string)) {
		cmd := h.command(args...)
		terminal, err := pty.Start(cmd)
		require.NoError(t, err)
		t.Cleanup(func() { terminal.Close() })
		shown := &output{}
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, _ = terminal.WriteTo(shown) // it ends with EIO
		}()
		answer = func(prompt, line string) {
			eventually(t, prompt, func() bool { return strings.Contains(shown.String(), prompt) })
			if prompt == "New password: " || prompt == "Again: " { // printed before the terminal stops showing what is typed
				eventually(t, "nothing is shown", func() bool { return !echoes(terminal) })
			}
			_, err := terminal.WriteString(line)
			require.NoError(t, err)
		}
		return answer, func() (int, string) {
			_ = cmd.Wait()
			<-copied
			return cmd.ProcessState.ExitCode(), shown.String()
		}
	}
	answer, end := on("apis", "delete", "tide-1")
	answer("This deletes the API tide-1. Type its name, Tide 🌊 <1>, to go on: ", "Tide\n")
	status, shown := end()
	require.Equal(t, 1, status)
	require.Contains(t, shown, "that is another name: nothing was deleted")
	h.run("apis", "get", "tide-1")

	answer, end = on("orgs", "delete", h.org)
	answer("and everything that belongs to it. Type its name, Rivermouth <Foods>, to go on: ", "Rivermouth <Foods>\n")
	status, shown = end()
	require.Zero(t, status, shown)
	h.fails(3, "orgs", "get", h.org)

	user := rows(h.run("users", "create", "--org", "", "--email", "super@rivermouth.example"))[1][0]
	answer, end = on("users", "set-password", user)
	answer("New password: ", "correct-horse\n")
	answer("Again: ", "correct-house\n")
	status, shown = end()
	require.Equal(t, 1, status)
	require.Contains(t, shown, "the passwords differ: nothing was changed")
	require.NotContains(t, shown, "correct-ho", "it is not shown")
	for _, args := range [][]string{{"users", "set-password", user}, {"users", "delete", user}} {
		answer, end = on(args...)
		answer(": ", "\x03") // Ctrl-C
		status, shown = end()
		require.Equal(t, 1, status)
		require.Contains(t, shown, "interrupted: nothing was changed")
	}
	answer, end = on("users", "set-password", user)
	answer("New password: ", "correct-horse\n")
	answer("Again: ", "correct-horse\n")
	status, shown = end()
	require.Zero(t, status, shown)
	updated := ok(h.client().GetUserDetailWithResponse(t.Context(), user))(t).JSON200.PasswordUpdated
	require.Greater(t, updated.Year(), 1)
}

// TestLocalCommands loses the admin secret of a private Postgres that does not run.
func TestLocalCommands(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, startServer(t))
	require.Zero(t, h.stop())
	refused := "the server at http://" + h.address + " does not answer: "
	require.Contains(t, h.fails(1, "orgs", "list"), refused)
	require.Contains(t, h.fails(1, "orgs", "list"), "(--local works without a server)")
	require.NoError(t, os.Remove(filepath.Join(h.dir, "admin-secret")))
	require.Contains(t, h.fails(1, "orgs", "list"), "the admin secret is not known, set --secret-file: read secret: ")

	require.Contains(t, h.run("orgs", "list", "--local"), h.org)
	require.Zero(t, postmasterPID(t, h.dir), "Postgres is stopped again")
	require.NoFileExists(t, filepath.Join(h.dir, "admin-secret"), "none is made")
	status, out, log := h.try("", "users", "reset-access-key", "--local", h.user)
	require.Zero(t, status, log)
	require.Regexp(t, `msg=audit req_id=\S+ ip="" who=admin_secret action=updateUser object=user object_id=`+h.user, log)
	require.NotContains(t, log, rows(out)[1][3])
	audit := filepath.Join(h.dir, "audit.log")
	status, _, log = h.try("", "apis", "delete", "--yes", "--local", "--audit-path", audit, "tide-0")
	require.Zero(t, status)
	require.NotContains(t, log, "msg=audit")
	require.Contains(t, readFile(t, audit), "action=removeAPI")
	h.fails(3, "apis", "get", "--local", "tide-0")
	require.Contains(t, h.fails(2, "orgs", "list", "--local", "--url", "http://127.0.0.1:1"), "--local calls no server")
	require.Contains(t, h.fails(1, "orgs", "list", "--local", "--data-dir", newDataDir(t)), "there is no database in")
	require.NoDirExists(t, filepath.Join(h.dir, "postgres.socket"))

	require.Contains(t, h.run("secrets", "rotate", "--admin"), "replaced the admin secret")
	h.address = "127.0.0.1:0"
	h.start()
	require.Contains(t, h.run("orgs", "list"), h.org, "with the secret that was made")
	require.Contains(t, h.run("orgs", "list", "--local"), h.org, "beside the server")
}

// TestLocalCommandsAtOnce runs commands at the same time without a server: none stops Postgres under another.
func TestLocalCommandsAtOnce(t *testing.T) {
	t.Parallel()
	o := operator{server: newServer(t)}
	o.run("migrate", "up")
	const commands = 4
	var running sync.WaitGroup
	var statuses [commands]int
	var logs [commands]string
	for n := range commands {
		running.Go(func() { statuses[n], _, logs[n] = o.try("", "orgs", "list", "--local") })
	}
	running.Wait()
	require.Equal(t, [commands]int{}, statuses, "%q", logs)
	require.Contains(t, strings.Join(logs[:], ""), "waiting for another command")
	require.Zero(t, postmasterPID(t, o.dir), "Postgres is stopped again")
}

// TestAdminConnection reaches servers in all ways, and none in others.
func TestAdminConnection(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, startServer(t, "DATABASE_URL="+storetest.Database(t)))
	dir := newDir(t)
	wrong := writeFile(t, filepath.Join(dir, "wrong"), "not-the-admin-secret\n")
	right := writeFile(t, filepath.Join(dir, "right"), h.adminSecret()+"\n")
	log := h.fails(1, "orgs", "list", "--secret-file", wrong)
	require.Regexp(t, `^gatehouse: the server replied 401 Unauthorized: Not authorised \(request \w+\): `+
		`the admin secret is from `+regexp.QuoteMeta(wrong)+"\n$", log)
	require.NotContains(t, log, "not-the-admin-secret")
	id := regexp.MustCompile(`request (\w+)`).FindStringSubmatch(log)[1]
	eventually(t, "the log has the request", func() bool { return strings.Contains(h.log.String(), id) })

	elsewhere := operator{newServer(t), []string{"--url", "http://" + h.address, "--secret-file", right}}
	elsewhere.settings = []string{"TYK_DB_PAGESIZE=0", "DATABASE_URL_FILE=/no/such/file"} // are not its concern
	require.Contains(t, elsewhere.run("orgs", "list"), h.org)
	elsewhere.flags = []string{"--url", "http://" + h.address}
	elsewhere.settings = []string{"TYK_DB_ADMINSECRET_FILE=" + right, "DATABASE_URL_FILE=/no/such/file"}
	require.Contains(t, elsewhere.run("orgs", "list"), h.org)
	for url, want := range map[string]string{
		"127.0.0.1:1": "is no URL like", "ftp://127.0.0.1": "is no URL like", "http://127.0.0.1:1": "does not answer",
	} {
		elsewhere.flags = []string{"--url", url}
		require.Contains(t, elsewhere.fails(1, "orgs", "list"), want)
	}
	elsewhere.flags, elsewhere.address = nil, "127.0.0.1:0"
	require.Contains(t, elsewhere.fails(1, "orgs", "list"), "any free port: which one is not known: set --url")

	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		authority, name := newAuthority(t), "tyk.rivermouth.example"
		files := authority.newPair(name)
		s := startServer(t, "DATABASE_URL="+storetest.Database(t), "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
			"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+files.cert+","+files.key)
		o := operator{server: s}
		require.Equal(t, "[]\n", o.run("orgs", "list", "-o", "json"), "the certificate is the server's own")
		require.Contains(t, o.fails(1, "orgs", "list", "--url", "https://"+s.address), "certificate signed by unknown authority")
		o.run("orgs", "list", "--url", "https://"+s.address, "--ca-file", authority.file)
		other := newAuthority(t)
		require.Contains(t, o.fails(1, "orgs", "list", "--ca-file", other.file), "certificate signed by unknown authority")
		replaced := other.newPair(name)
		s.settings = append(s.settings, "TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+replaced.cert+","+replaced.key)
		require.Contains(t, o.fails(1, "orgs", "list"), "the server has another certificate than its settings name")
	})
}

// TestAdminConnectionToOthers calls servers that are not well.
func TestAdminConnectionToOthers(t *testing.T) {
	t.Parallel()
	o := operator{server: newServer(t)}
	secret := writeFile(t, filepath.Join(newDir(t), "secret"), "an-admin-secret")
	redirected := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected = true }))
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"another program": {http.NotFound, "the server replied 404 Not Found\n"},
		"a terminal's commands": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, `{"Message":"a\u001b[2Jb","Meta":{"errors":[{"path":"/x","reason":"c\u0007"}]}}`)
		}, "418 I'm a teapot: a[2Jb; /x: c\n"},
		"a redirection": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}, "302 Found\n"},
		"no list": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"pages":0}`) }, "the response is no list"},
		"half of a list": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"organisations":[{"id":"x"}`)
		}, "the response is no list: unexpected EOF\n"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "i/o timeout"},
		"silence in a list": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"organisations":[`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "the response is not complete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(c.serve)
			t.Cleanup(s.Close)
			timeout := "1m"
			if strings.HasPrefix(name, "silence") {
				timeout = "3s"
			}
			status, _, log := o.try("", "orgs", "list", "--url", s.URL, "--secret-file", secret, "--timeout", timeout)
			require.Equal(t, 1, status)
			require.Contains(t, log, c.want)
			require.NotContains(t, log, "an-admin-secret")
		})
	}
	t.Run("a slow list", func(t *testing.T) {
		t.Parallel()
		const pauses, pause = 10, 500 * time.Millisecond
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"organisations":[`)
			for range pauses {
				time.Sleep(pause)
				fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
			}
			fmt.Fprint(w, `]}`)
		}))
		t.Cleanup(s.Close)
		out := o.run("orgs", "list", "-o", "json", "--url", s.URL, "--secret-file", secret, "--timeout", (pauses * pause * 8 / 10).String())
		require.Equal(t, "[]\n", out)
	})
	require.False(t, redirected)
}

// TestMigrateCommands looks at databases of releases, and applies what they lack.
func TestMigrateCommands(t *testing.T) {
	t.Parallel()
	const version = 17
	conn := storetest.DatabaseAtVersion(t, version)
	o := operator{server: newServer(t, "DATABASE_URL="+conn, "GATEHOUSE_AUTO_MIGRATE=false", "GATEHOUSE_LOG_SLOW_STATEMENTS=0")}
	before := storetest.Dump(t, conn)
	status, out, log := o.try("", "migrate", "status")
	require.Equal(t, 3, status)
	require.Regexp(t, `^gatehouse: \d+ migrations are due: run gatehouse migrate up, or start the server\n$`, log)
	listed := rows(out)[1:]
	require.Equal(t, []string{"017_node_registrations", "expand", "applied"}, listed[version-1])
	require.Equal(t, []string{"018_calls", "expand", "due"}, listed[version])
	require.Equal(t, []string{"001_triggers", "contract", "due: gatehouse finish-upgrade"}, listed[len(listed)-1])
	status, asJSON, _ := o.try("", "migrate", "status", "-o", "json")
	require.Equal(t, 3, status)
	require.Contains(t, asJSON, `"migration": "018_calls",
    "kind": "expand",
    "applied": false`)
	_, asYAML, _ := o.try("", "migrate", "status", "-o", "yaml")
	requireSame(t, asJSON, asYAML)
	require.Equal(t, before, storetest.Dump(t, conn), "it changes nothing")

	o.launch()
	require.Equal(t, 1, o.waitExit())
	require.Contains(t, o.log.String(), "migrations are due: database ")
	require.Contains(t, o.log.String(), ": run gatehouse migrate up\n")
	require.Equal(t, before, storetest.Dump(t, conn), "the server changes nothing")

	var want strings.Builder
	for _, each := range listed[version : len(listed)-1] {
		fmt.Fprintf(&want, "applied %s\n", each[0])
	}
	status, out, log = o.try("", "migrate", "up")
	require.Zero(t, status, log)
	require.Equal(t, want.String()+"the database has all migrations that the server needs\n", out)
	require.Contains(t, log, "run gatehouse finish-upgrade")
	require.Equal(t, "the database has all migrations that the server needs\n", o.run("migrate", "up"))
	require.Equal(t, []string{"022_overview", "expand", "applied"}, rows(o.run("migrate", "status"))[len(listed)-1])
	o.start()
	o.run("finish-upgrade")
	require.NotContains(t, o.run("migrate", "status"), "due")
	require.Zero(t, o.stop())

	storetest.Exec(t, conn, `UPDATE gatehouse_schema_version SET version = 9000`)
	require.Contains(t, o.fails(1, "migrate", "status"), "the database is of a newer version of this program")
	require.Contains(t, o.fails(1, "migrate", "up"), "the database is of a newer version of this program")
	o.launch()
	require.Equal(t, 1, o.waitExit())
	require.Contains(t, o.log.String(), "the database is of a newer version of this program")
}

// TestMigratePrivatePostgres runs the commands without a server on the private Postgres.
func TestMigratePrivatePostgres(t *testing.T) {
	t.Parallel()
	o := operator{server: newServer(t, "GATEHOUSE_AUTO_MIGRATE=false")}
	require.Contains(t, o.fails(1, "migrate", "status"), "there is no database in "+o.dir)
	require.NoDirExists(t, o.dir)
	out := o.run("migrate", "up")
	require.True(t, strings.HasPrefix(out, "applied 001_admin\napplied 002_nodes\n"), out)
	require.NotContains(t, o.run("migrate", "status"), "due")
	require.Zero(t, postmasterPID(t, o.dir), "Postgres is stopped again")
	o.start()
	require.NotContains(t, o.run("migrate", "status"), "due", "beside the server")
}

// TestSecretsRotate replaces secrets while a server and a gateway use them.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	h := newHarbour(t, startServer(t, "DATABASE_URL="+storetest.Database(t)))
	stored := func(name string) string { return strings.TrimSpace(readFile(t, filepath.Join(h.dir, name))) }
	admin, node := stored("admin-secret"), stored("node-secret")
	adminStatus := func(secret string) int {
		status, _ := h.get("/admin/hello", "Admin-Auth", secret)
		return status
	}
	nodeStatus := func(secret string) int {
		status, _ := h.get("/system/policies", "Authorization", secret)
		return status
	}

	out := h.run("secrets", "rotate")
	newAdmin, newNode := stored("admin-secret"), stored("node-secret")
	require.NotEqual(t, admin, newAdmin)
	require.NotEqual(t, node, newNode)
	require.Equal(t, "replaced the admin secret in "+h.dir+"/admin-secret\nreplaced the node secret in "+h.dir+"/node-secret\n"+
		"send SIGHUP to each server whose data directory is "+h.dir+", or restart it: until then, the old secrets are valid, "+
		"and the new ones are not\n"+
		"these gateways need the new node secret as node_secret (TYK_GW_NODESECRET):\n  "+h.node+" on \n", out)
	for _, secret := range []string{admin, node, newAdmin, newNode} {
		require.NotContains(t, out, secret)
	}
	for _, name := range []string{"admin-secret", "node-secret"} {
		info, err := os.Stat(filepath.Join(h.dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		require.NoFileExists(t, filepath.Join(h.dir, name+".new"))
	}
	require.Equal(t, http.StatusOK, adminStatus(admin))
	require.Equal(t, http.StatusUnauthorized, adminStatus(newAdmin))
	h.hangup("msg=reloaded")
	require.Equal(t, http.StatusUnauthorized, adminStatus(admin))
	require.Equal(t, http.StatusOK, adminStatus(newAdmin))
	require.Equal(t, http.StatusForbidden, nodeStatus(node))
	require.Equal(t, http.StatusOK, nodeStatus(newNode))

	out = h.run("secrets", "rotate", "--admin", "--print")
	require.Contains(t, out, "\nadmin secret: "+stored("admin-secret")+"\n")
	require.NotContains(t, out, "gateway")
	require.Equal(t, newNode, stored("node-secret"))
	require.Zero(t, h.stop())
	h.start()
	require.Equal(t, http.StatusOK, adminStatus(stored("admin-secret")), "after a restart")
	require.Equal(t, http.StatusUnauthorized, adminStatus(newAdmin))
	require.Zero(t, h.stop())

	require.NoError(t, os.Remove(filepath.Join(h.dir, "node-secret")))
	out = h.run("secrets", "rotate", "--node")
	require.Contains(t, out, "all gateways need the new node secret")
	require.Contains(t, out, "which are registered is not known: the server at http://"+h.address+" does not answer")
	require.Len(t, stored("node-secret"), len(node), "one that was lost is made")

	before := []string{stored("admin-secret"), stored("node-secret")}
	file := writeFile(t, filepath.Join(newDir(t), "secret"), "configured-secret\n")
	conf := writeFile(t, filepath.Join(newDir(t), "tyk_analytics.conf"), `{"shared_node_secret":"configured-secret"}`)
	for _, c := range []struct {
		settings, flags []string
		want            string
	}{
		{[]string{"TYK_DB_ADMINSECRET=configured-secret"}, nil, "admin secret is not the one in the data directory: it is set by TYK_DB_ADMINSECRET (environment), change it there"},
		{[]string{"TYK_DB_NODESECRET_FILE=" + file}, nil, "node secret is not the one in the data directory: it is set by TYK_DB_NODESECRET_FILE (environment), change it there"},
		{nil, []string{"--admin-secret-file", file}, "admin secret is not the one in the data directory: it is set by --admin-secret or --admin-secret-file (flag), change it there"},
		{[]string{"GATEHOUSE_CONF=" + conf}, []string{"--node"}, "node secret is not the one in the data directory: it is set by " + conf + ":1: shared_node_secret (file), change it there"},
	} {
		o := operator{server: &server{t: t, dir: h.dir, address: h.address, settings: slices.Concat(h.settings, c.settings)}}
		log := o.fails(1, append([]string{"secrets", "rotate"}, c.flags...)...)
		require.Contains(t, log, c.want)
		require.NotContains(t, log, "configured-secret")
		now := []string{stored("admin-secret"), stored("node-secret")}
		require.Equal(t, before, now, "neither is replaced")
	}
	require.NoError(t, os.Rename(filepath.Join(h.dir, "admin-secret"), filepath.Join(h.dir, "mounted")))
	require.NoError(t, os.Symlink("mounted", filepath.Join(h.dir, "admin-secret")))
	require.Contains(t, h.fails(1, "secrets", "rotate", "--admin"), "is a link or a device")
	require.NoError(t, os.Rename(filepath.Join(h.dir, "mounted"), filepath.Join(h.dir, "admin-secret")))
	require.NoError(t, os.Rename(filepath.Join(h.dir, "node-secret"), filepath.Join(h.dir, "mounted")))
	require.NoError(t, os.Symlink("mounted", filepath.Join(h.dir, "node-secret")))
	status, out, log := h.try("", "secrets", "rotate")
	require.Equal(t, 1, status)
	require.Contains(t, log, "replace the node secret: ")
	require.Regexp(t, `^replaced the admin secret in \S+\nsend SIGHUP `, out)
	require.NotContains(t, out, "gateways")
	require.Contains(t, h.fails(1, "secrets", "rotate", "--data-dir", newDataDir(t)), "no such file or directory")
}

// TestSecretsRotateKeepsTheOwner rotates as root what belongs to the account of the server.
func TestSecretsRotateKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		testprogram.Missing(t, "root, to rotate the secrets of another account")
	}
	const account = 65534
	o := operator{server: newServer(t)}
	require.NoError(t, os.Mkdir(o.dir, 0o711))
	require.NoError(t, os.Chown(o.dir, account, account))
	owner := func(name string) uint32 {
		info, err := os.Stat(filepath.Join(o.dir, name))
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Uid
	}
	for range 2 { // the second time there are files
		o.run("secrets", "rotate")
		require.EqualValues(t, account, owner("admin-secret"))
		require.EqualValues(t, account, owner("node-secret"))
		require.EqualValues(t, account, owner("secrets.lock"), "the server has to open it")
	}
}
